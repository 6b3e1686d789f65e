//! `GET /flows/{name}`: a flow with its draft, or with one of its versions.

use axum::extract::State;
use flux_model::Flow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::FlowError;
use super::summary::FlowSummary;
use super::versions::{Wanted, definition_of, find_drawn};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::{Named, Query};
use crate::schema;

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FlowQuery {
    /// `draft` (where absent), `active`, the number of a version, or its hash.
    #[param(value_type = Option<String>)]
    version: Option<Wanted>,
}

/// A flow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowDetail {
    #[serde(flatten)]
    summary: FlowSummary,
    /// The flow file of the version that was asked for.
    #[schema(value_type = schema::Flow)]
    definition: Flow,
}

/// Shows a flow with its draft, or with one of its versions.
#[utoipa::path(get, path = "/flows/{name}", tag = "flows",
    params(("name" = String, Path, description = "The flow's name"), FlowQuery),
    responses((status = 200, body = FlowDetail)))]
pub(crate) async fn get_flow(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Query(query): Query<FlowQuery>,
) -> Result<Json<FlowDetail>, FlowError> {
    let row = find_drawn(&app, caller.tenant, &name).await?;
    let wanted = query.version.unwrap_or(Wanted::Draft);
    let definition = definition_of(&app, &row, &wanted).await?;
    Ok(Json(FlowDetail { summary: FlowSummary::from(&row), definition }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow};

    #[tokio::test]
    async fn versions_are_named_in_four_ways() {
        let world = World::start().await;
        let hash = world.publish(flow("a")).await;
        let mut changed = flow("a");
        changed["description"] = "new".into();
        world.console("POST /flows").json(changed).send().await.is(200);
        for (version, description) in [("draft", json!("new")), ("active", json!(null)), ("1", json!(null))] {
            let found = world.console(&format!("GET /flows/a?version={version}")).send().await.is(200);
            assert_eq!(found.at("/definition/description"), description, "{version}");
        }
        let found = world.console(&format!("GET /flows/a?version={hash}")).send().await.is(200);
        assert_eq!((found.at("/has_changes"), found.at("/active_hash")), (true.into(), hash.into()));
        world.console("GET /flows/a?version=9").send().await.is(404).says("no version `9`");
        world.console("GET /flows/b").send().await.is(404).has_code("flow_not_found");
    }
}
