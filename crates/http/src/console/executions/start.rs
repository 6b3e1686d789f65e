//! `POST /flows/{name}/executions`: starts an execution, and waits for its end if asked to.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flux_engine::{
    Admission, Admitted, AdmittedAs, Answer, EngineError, FlowRef, TriggerKind, Until, Waiting,
};
use flux_model::execution::ExecutionResult;
use flux_model::{ErrorCode, ExecutionId, ExecutionStatus, Value};
use flux_store::ExecutionRow;
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::error::ExecutionError;
use super::get::find;
use super::view::{ErrorView, WaitView};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::API;
use crate::query::Named;
use crate::request_id::RequestId;
use crate::schema;
use crate::text_limit::TextLimit;

/// The longest that a caller may wait for the end, in milliseconds.
const WAIT_MS_MAX: u64 = 300_000;

/// Characters of an idempotency key.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
const IDEMPOTENCY_KEY: TextLimit = TextLimit::new(1, IDEMPOTENCY_KEY_CHARS_MAX, "IDEMPOTENCY_KEY_CHARS_MAX");

/// What to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// The input: what the trigger puts out. `null` where absent.
    #[serde(default)]
    #[schema(value_type = serde_json::Value)]
    input: Value,
    /// A second start of the flow with the same key is answered with the execution of the first.
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "read_key")]
    idempotency_key: Option<String>,
    /// How long to wait for the end, in milliseconds, at most 300000. Absent: not at all.
    #[serde(default, deserialize_with = "read_wait")]
    #[schema(value_type = Option<u64>, maximum = 300_000)]
    wait_ms: Option<Duration>,
    /// The hash of the version to run; the active one where absent.
    #[serde(default)]
    version: Option<String>,
}

fn read_wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let wait_ms = Option::<u64>::deserialize(deserializer)?;
    if let Some(over) = wait_ms.filter(|wait_ms| *wait_ms > WAIT_MS_MAX) {
        let message = format!("{over} ms is more than {WAIT_MS_MAX} ms (WAIT_MS_MAX)");
        return Err(serde::de::Error::custom(message));
    }
    Ok(wait_ms.map(Duration::from_millis))
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    IDEMPOTENCY_KEY.read_optional(deserializer)
}

/// An execution that was accepted: where it stands, if it was waited for, and its result, if it
/// has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartedExecution {
    /// Its id.
    #[schema(value_type = schema::ExecutionId)]
    id: ExecutionId,
    /// Always `flow`.
    kind: &'static str,
    /// Where it stands; absent where nobody waited to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::ExecutionStatus>)]
    status: Option<ExecutionStatus>,
    /// What it waits for; empty unless it is waiting.
    waits: Vec<WaitView>,
    /// The output, if it succeeded.
    #[schema(value_type = Option<serde_json::Value>)]
    output: Option<Value>,
    /// Why it did not end well.
    error: Option<ErrorView>,
    /// Whether an earlier execution with the same idempotency key answers.
    duplicate: bool,
}

/// Starts an execution of a flow. With `wait_ms`, waits for its end.
#[utoipa::path(post, path = "/flows/{name}/executions", tag = "executions",
    params(("name" = String, Path, description = "The flow's name")),
    request_body = StartRequest,
    responses((status = 200, body = StartedExecution, description = "It has ended"),
              (status = 202, body = StartedExecution, description = "It is accepted and durable")))]
pub(crate) async fn start_execution(
    caller: Caller,
    State(app): State<Shared>,
    Extension(request_id): Extension<RequestId>,
    Named(name): Named<String>,
    Json(request): Json<StartRequest>,
) -> Result<Response, ExecutionError> {
    let wait = request.wait_ms;
    let admission = admission(&caller, &request_id, name, request);
    let Some(timeout) = wait else {
        let admitted = app.engine.admit(admission).await.map_err(EngineError::from)?;
        return Ok(StartedExecution::of(&admitted).into_response());
    };
    let waiting = Waiting { until: Until::End, timeout };
    let (admitted, answer) = app.engine.run(admission, waiting).await?;
    let mut started = StartedExecution::of(&admitted);
    match answer {
        Answer::Ended(result) => started.ended(result),
        Answer::Pending(status) => started.pending(status, find(&app, caller.tenant, admitted.id).await?),
        Answer::Responded(_) => {}
    }
    Ok(started.into_response())
}

fn admission(caller: &Caller, request_id: &RequestId, name: String, request: StartRequest) -> Admission {
    let mut admission = Admission::new(caller.tenant, "", TriggerKind::Api, request.input);
    admission.flow = match request.version {
        Some(hash) => FlowRef::Version { name, hash },
        None => FlowRef::Active(name),
    };
    admission.idempotency_key = request.idempotency_key;
    admission.request_id = request_id.as_str().to_owned();
    admission
}

