//! `logic.merge`: waits for several branches.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use super::open_object;
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct LogicMerge;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// Whether it waits for every branch, or goes on with the first.
    #[serde(default)]
    mode: Mode,
}

/// What is waited for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Every branch that is not dead.
    #[default]
    All,
    /// The first branch; what comes later is dropped.
    First,
}

impl NodeDefinition for LogicMerge {
    const NAME: &'static str = "logic.merge";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Waits for its branches; gives an object of what came, by the key of the node it came from.";
    const KIND: NodeKind = NodeKind::Merge;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        open_object()
    }
}
