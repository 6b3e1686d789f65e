//! `POST /flows/{name}/publish`: the draft becomes the active version, and the flow is switched on.

use axum::extract::State;
use flux_model::Diagnostic;
use flux_store::flows::{FlowRow, PublishFlow, SaveDraft};
use flux_store::{Command, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::check;
use super::error::FlowError;
use super::summary::stored;
use super::versions::find;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::Named;
use crate::schema;

/// What is published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishRequest {
    /// The revision that was read: another one is a conflict.
    #[serde(default)]
    expected_revision: Option<u64>,
}

/// A version that is active now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublishedFlow {
    /// The flow's name.
    pub(super) name: String,
    /// The number of the version.
    pub(super) version: u64,
    /// Its hash.
    pub(super) hash: String,
    /// The flow's revision.
    pub(super) revision: u64,
    /// What its author should know.
    #[schema(value_type = Vec<schema::Diagnostic>)]
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Publishes the draft and switches the flow on.
///
/// Executions under way stay with the version they started with.
#[utoipa::path(post, path = "/flows/{name}/publish", tag = "flows",
    params(("name" = String, Path, description = "The flow's name")),
    request_body = PublishRequest,
    responses((status = 200, body = PublishedFlow)))]
pub(crate) async fn publish_flow(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Json(request): Json<PublishRequest>,
) -> Result<Json<PublishedFlow>, FlowError> {
    let change = app.deployments.begin().await;
    let row = find(&app, caller.tenant, &name).await?;
    if request.expected_revision.is_some_and(|expected| expected != row.revision) {
        return Err(FlowError::Stale { flow: name, found: row.revision });
    }
    let checked = check(&app, caller.tenant, &stored(&name, &row.draft)?)?;
    let published = publish(&app, &caller, row).await?;
    change.finish(&app).await?;
    Ok(Json(PublishedFlow { diagnostics: checked.warnings, ..published }))
}

/// Publishes what was checked: if the draft changed in between, nothing happens.
async fn publish(app: &Shared, caller: &Caller, row: FlowRow) -> Result<PublishedFlow, FlowError> {
    let draft = SaveDraft {
        tenant: caller.tenant,
        name: row.name.clone(),
        definition: row.draft,
        hash: row.draft_hash.clone(),
        expected_revision: Some(row.revision),
        at: app.clock.now(),
    };
    let command = Command::PublishFlow(PublishFlow { draft, author: caller.name.to_string() });
    let outcome = app.engine.submit(command).await?;
    let Outcome::Published { number, revision } = outcome else {
        return Err(FlowError::refused(&row.name, outcome));
    };
    let (name, hash) = (row.name, row.draft_hash);
    Ok(PublishedFlow { name, version: number, hash, revision, diagnostics: Vec::new() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow, hook_flow};

    #[tokio::test]
    async fn a_draft_goes_live_at_once() {
        let world = World::start().await;
        world.console("POST /flows").json(hook_flow("a", json!({"path": "x"}))).send().await.is(201);
        world.gateway("POST /hooks/x").send().await.is(404);
        let published = world.console("POST /flows/a/publish").send().await.is(200);
        assert_eq!((published.at("/version"), published.at("/revision")), (1.into(), 2.into()));
        world.gateway("POST /hooks/x").send().await.is(202);
        world.console("POST /flows/b/publish").send().await.is(404);
    }

    #[tokio::test]
    async fn two_flows_cannot_have_one_path() {
        let world = World::start().await;
        for name in ["a", "b"] {
            world.console("POST /flows").json(hook_flow(name, json!({"path": "x"}))).send().await.is(201);
        }
        world.console("POST /flows/a/publish").send().await.is(200);
        world.console("POST /flows/b/publish").send().await.is(422).says("both answer to POST /hooks/x");
    }

    #[tokio::test]
    async fn a_revision_that_was_not_seen_is_a_conflict() {
        let world = World::start().await;
        world.console("POST /flows").json(flow("a")).send().await.is(201);
        let request = json!({"expected_revision": 7});
        world.console("POST /flows/a/publish").json(request).send().await.is(409).says("is at revision 1");
        let misspelt = json!({"expected_revison": 1});
        let refused = world.console("POST /flows/a/publish").json(misspelt).send().await.is(400);
        assert_eq!(refused.at("/errors/0/suggestion"), "write `expected_revision`");
    }
}
