//! `PUT /flows/{name}/state`: switches a flow on or off. Executions under way go on.

use axum::extract::State;
use flux_store::flows::{FlowState, SetFlowState};
use flux_store::{Command, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::check;
use super::error::FlowError;
use super::summary::{FlowSummary, stored};
use super::versions::{Wanted, find, find_version};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::Named;

/// What a flow shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateRequest {
    /// Whether its trigger starts executions.
    state: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Switch {
    /// It starts executions.
    Active,
    /// It does not.
    Inactive,
}

/// Switches a flow on or off. Executions under way go on.
#[utoipa::path(put, path = "/flows/{name}/state", tag = "flows",
    params(("name" = String, Path, description = "The flow's name")),
    request_body = StateRequest,
    responses((status = 200, body = FlowSummary)))]
pub(crate) async fn set_flow_state(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Json(request): Json<StateRequest>,
) -> Result<Json<FlowSummary>, FlowError> {
    let change = app.deployments.begin().await;
    switch(&app, &caller, &name, request.state).await?;
    change.finish(&app).await?;
    let row = find(&app, caller.tenant, &name).await?;
    Ok(Json(FlowSummary::from(&row)))
}

async fn switch(app: &Shared, caller: &Caller, name: &str, to: Switch) -> Result<(), FlowError> {
    let row = find(app, caller.tenant, name).await?;
    let state = match to {
        Switch::Inactive => FlowState::Inactive,
        Switch::Active if row.active_hash.is_none() => return Err(FlowError::NotPublished(row.name)),
        Switch::Active => {
            // While it was off, another flow may have taken its path.
            let version = find_version(app, &row, &Wanted::Active).await?;
            check(app, caller.tenant, &stored(name, &version.definition)?)?;
            FlowState::Active
        }
    };
    let set = SetFlowState { tenant: caller.tenant, name: name.to_owned(), state, at: app.clock.now() };
    let outcome = app.engine.submit(Command::SetFlowState(set)).await?;
    if matches!(outcome, Outcome::Saved { .. }) { Ok(()) } else { Err(FlowError::refused(name, outcome)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, hook_flow};

    #[tokio::test]
    async fn a_flow_is_switched_off_and_on() {
        let world = World::start().await;
        world.publish(hook_flow("a", json!({"path": "x"}))).await;
        let state = |state: &str| json!({"state": state});
        let off = world.console("PUT /flows/a/state").json(state("inactive")).send().await.is(200);
        assert_eq!(off.at("/state"), "inactive");
        world.gateway("POST /hooks/x").send().await.is(404);
        world.console("POST /flows/a/executions").send().await.is(409).has_code("flow_inactive");
        world.console("PUT /flows/a/state").json(state("active")).send().await.is(200);
        world.gateway("POST /hooks/x").send().await.is(202);
    }

    #[tokio::test]
    async fn a_draft_or_a_taken_path_cannot_be_switched_on() {
        let world = World::start().await;
        world.console("POST /flows").json(flow("a")).send().await.is(201);
        let active = json!({"state": "active"});
        world.console("PUT /flows/a/state").json(active.clone()).send().await.is(409).says("never published");
        world.publish(hook_flow("b", json!({"path": "x"}))).await;
        world.console("PUT /flows/b/state").json(json!({"state": "inactive"})).send().await.is(200);
        world.publish(hook_flow("c", json!({"path": "x"}))).await;
        world
            .console("PUT /flows/b/state")
            .json(active)
            .send()
            .await
            .is(422)
            .says("both answer to POST /hooks/x");
        world.console("PUT /flows/b/state").json(json!({"state": "on"})).send().await.is(400);
    }
}
