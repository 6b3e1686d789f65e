//! `data.transform`: gives the value of an expression.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct DataTransform;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The expression, such as `{{ order.lines | map(attribute='price') | sum }}`.
    expression: Value,
}

impl NodeDefinition for DataTransform {
    const NAME: &'static str = "data.transform";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Gives the value of an expression.";
    const KIND: NodeKind = NodeKind::Transform;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}
