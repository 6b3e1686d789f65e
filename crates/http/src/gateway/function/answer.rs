//! Runs a function for a caller, and answers with what it gives.
//!
//! What a function tells its caller with an error of its own is passed on. Everything else that goes
//! wrong is for those who may see the execution.

use axum::response::Response;
use flux_engine::{Admission, Answer, TriggerKind, Until, Waiting};
use flux_model::effect::Response as FlowResponse;
use flux_model::error::{ErrorAnswer, NodeError};
use flux_model::execution::ExecutionResult;
use flux_model::{ErrorCode, ExecutionId, Value};
use flux_triggers::function::AnswerWhen;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};

use super::FunctionTarget;
use super::identity::Identity;
use crate::app::{Detail, Shared};
use crate::gateway::answer::{accepted, compose, not_run, output_of, refused};
use crate::problem::{Problem, RETRY_AFTER_DEFAULT, status_of};
use crate::request_id::RequestId;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of an idempotency key.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// A call that may run.
pub(super) struct Invocation<'a> {
    target: &'a FunctionTarget,
    request_id: RequestId,
    /// Absent where the acceptance is not kept: there is nothing to find again.
    idempotency_key: Option<String>,
}

impl<'a> Invocation<'a> {
    pub(super) fn new(
        target: &'a FunctionTarget,
        identity: &Identity,
        parts: &Parts,
    ) -> Result<Self, Problem> {
        let idempotency_key = match target.route.target.answer() {
            AnswerWhen::Output => None,
            AnswerWhen::DurableOutput | AnswerWhen::Accepted => {
                let given = idempotency_key(&parts.headers)?;
                given.map(|key| format!("call/{}/{key}", identity.id.namespace()))
            }
        };
        Ok(Self { target, request_id: RequestId::in_parts(parts), idempotency_key })
    }

    /// Runs the function with what its trigger gives.
    pub(super) async fn run(self, app: &Shared, input: Value) -> Result<Response, Problem> {
        let (route, timeout) = (&self.target.route, self.target.route.target.timeout());
        let mut admission = Admission::new(self.target.tenant, &route.flow, TriggerKind::Function, input);
        admission.idempotency_key = self.idempotency_key;
        admission.request_id = self.request_id.as_str().to_owned();
        let ran = match route.target.answer() {
            AnswerWhen::Accepted => {
                let admitted = app.engine.admit(admission).await.map_err(refused)?;
                return Ok(accepted(admitted.id, None));
            }
            AnswerWhen::Output => app.engine.call(admission, timeout).await,
            AnswerWhen::DurableOutput => {
                app.engine.run(admission, Waiting { until: Until::End, timeout }).await
            }
        };
        let (admitted, answer) = ran.map_err(not_run)?;
        Outcome { app, id: admitted.id }.answer(answer)
    }
}

/// The idempotency key of a request, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().map_err(|_| Problem::invalid("idempotency-key: it is not printable ASCII"))?;
    if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(Some(key));
    }
    Err(Problem::invalid(format!(
        "idempotency-key: {} characters are not between 1 and {IDEMPOTENCY_KEY_BYTES_MAX} \
         (IDEMPOTENCY_KEY_BYTES_MAX)",
        key.len()
    )))
}

/// How an execution of a function came out.
struct Outcome<'a> {
    app: &'a Shared,
    id: ExecutionId,
}

impl Outcome<'_> {
    fn answer(&self, answer: Answer) -> Result<Response, Problem> {
        match answer {
            Answer::Ended(ExecutionResult::Succeeded { output }) => self.succeeded(&output),
            Answer::Ended(ExecutionResult::Failed { error }) => Err(self.failed(error)),
            Answer::Ended(ExecutionResult::Cancelled { .. }) => {
                Err(self.inside(ErrorCode::Cancelled, "was cancelled".to_owned()))
            }
            // Only webhooks wait for a respond node; asked for the end, the engine tells no less.
            Answer::Responded(response) => Ok(compose(response)),
            Answer::Pending(_) => Ok(accepted(self.id, Some(&self.app.console_url))),
        }
    }

    /// The output of `function.call`: a value, and of a `Response` its status and headers.
    fn succeeded(&self, output: &Value) -> Result<Response, Problem> {
        let Some(value) = output.get("output") else {
            return Err(self.inside(ErrorCode::FunctionOutput, "gave no `output`".to_owned()));
        };
        match output.get("response") {
            Some(head) => Ok(compose(response(head, value.clone()))),
            None => Ok(output_of(value)),
        }
    }

    fn failed(&self, error: NodeError) -> Problem {
        if let Some(answer) = error.answer {
            let ErrorAnswer { status, code } = *answer;
            let status = StatusCode::from_u16(status).ok().filter(|status| is_error(*status));
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Problem::of_function(status, code, error.message);
        }
        match self.app.functions.detail {
            Detail::Hidden => self.inside(error.code, "failed".to_owned()),
            Detail::Shown => {
                self.inside(error.code, format!("failed: {}", error.message)).with_stack(error.stack)
            }
        }
    }

    /// Something went wrong that is none of the caller's business.
    fn inside(&self, code: ErrorCode, how: String) -> Problem {
        let status = Some(status_of(code)).filter(|status| PASSED_ON.contains(status));
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Problem::new(code, format!("execution {} {how}", self.id)).with_status(status);
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(RETRY_AFTER_DEFAULT),
            _ => problem,
        }
    }
}

