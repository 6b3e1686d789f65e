//! `flow.respond`: answers the caller of the flow.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct FlowRespond;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The status, 200 to 599. 200 where absent.
    #[serde(default)]
    #[schemars(range(min = 200, max = 599))]
    status: Option<u16>,
    /// The headers, by name.
    #[serde(default)]
    headers: Option<IndexMap<String, Value>>,
    /// The body: a text is sent as it is, everything else as JSON.
    #[serde(default)]
    body: Value,
}

impl NodeDefinition for FlowRespond {
    const NAME: &'static str = "flow.respond";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Answers the caller that waits for the flow; the first answer counts.";
    const KIND: NodeKind = NodeKind::Respond;
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
