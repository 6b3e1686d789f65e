//! `logic.switch`: goes the way of the first case that holds, or of all.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct LogicSwitch;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The cases, in the order they are tried.
    cases: Vec<Case>,
    /// Whether the first case that holds counts, or every one.
    #[serde(default)]
    mode: Mode,
}

/// A case.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Case {
    /// The name of its output port.
    #[schemars(length(min = 1))]
    name: String,
    /// What decides.
    when: Value,
}

/// Which cases count.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// The first that holds.
    #[default]
    First,
    /// Every one that holds.
    All,
}

impl NodeDefinition for LogicSwitch {
    const NAME: &'static str = "logic.switch";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Goes by the port of the case that holds, or by `default`, with its input.";
    const KIND: NodeKind = NodeKind::Switch;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        Ports::PerEntry { field: "cases".to_owned() }
    }

    fn output() -> Shape {
        Shape::Any
    }
}
