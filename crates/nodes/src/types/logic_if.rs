//! `logic.if`: goes one way or the other.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct LogicIf;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// What decides. `null`, `false`, zero, and empty texts, arrays and objects are false.
    condition: Value,
}

impl NodeDefinition for LogicIf {
    const NAME: &'static str = "logic.if";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Goes by `true` or `false` with its input.";
    const KIND: NodeKind = NodeKind::If;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        Ports::Named { names: vec!["true".to_owned(), "false".to_owned()] }
    }

    fn output() -> Shape {
        Shape::Any
    }
}
