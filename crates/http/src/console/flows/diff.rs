//! `GET /flows/{name}/diff`: what differs between two versions of a flow.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::difference::Difference;
use super::error::FlowError;
use super::versions::{Wanted, definition_of, find_drawn};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::{Named, Query};

/// Which versions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DiffQuery {
    /// The earlier version: `active` (where absent), `draft`, a number or a hash.
    #[param(value_type = Option<String>)]
    from: Option<Wanted>,
    /// The later version: `draft` (where absent), `active`, a number or a hash.
    #[param(value_type = Option<String>)]
    to: Option<Wanted>,
}

/// What differs between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowDiff {
    /// The earlier version, as it was asked for.
    from: String,
    /// The later version, as it was asked for.
    to: String,
    #[serde(flatten)]
    difference: Difference,
}

/// Says what differs between two versions of a flow.
#[utoipa::path(get, path = "/flows/{name}/diff", tag = "flows",
    params(("name" = String, Path, description = "The flow's name"), DiffQuery),
    responses((status = 200, body = FlowDiff)))]
pub(crate) async fn diff_flow(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<FlowDiff>, FlowError> {
    let row = find_drawn(&app, caller.tenant, &name).await?;
    let (from, to) = (query.from.unwrap_or(Wanted::Active), query.to.unwrap_or(Wanted::Draft));
    let before = definition_of(&app, &row, &from).await?;
    let after = definition_of(&app, &row, &to).await?;
    let difference = Difference::between(&before, &after);
    Ok(Json(FlowDiff { from: from.to_string(), to: to.to_string(), difference }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, flow};

    #[tokio::test]
    async fn the_draft_is_compared_with_what_runs() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let same = world.console("GET /flows/a/diff").send().await.is(200);
        assert_eq!((same.at("/identical"), same.at("/from")), (true.into(), "active".into()));
        let mut changed = flow("a");
        changed["nodes"][1]["config"]["values"]["x"] = 2.into();
        world.console("POST /flows").json(changed).send().await.is(200);
        let found = world.console("GET /flows/a/diff?from=1&to=draft").send().await.is(200);
        assert_eq!(found.at("/nodes_changed/0/fields/0/field"), "config.values.x");
        world.console("GET /flows/a/diff?form=1").send().await.is(400).says("write `from`");
        world.console("GET /flows/a/diff?from=7").send().await.is(404);
    }
}
