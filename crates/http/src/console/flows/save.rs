//! `POST /flows`: creates or replaces a draft. The body is a flow file.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flux_model::Diagnostic;
use flux_store::flows::SaveDraft;
use flux_store::{Command, Outcome};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::definition::{check, read};
use super::error::FlowError;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::{Json, JsonBytes};
use crate::query::Query;
use crate::schema;

/// What the draft replaces.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SaveQuery {
    /// The revision that was read: another one is a conflict, and 0 says that there must be none.
    expected_revision: Option<u64>,
}

/// A draft that was saved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedFlow {
    /// The flow's name.
    name: String,
    /// The hash of the draft.
    hash: String,
    /// The flow's revision.
    revision: u64,
    /// What its author should know; none of it keeps the flow from running.
    #[schema(value_type = Vec<schema::Diagnostic>)]
    diagnostics: Vec<Diagnostic>,
}

/// Creates or replaces the draft of a flow.
///
/// A flow that cannot run is refused with what is wrong with it.
#[utoipa::path(post, path = "/flows", tag = "flows", params(SaveQuery),
    request_body(content = schema::Flow, content_type = "application/json"),
    responses((status = 200, body = SavedFlow, description = "Replaced"),
              (status = 201, body = SavedFlow, description = "Created")))]
pub(crate) async fn save_flow(
    caller: Caller,
    State(app): State<Shared>,
    Query(query): Query<SaveQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response, FlowError> {
    let draft = Draft::read(&app, &caller, &body)?;
    let saved = draft.save(&app, &caller, query.expected_revision).await?;
    let status = if saved.revision == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(saved)).into_response())
}

struct Draft {
    name: String,
    hash: String,
    definition: String,
    warnings: Vec<Diagnostic>,
}

impl Draft {
    fn read(app: &Shared, caller: &Caller, body: &Bytes) -> Result<Self, FlowError> {
        let flow = read(body)?;
        let checked = check(app, caller.tenant, &flow)?;
        let definition = serde_json::to_string(&flow).expect("a flow that was read can be written");
        Ok(Self { hash: flow.content_hash(), name: flow.name, definition, warnings: checked.warnings })
    }

    async fn save(
        self,
        app: &Shared,
        caller: &Caller,
        expected_revision: Option<u64>,
    ) -> Result<SavedFlow, FlowError> {
        let command = Command::SaveDraft(SaveDraft {
            tenant: caller.tenant,
            name: self.name.clone(),
            definition: self.definition,
            hash: self.hash.clone(),
            expected_revision,
            at: app.clock.now(),
        });
        let outcome = app.engine.submit(command).await?;
        let Outcome::Saved { revision } = outcome else {
            return Err(FlowError::refused(&self.name, outcome));
        };
        Ok(SavedFlow { name: self.name, hash: self.hash, revision, diagnostics: self.warnings })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow};

    #[tokio::test]
    async fn a_draft_is_created_then_replaced() {
        let world = World::start().await;
        let created = world.console("POST /flows").json(flow("a")).send().await.is(201);
        assert_eq!((created.at("/name"), created.at("/revision")), ("a".into(), 1.into()));
        let replaced = world.console("POST /flows?expected_revision=1").json(flow("a")).send().await.is(200);
        assert_eq!(replaced.at("/revision"), 2);
        let stale = world.console("POST /flows?expected_revision=1").json(flow("a")).send().await.is(409);
        stale.says("is at revision 2");
        world.console("POST /flows?expected_revision=0").json(flow("b")).send().await.is(201);
    }

    #[tokio::test]
    async fn a_flow_that_cannot_run_is_refused_with_its_diagnostics() {
        let world = World::start().await;
        let mut unknown = flow("a");
        unknown["nodes"][1]["type"] = "logic.fi".into();
        let refused = world.console("POST /flows").json(unknown).send().await.is(422);
        refused.clone().has_code("unknown_node_type");
        assert_eq!(refused.at("/diagnostics/0/node"), "next");
        assert_eq!(refused.at("/diagnostics/0/severity"), "error");
        world.console("POST /flows").json(json!({"name": "a"})).send().await.is(422).has_code("flow_syntax");
        world.console("POST /flows").body("{").send().await.is(422).has_code("flow_syntax");
        world.console("GET /flows/a").send().await.is(404);
    }

    #[tokio::test]
    async fn warnings_do_not_refuse() {
        let world = World::start().await;
        let mut lonely = flow("a");
        let node = json!({"key": "lonely", "type": "data.set", "config": {"values": {}}});
        lonely["nodes"].as_array_mut().unwrap().push(node);
        let saved = world.console("POST /flows").json(lonely).send().await.is(201);
        assert_eq!(saved.at("/diagnostics/0/severity"), "warning");
        assert_eq!(saved.at("/diagnostics/0/code"), "unreachable");
    }
}
