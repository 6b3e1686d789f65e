//! `logic.filter`: keeps the elements of an array that fulfil a condition.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct LogicFilter;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The array.
    items: Vec<Value>,
    /// What decides about an element; may name `item` and `index`.
    r#where: Value,
}

impl NodeDefinition for LogicFilter {
    const NAME: &'static str = "logic.filter";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Keeps the elements for which a condition holds.";
    const KIND: NodeKind = NodeKind::Filter;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;
    const PER_ELEMENT_FIELDS: &'static [&'static str] = &["where"];

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("items", Shape::array(Shape::Any)), ("count", Shape::Number)])
    }
}