impl StartedExecution {
    fn of(admitted: &Admitted) -> Self {
        Self {
            id: admitted.id,
            kind: "flow",
            status: None,
            waits: Vec::new(),
            output: None,
            error: None,
            duplicate: admitted.outcome == AdmittedAs::Duplicate,
        }
    }

    fn ended(&mut self, result: ExecutionResult) {
        self.status = Some(result.status());
        match result {
            ExecutionResult::Succeeded { output } => self.output = Some(output),
            ExecutionResult::Failed { error } => self.error = Some(error.into()),
            ExecutionResult::Cancelled { reason } => self.error = Some(cancelled(reason)),
        }
    }

    /// It stood at `status` when the wait was given up. What it waits for is known if it still does.
    fn pending(&mut self, status: ExecutionStatus, row: ExecutionRow) {
        self.status = Some(status);
        if status == row.status {
            self.waits = row.waits.into_iter().map(WaitView::from).collect();
        }
    }
}

impl IntoResponse for StartedExecution {
    fn into_response(self) -> Response {
        let over = self.output.is_some() || self.error.is_some();
        let code = if over { StatusCode::OK } else { StatusCode::ACCEPTED };
        let location = format!("{API}/executions/{}", self.id);
        (code, [(header::LOCATION, location)], Json(self)).into_response()
    }
}

fn cancelled(reason: String) -> ErrorView {
    flux_store::executions::ErrorSummary { code: ErrorCode::Cancelled, message: reason, node: None }.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow};

    #[tokio::test]
    async fn without_waiting_the_answer_is_the_id() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let started = world.console("POST /flows/a/executions").json(json!({"input": {"n": 1}})).send().await;
        let started = started.is(202);
        let id = started.at("/id").as_str().unwrap().to_owned();
        assert_eq!(started.header("location"), format!("/api/v1/executions/{id}"));
        world.console("POST /flows/a/executions").send().await.is(202);
    }

    #[tokio::test]
    async fn with_waiting_the_answer_is_the_result() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let request = json!({"input": {"n": 1}, "wait_ms": 5_000});
        let ended = world.console("POST /flows/a/executions").json(request).send().await.is(200);
        assert_eq!((ended.at("/status"), ended.at("/output/n")), ("succeeded".into(), 1.into()));
        world.publish(crate::testing::failing_flow("b")).await;
        let request = json!({"wait_ms": 5_000});
        let failed = world.console("POST /flows/b/executions").json(request).send().await.is(200);
        assert_eq!((failed.at("/status"), failed.at("/error/node")), ("failed".into(), "next".into()));
    }

    #[tokio::test]
    async fn an_answer_holds_what_every_answer_about_an_execution_holds() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        world.publish(crate::testing::review_flow("b")).await;
        let request = json!({"wait_ms": 50});
        let ended = world.console("POST /flows/a/executions").json(request.clone()).send().await.is(200);
        let waits = world.console("POST /flows/b/executions").json(request).send().await.is(202);
        assert_eq!((waits.at("/status"), waits.at("/waits/0/on")), ("waiting".into(), "review".into()));
        for answer in [ended, waits] {
            let members: serde_json::Map<_, _> = serde_json::from_str(&answer.text()).unwrap();
            for name in ["id", "kind", "status", "output", "error", "waits"] {
                assert!(members.contains_key(name), "{name}: {members:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_idempotency_key_starts_once() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let request = json!({"idempotency_key": "k", "wait_ms": 5_000});
        let first = world.console("POST /flows/a/executions").json(request.clone()).send().await.is(200);
        let second = world.console("POST /flows/a/executions").json(request).send().await.is(200);
        assert_eq!(first.at("/id"), second.at("/id"));
        assert_eq!((first.at("/duplicate"), second.at("/duplicate")), (false.into(), true.into()));
    }

    #[tokio::test]
    async fn bad_requests_are_explained() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let check = async |body: serde_json::Value, says: &str| {
            world.console("POST /flows/a/executions").json(body).send().await.is(400).says(says);
        };
        check(json!({"wait_ms": 300_001}), "300001 ms is more than 300000 ms (WAIT_MS_MAX)").await;
        check(json!({"idempotency_key": "x".repeat(256)}), "IDEMPOTENCY_KEY_CHARS_MAX").await;
        check(json!({"inputs": 1}), "write `input`").await;
        check(json!([]), "").await;
        world.console("POST /flows/b/executions").send().await.is(404).has_code("flow_not_found");
        let bomb = "[".repeat(1_000_000);
        world.console("POST /flows/a/executions").body(&bomb).send().await.is(400);
        let typed =
            world.console("POST /flows/a/executions").body("a=1").header("content-type", "text/plain");
        typed.send().await.is(415).has_code("media_type_unsupported");
    }
}
