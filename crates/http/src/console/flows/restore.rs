//! `POST /flows/{name}/restore`: an earlier version becomes draft and active again.

use axum::extract::State;
use flux_store::flows::RestoreFlow;
use flux_store::{Command, Outcome};
use serde::Deserialize;
use utoipa::ToSchema;

use super::definition::check;
use super::error::FlowError;
use super::publish::PublishedFlow;
use super::summary::stored;
use super::versions::{VersionName, Wanted, find, find_version};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::query::Named;

/// Which version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreRequest {
    /// Its number or its hash.
    #[schema(value_type = VersionName)]
    version: Wanted,
}

/// Makes an earlier version draft and active again. The draft there was is lost.
#[utoipa::path(post, path = "/flows/{name}/restore", tag = "flows",
    params(("name" = String, Path, description = "The flow's name")),
    request_body = RestoreRequest,
    responses((status = 200, body = PublishedFlow)))]
pub(crate) async fn restore_flow(
    caller: Caller,
    State(app): State<Shared>,
    Named(name): Named<String>,
    Json(request): Json<RestoreRequest>,
) -> Result<Json<PublishedFlow>, FlowError> {
    let change = app.deployments.begin().await;
    let row = find(&app, caller.tenant, &name).await?;
    let version = find_version(&app, &row, &request.version).await?;
    let checked = check(&app, caller.tenant, &stored(&name, &version.definition)?)?;
    let (tenant, hash) = (caller.tenant, version.hash.clone());
    let command = RestoreFlow { tenant, name: name.clone(), hash, at: app.clock.now() };
    let outcome = app.engine.submit(Command::RestoreFlow(command)).await?;
    let Outcome::Published { number, revision } = outcome else {
        return Err(FlowError::refused(&name, outcome));
    };
    change.finish(&app).await?;
    let (version, hash, diagnostics) = (number, version.hash, checked.warnings);
    Ok(Json(PublishedFlow { name, version, hash, revision, diagnostics }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow};

    #[tokio::test]
    async fn an_earlier_version_comes_back() {
        let world = World::start().await;
        let first = world.publish(flow("a")).await;
        let mut changed = flow("a");
        changed["description"] = "new".into();
        world.publish(changed).await;
        let restored =
            world.console("POST /flows/a/restore").json(json!({"version": "1"})).send().await.is(200);
        assert_eq!((restored.at("/version"), restored.at("/hash")), (1.into(), first.clone().into()));
        let now = world.console("GET /flows/a").send().await.is(200);
        assert_eq!((now.at("/active_hash"), now.at("/has_changes")), (first.into(), false.into()));
        world.console("POST /flows/a/restore").json(json!({"version": 2})).send().await.is(200);
        world.console("POST /flows/a/restore").json(json!({"version": "9"})).send().await.is(404);
        let unclear = world.console("POST /flows/a/restore").json(json!({"version": []})).send().await;
        unclear.is(400).says("expected the number of a version, its hash");
        world.console("POST /flows/a/restore").send().await.is(400).says("`version` is missing");
    }
}
