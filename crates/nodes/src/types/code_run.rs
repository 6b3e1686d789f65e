//! `code.run`: runs a piece of TypeScript.
//!
//! The functions runtime is not part of this build: the node checks its config, and fails.

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{ErrorCode, Purity, Shape, Value};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::attempt::Attempt;
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct CodeRun;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked only: nothing in this build runs it")]
pub(crate) struct Config {
    /// The code: the body of an async function that gets `input` and returns the output.
    code: String,
    /// What the code gets. The node's input where absent.
    #[serde(default)]
    input: Value,
}

impl NodeDefinition for CodeRun {
    const NAME: &'static str = "code.run";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Runs a piece of TypeScript.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(refuse);

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}

fn refuse<'a>(_: Config, _: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    let message = "`code.run` needs the functions runtime, which is not part of this build";
    Box::pin(std::future::ready(Err(Failure::permanent(ErrorCode::RuntimeMissing, message))))
}
