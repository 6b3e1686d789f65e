//! `logic.delay`: waits for a while or until a time.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct LogicDelay;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// How long, in milliseconds.
    #[serde(default)]
    ms: Option<u64>,
    /// Until when, as RFC 3339: `2026-03-01T09:00:00+01:00`. A time that has passed does not wait.
    #[serde(default)]
    until: Option<String>,
}

impl NodeDefinition for LogicDelay {
    const NAME: &'static str = "logic.delay";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Waits for some time, or until a time.";
    const KIND: NodeKind = NodeKind::Delay;
    const PURITY: Purity = Purity::Wait;
    const EXECUTOR: Executor<Self::Config> = Executor::Core;

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("waited_ms", Shape::Number)])
    }
}
