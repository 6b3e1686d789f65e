//! `code.run`: runs a piece of TypeScript.

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape, Value};
use futures::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;

use super::function_call::run_code;
use crate::attempt::Attempt;
use crate::definition::{Executor, NodeDefinition};
use crate::functions::Code;

pub(crate) struct CodeRun;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The code: the body of an async function that gets `input` and `ctx` and returns the output.
    code: String,
    /// What the code gets. The node's input where absent.
    #[serde(default)]
    input: Option<Value>,
}

impl NodeDefinition for CodeRun {
    const NAME: &'static str = "code.run";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Runs a piece of TypeScript.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(run);

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}

fn run<'a>(config: Config, attempt: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    let input = config.input.unwrap_or_else(|| attempt.call().input.clone());
    let code = Code::Inline { text: config.code };
    async move {
        let output = run_code(attempt, code, input, (Value::Null, Value::Null)).await?;
        Ok(TaskOutput::main(output.value))
    }
    .boxed()
}
