//! `DELETE /flows/{name}`: the flow starts nothing any more. Its versions and executions stay.

use axum::extract::State;
use flux_store::{Command, Outcome};
use http::StatusCode;

use super::error::FlowError;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::query::Named;

/// Deletes a flow. Its executions stay, and go on with the version they started with.
#[utoipa::path(delete, path = "/flows/{name}", tag = "flows",
    params(("name" = String, Path, description = "The flow's name")),
    responses((status = 204)))]
pub(crate) async fn delete_flow(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
) -> Result<StatusCode, FlowError> {
    let change = app.deployments.begin().await;
    let command = Command::DeleteFlow { tenant: caller.tenant, name: name.clone() };
    let outcome = app.engine.submit(command).await?;
    if outcome != Outcome::Done {
        return Err(FlowError::refused(&name, outcome));
    }
    change.finish(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, hook_flow};

    #[tokio::test]
    async fn a_deleted_flow_answers_no_more() {
        let world = World::start().await;
        world.publish(hook_flow("a", json!({"path": "x"}))).await;
        world.console("DELETE /flows/a").send().await.is(204);
        world.gateway("POST /hooks/x").send().await.is(404);
        world.console("DELETE /flows/a").send().await.is(404).has_code("flow_not_found");
    }
}