/// What a caller can act upon: come again, or do not wait so long. Every other failure is 500.
const PASSED_ON: [StatusCode; 2] = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The `Response` that a function returned.
fn response(head: &Value, body: Value) -> FlowResponse {
    let status = head.get("status").and_then(Value::as_i64).and_then(|status| u16::try_from(status).ok());
    let pairs = head.get("headers").and_then(Value::as_array).unwrap_or_default().iter();
    let headers =
        pairs.filter_map(|pair| Some((pair.at(0)?.as_str()?.to_owned(), pair.at(1)?.as_str()?.to_owned())));
    // What is no status becomes 500 where the answer is composed.
    FlowResponse { status: status.unwrap_or_default(), headers: headers.collect(), body }
}

#[cfg(test)]
mod tests {
    use flux_model::error::Failure;
    use http_body_util::BodyExt;

    use super::*;
    use crate::testing::World;

    fn failed(code: ErrorCode, answer: Option<(u16, &str)>) -> NodeError {
        let Failure { message, class, .. } = Failure::permanent(code, "the message");
        NodeError {
            node: "next".into(),
            name: "next".into(),
            node_type: "function.call".into(),
            attempt: 1,
            code,
            message,
            class,
            provider_status: None,
            stack: Some("at f.ts:1:2".into()),
            at: flux_model::Timestamp::default(),
            call: None,
            answer: answer.map(|(status, code)| Box::new(ErrorAnswer { status, code: code.into() })),
        }
    }

    #[tokio::test]
    async fn what_a_function_tells_its_caller_is_passed_on_and_nothing_else() {
        let world = World::start().await;
        let id = ExecutionId::from_bits(7);
        let outcome = Outcome { app: &world.app, id };
        let check = |code: ErrorCode, answer: Option<(u16, &str)>, expected: (u16, &str, &str)| {
            let problem = outcome.failed(failed(code, answer));
            let body: serde_json::Value = serde_json::from_slice(&problem.write("r")).unwrap();
            let (told, detail) = (body["code"].as_str().unwrap(), body["detail"].as_str().unwrap());
            assert_eq!((problem.status().as_u16(), told, detail), expected);
            assert!(body.get("stack").is_none(), "{body}");
        };
        let inside = format!("execution {id} failed");
        check(ErrorCode::FunctionFailed, Some((409, "sold_out")), (409, "sold_out", "the message"));
        check(ErrorCode::FunctionFailed, Some((200, "odd")), (500, "odd", "the message"));
        check(ErrorCode::FunctionFailed, None, (500, "function_failed", &inside));
        check(ErrorCode::FunctionCrashed, None, (500, "function_crashed", &inside));
        check(ErrorCode::FunctionTimeout, None, (504, "function_timeout", &inside));
        check(ErrorCode::NodeTimeout, None, (504, "node_timeout", &inside));
        check(ErrorCode::Overloaded, None, (503, "overloaded", &inside));
        check(ErrorCode::QueryForbidden, None, (500, "query_forbidden", &inside));
        let cancelled = outcome.answer(Answer::Ended(ExecutionResult::Cancelled { reason: "secret".into() }));
        let cancelled = cancelled.unwrap_err();
        assert_eq!((cancelled.status().as_u16(), cancelled.code()), (500, ErrorCode::Cancelled));
        assert!(!cancelled.detail().contains("secret"));
    }

    #[tokio::test]
    async fn a_returned_response_with_an_odd_head_does_not_break_the_connection() {
        let world = World::start().await;
        let outcome = Outcome { app: &world.app, id: ExecutionId::from_bits(7) };
        let check = async |output: &str, expected: (u16, &str)| {
            let given = outcome.succeeded(&Value::from_json(output.as_bytes()).unwrap()).unwrap();
            let status = given.status().as_u16();
            let body = given.into_body().collect().await.unwrap().to_bytes();
            assert_eq!((status, std::str::from_utf8(&body).unwrap()), expected, "{output}");
        };
        check(r#"{"output":"a","response":{"status":200,"headers":[["x"],["y",1],7]}}"#, (200, "a")).await;
        check(r#"{"output":"a","response":{"status":70000}}"#, (500, "a")).await;
        check(r#"{"output":"a","response":{}}"#, (500, "a")).await;
        check(r#"{"output":{"n":1},"response":{"status":200,"headers":[]}}"#, (200, r#"{"n":1}"#)).await;
    }
}
