//! `flow.call`: starts another flow.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct FlowCall;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The name of the flow.
    #[schemars(length(min = 1))]
    flow: String,
    /// Its input.
    #[serde(default)]
    input: Value,
    /// Whether to wait for its end. `true` where absent; `false` gives `{execution}` at once.
    #[serde(default)]
    wait: Option<bool>,
}

impl NodeDefinition for FlowCall {
    const NAME: &'static str = "flow.call";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Starts another flow, and waits for its result unless told not to.";
    const KIND: NodeKind = NodeKind::Call;
    const PURITY: Purity = Purity::Wait;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}
