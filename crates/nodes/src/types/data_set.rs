//! `data.set`: composes an object.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::open_object;
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct DataSet;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the core reads the rendered values")]
pub(crate) struct Config {
    /// The members, by name.
    values: IndexMap<String, Value>,
    /// Whether the members of the node's input are kept.
    #[serde(default)]
    keep: Keep,
}

/// Which members of the input are kept.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keep {
    /// None.
    #[default]
    None,
    /// All; `values` win where a name is in both.
    All,
}

impl NodeDefinition for DataSet {
    const NAME: &'static str = "data.set";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Composes an object out of named values.";
    const KIND: NodeKind = NodeKind::Set;
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
