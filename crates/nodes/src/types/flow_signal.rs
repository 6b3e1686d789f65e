//! `flow.signal`: waits for a signal, or sends one.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct FlowSignal;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// Whether to wait or to send.
    #[serde(default)]
    action: Action,
    /// The name of the signal.
    #[schemars(length(min = 1))]
    name: String,
    /// The id of the execution it is sent to. Only to send.
    #[serde(default)]
    execution: Option<String>,
    /// What it carries. Only to send.
    #[serde(default)]
    payload: Value,
    /// How long to wait before the node fails, in milliseconds. For ever where absent.
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// What is done.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Waits; the output is what the signal carries.
    #[default]
    Wait,
    /// Sends.
    Send,
}

impl NodeDefinition for FlowSignal {
    const NAME: &'static str = "flow.signal";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Waits for a signal from outside, or sends one to another execution.";
    const KIND: NodeKind = NodeKind::Signal;
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
