//! `function.call`: calls a function of the project.
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

pub(crate) struct FunctionCall;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked only: nothing in this build runs it")]
pub(crate) struct Config {
    /// The name of the function.
    #[schemars(length(min = 1))]
    function: String,
    /// Its input.
    #[serde(default)]
    input: Value,
}

impl NodeDefinition for FunctionCall {
    const NAME: &'static str = "function.call";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Calls a function of the project.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(refuse);

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("output", Shape::Any)])
    }
}

fn refuse<'a>(_: Config, _: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    let message = "`function.call` needs the functions runtime, which is not part of this build";
    Box::pin(std::future::ready(Err(Failure::permanent(ErrorCode::RuntimeMissing, message))))
}
