//! `function.call`: calls a function of the project, within the attempt.

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{ErrorCode, Purity, Shape, Value};
use futures::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;

use super::open_object;
use crate::attempt::Attempt;
use crate::definition::{Executor, NodeDefinition};
use crate::functions::{Code, FunctionOutput};

pub(crate) struct FunctionCall;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The name of the function.
    #[schemars(length(min = 1))]
    function: String,
    /// Its input.
    #[serde(default)]
    input: Value,
    /// The version of the project's functions. The active one where absent.
    #[serde(default)]
    bundle: Option<String>,
    /// What `ctx.headers` shows.
    #[serde(default)]
    headers: Value,
    /// What `ctx.user` shows.
    #[serde(default)]
    user: Value,
}

impl NodeDefinition for FunctionCall {
    const NAME: &'static str = "function.call";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Calls a function of the project.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(run);

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("output", Shape::Any), ("response", open_object())])
    }
}

fn run<'a>(config: Config, attempt: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    let Config { function, input, bundle, headers, user } = config;
    let code = Code::Function { name: function, bundle };
    async move { Ok(TaskOutput::main(shown(run_code(attempt, code, input, (headers, user)).await?))) }.boxed()
}

/// Runs code for an attempt, if somebody here does.
pub(super) async fn run_code(
    attempt: &Attempt<'_>,
    code: Code,
    input: Value,
    (headers, user): (Value, Value),
) -> Result<FunctionOutput, Failure> {
    let Some(functions) = attempt.functions() else {
        let message = "this server runs no functions: it was started without Deno (`functions.deno`)";
        return Err(Failure::permanent(ErrorCode::RuntimeMissing, message));
    };
    let call = crate::functions::FunctionCall { task: attempt.call(), code, input, headers, user };
    functions.run(call, attempt.recorder()).await
}

/// The node's output: what was returned, and of a `Response` its status and headers.
fn shown(output: FunctionOutput) -> Value {
    let mut members = vec![("output", output.value)];
    if let Some(head) = output.response {
        let headers = head
            .headers
            .into_iter()
            .map(|(name, value)| Value::array(vec![Value::text(name), Value::text(value)]));
        let head =
            [("status", Value::from(i64::from(head.status))), ("headers", Value::array(headers.collect()))];
        members.push(("response", Value::object(head)));
    }
    Value::object(members)
}
