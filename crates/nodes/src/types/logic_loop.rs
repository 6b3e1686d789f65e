//! `logic.loop`: runs several nodes once per element of an array.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct LogicLoop;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The array.
    items: Vec<Value>,
    /// How many elements run at the same time. 10 where absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    concurrency: Option<u32>,
    /// What each element contributes to the array of results; may name `item`, `index` and the
    /// nodes of the body. The output of the body's last node where absent.
    #[serde(default)]
    collect: Option<Value>,
}

impl NodeDefinition for LogicLoop {
    const NAME: &'static str = "logic.loop";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Runs the nodes behind port `body` once per element; `done` carries the array of results.";
    const KIND: NodeKind = NodeKind::Loop;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;
    const PER_ELEMENT_FIELDS: &'static [&'static str] = &["collect"];

    type Config = Config;

    fn ports() -> Ports {
        Ports::Named { names: vec!["body".to_owned(), "done".to_owned()] }
    }

    fn output() -> Shape {
        Shape::array(Shape::Any)
    }
}
