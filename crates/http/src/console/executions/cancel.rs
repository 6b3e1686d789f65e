//! `POST /executions/{id}/cancel`: asks an execution to stop.

use axum::extract::State;
use flux_engine::{Cancelled, EngineError};
use flux_model::{ErrorCode, ExecutionId, ExecutionStatus};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::problem::{Problem, answered_by_problem};
use crate::query::Named;
use crate::schema;
use crate::text_limit::TextLimit;

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// For people, at most 1000 characters.
    #[serde(default, deserialize_with = "read_reason")]
    reason: Option<String>,
}

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;
const REASON: TextLimit = TextLimit::new(0, REASON_CHARS_MAX, "REASON_CHARS_MAX");

fn read_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    REASON.read_optional(deserializer)
}

/// The execution will stop.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CancelRequested {
    /// Which.
    #[schema(value_type = schema::ExecutionId)]
    id: ExecutionId,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CancelError {
    #[error("execution {0} has {status} already; an ended execution never changes", status = .1.as_str())]
    AlreadyOver(ExecutionId, ExecutionStatus),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::AlreadyOver(..) => Self::new(ErrorCode::Conflict, error.to_string()),
            CancelError::Engine(error) => error.into(),
        }
    }
}

answered_by_problem!(CancelError);

/// Asks an execution to stop. Running nodes get five seconds to end by themselves.
#[utoipa::path(post, path = "/executions/{id}/cancel", tag = "executions",
    params(("id" = schema::ExecutionId, Path, description = "The execution")),
    request_body = CancelRequest,
    responses((status = 202, body = CancelRequested)))]
pub(crate) async fn cancel_execution(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<ExecutionId>,
    Json(request): Json<CancelRequest>,
) -> Result<(StatusCode, Json<CancelRequested>), CancelError> {
    let reason = request.reason.unwrap_or_else(|| format!("cancelled by {}", caller.name));
    match app.engine.cancel(caller.tenant, id, &reason).await? {
        Cancelled::Requested => Ok((StatusCode::ACCEPTED, Json(CancelRequested { id }))),
        Cancelled::AlreadyOver(status) => Err(CancelError::AlreadyOver(id, status)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, review_flow};

    #[tokio::test]
    async fn an_execution_is_cancelled_once() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let id = world.run("a").await;
        let path = format!("POST /executions/{id}/cancel");
        let long = json!({"reason": "x".repeat(1_001)});
        world.console(&path).json(long).send().await.is(400).says("REASON_CHARS_MAX");
        world.console(&path).json(json!({"reason": "enough"})).send().await.is(202);
        let found = world.settled(&id).await;
        assert_eq!((found.at("/status"), found.at("/error/message")), ("cancelled".into(), "enough".into()));
        world.console(&path).send().await.is(409).says("cancelled already");
        let none = "POST /executions/exec_00000000000000000000000000/cancel";
        world.console(none).send().await.is(404);
    }
}
