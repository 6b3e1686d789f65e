//! `POST /executions/{id}/rerun`: runs an ended execution again, as a new one.

use axum::extract::State;
use flux_engine::{Rerun, RerunVersion};
use flux_model::ExecutionId;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::Named;
use crate::refusal::EngineRefusal;
use crate::request_id::RequestId;
use crate::schema;

/// From where, and with which version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RerunRequest {
    /// The node to start from, taking over what was before it; the trigger where absent.
    #[serde(default)]
    from_node: Option<String>,
    /// Which version runs: `same` (where absent) or `active`.
    #[serde(default)]
    version: RerunOf,
}

/// Which version of the flow runs.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RerunOf {
    /// The one that the earlier execution ran.
    #[default]
    Same,
    /// The one that is active now.
    Active,
}

/// The new execution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RerunStarted {
    /// Its id.
    #[schema(value_type = schema::ExecutionId)]
    id: ExecutionId,
    /// The execution that is run again.
    #[schema(value_type = schema::ExecutionId)]
    of: ExecutionId,
}

/// Runs an ended execution again, as a new one. The old one stays as it is.
#[utoipa::path(post, path = "/executions/{id}/rerun", tag = "executions",
    params(("id" = schema::ExecutionId, Path, description = "The execution")),
    request_body = RerunRequest,
    responses((status = 202, body = RerunStarted)))]
pub(crate) async fn rerun_execution(
    caller: Caller,
    State(app): State<Shared>,
    axum::Extension(request_id): axum::Extension<RequestId>,
    Named(of): Named<ExecutionId>,
    Json(request): Json<RerunRequest>,
) -> Result<(StatusCode, Json<RerunStarted>), EngineRefusal> {
    let version = match request.version {
        RerunOf::Same => RerunVersion::Same,
        RerunOf::Active => RerunVersion::Active,
    };
    let request_id = request_id.as_str().to_owned();
    let rerun = Rerun { from_node: request.from_node, request_id, version };
    let admitted = app.engine.rerun(caller.tenant, of, rerun).await?;
    Ok((StatusCode::ACCEPTED, Json(RerunStarted { id: admitted.id, of })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, review_flow};

    #[tokio::test]
    async fn an_ended_execution_runs_again() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let id = world.run("a").await;
        let path = format!("POST /executions/{id}/rerun");
        let whole = world.console(&path).send().await.is(202);
        assert_eq!(world.settled(whole.at("/id").as_str().unwrap()).await.at("/output/n"), 1);
        let part = world.console(&path).json(json!({"from_node": "next"})).send().await.is(202);
        assert_ne!(part.at("/id"), part.at("/of"));
        assert_eq!(world.settled(part.at("/id").as_str().unwrap()).await.at("/trigger"), "rerun");
        world.console(&path).json(json!({"from_node": "nowhere"})).send().await.is(400).says("`nowhere`");
        world.console(&path).json(json!({"version": "new"})).send().await.is(400);
    }

    #[tokio::test]
    async fn one_that_is_not_over_does_not() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let id = world.run("a").await;
        world.console(&format!("POST /executions/{id}/rerun")).send().await.is(409);
    }
}
