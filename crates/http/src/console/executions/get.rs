//! `GET /executions/{id}`: everything about one execution.

use axum::extract::State;
use flux_engine::EngineError;
use flux_model::execution::ExecutionResult;
use flux_model::{ErrorCode, ExecutionId, ExecutionKind, Tenant, Value};
use flux_store::ExecutionRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ExecutionError;
use super::node_run::NodeRunView;
use super::view::{ErrorView, ExecutionSummary};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::API;
use crate::query::Named;
use crate::schema;

/// Node runs in one answer; the journal has them all.
const NODE_RUNS_MAX: usize = 2_000;

/// An execution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Execution {
    #[serde(flatten)]
    summary: ExecutionSummary,
    /// The output, if it succeeded.
    #[schema(value_type = Option<serde_json::Value>)]
    output: Option<Value>,
    /// Its node runs, in the order in which they began; at most 2000.
    nodes: Vec<NodeRunView>,
    /// How many node runs are left out.
    nodes_omitted: usize,
    /// Why output and node runs are missing, where they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<Unreadable>,
    /// Where to go from here.
    links: Links,
}

/// Why a part of an execution is missing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnreadableJournal)]
struct Unreadable {
    /// The stable code.
    #[schema(value_type = schema::ErrorCode)]
    code: ErrorCode,
    /// For people.
    message: String,
}

/// Paths of what belongs to an execution.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExecutionLinks)]
struct Links {
    journal: String,
    logs: String,
    trace: String,
    flow: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

/// Shows an execution: status, waits, output or error, node runs.
#[utoipa::path(get, path = "/executions/{id}", tag = "executions",
    params(("id" = schema::ExecutionId, Path, description = "The execution")),
    responses((status = 200, body = Execution)))]
pub(crate) async fn get_execution(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<ExecutionId>,
) -> Result<Json<Execution>, ExecutionError> {
    let row = find(&app, caller.tenant, id).await?;
    let mut execution = Execution::of(row);
    match execution.read_journal(&app, caller.tenant, id).await {
        Ok(()) => {}
        // What can be shown is shown.
        Err(
            error @ (EngineError::Corrupt { .. } | EngineError::Newer { .. } | EngineError::TooLarge { .. }),
        ) => {
            execution.unreadable = Some(Unreadable { code: error.code(), message: error.to_string() });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Json(execution))
}

/// The execution of that id.
pub(super) async fn find(
    app: &Shared,
    tenant: Tenant,
    id: ExecutionId,
) -> Result<ExecutionRow, ExecutionError> {
    let row = app.reader().query(move |store| store.execution(tenant, id)).await?;
    row.ok_or(ExecutionError::NotFound(id))
}

impl Execution {
    fn of(row: ExecutionRow) -> Self {
        let this = format!("{API}/executions/{}", row.id);
        let runs = match row.kind {
            ExecutionKind::Flow | ExecutionKind::Captured => "flows",
            ExecutionKind::Function => "functions",
        };
        let links = Links {
            journal: format!("{this}/journal"),
            logs: format!("{this}/logs"),
            trace: format!("{API}/traces/{}", row.request_id),
            flow: format!("{API}/{runs}/{}", row.flow),
            parent: row.parent.as_ref().map(|parent| format!("{API}/executions/{}", parent.execution)),
        };
        let summary = ExecutionSummary::from(row);
        Self { summary, output: None, nodes: Vec::new(), nodes_omitted: 0, unreadable: None, links }
    }

    async fn read_journal(
        &mut self,
        app: &Shared,
        tenant: Tenant,
        id: ExecutionId,
    ) -> Result<(), EngineError> {
        let runs = app.engine.node_runs(tenant, id).await?;
        self.nodes_omitted = runs.len().saturating_sub(NODE_RUNS_MAX);
        self.nodes = runs.into_iter().take(NODE_RUNS_MAX).map(NodeRunView::from).collect();
        if !self.summary.status.is_terminal() {
            return Ok(());
        }
        match app.engine.result(tenant, id).await? {
            Some(ExecutionResult::Succeeded { output }) => self.output = Some(output),
            Some(ExecutionResult::Failed { error }) => self.summary.error = Some(ErrorView::from(error)),
            Some(ExecutionResult::Cancelled { .. }) | None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, failing_flow, flow, review_flow};

    #[tokio::test]
    async fn an_execution_shows_its_output_and_its_nodes() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let id = world.run("a").await;
        let found = world.console(&format!("GET /executions/{id}")).send().await.is(200);
        assert_eq!((found.at("/kind"), found.at("/status")), ("flow".into(), "succeeded".into()));
        assert_eq!(
            (found.at("/nodes/1/path"), found.at("/nodes/1/status")),
            ("next".into(), "succeeded".into())
        );
        assert_eq!(found.at("/nodes/1/output/n"), 1);
        assert_eq!(found.at("/links/logs"), format!("/api/v1/executions/{id}/logs"));
        assert!(found.at("/created_at").as_str().unwrap().ends_with('Z'));
    }

    #[tokio::test]
    async fn errors_and_waits_are_shown() {
        let world = World::start().await;
        world.publish(failing_flow("a")).await;
        let id = world.run("a").await;
        let failed = world.console(&format!("GET /executions/{id}")).send().await.is(200);
        assert_eq!((failed.at("/error/node"), failed.at("/error/attempt")), ("next".into(), 1.into()));
        world.publish(review_flow("b")).await;
        let id = world.run("b").await;
        let waiting = world.console(&format!("GET /executions/{id}")).send().await.is(200);
        assert_eq!((waiting.at("/status"), waiting.at("/waits/0/on")), ("waiting".into(), "review".into()));
        assert_eq!(waiting.at("/nodes/1/wait/on"), "review");
    }

    /// Writes what nobody can read at the end of a journal.
    async fn damage(world: &World, id: &str) {
        use flux_store::{Append, Command, Step};
        let (tenant, execution) = (world.tenant, id.parse().unwrap());
        let row = world.app.reader().query(move |store| store.execution(tenant, execution)).await.unwrap();
        let expected_next_seq = row.unwrap().next_seq;
        let step = Step { record: b"{\"v\":1,\"noise".to_vec(), entries: 1, ..Step::default() };
        let append = Append { tenant, execution, expected_next_seq, step };
        world.app.engine.submit(Command::Append(Box::new(append))).await.unwrap();
    }

    #[tokio::test]
    async fn a_journal_whose_end_is_damaged_is_named_and_the_rest_is_served() {
        let world = World::start().await;
        world.publish(review_flow("a")).await;
        let (good, bad) = (world.run("a").await, world.run("a").await);
        damage(&world, &bad).await;
        let shown = world.console(&format!("GET /executions/{bad}")).send().await.is(200);
        assert_eq!(
            (shown.at("/status"), shown.at("/unreadable/code")),
            ("waiting".into(), "journal_corrupt".into())
        );
        assert!(shown.at("/unreadable/message").as_str().unwrap().contains(&bad), "{}", shown.text());
        for part in ["journal", "logs"] {
            let refused = world.console(&format!("GET /executions/{bad}/{part}")).send().await.is(500);
            refused.has_code("journal_corrupt");
            world.console(&format!("GET /executions/{good}/{part}")).send().await.is(200);
        }
        let list = world.console("GET /executions").send().await.is(200);
        assert_eq!(list.at("/items").as_array().map(Vec::len), Some(2));
        let path = format!("POST /reviews/{}/decision", world.review_of(&good).await);
        let approve = serde_json::json!({"action": "approve", "expected_version": 1});
        world.console(&path).json(approve).send().await.is(200);
        assert_eq!(world.settled(&good).await.at("/status"), "succeeded");
    }

    #[tokio::test]
    async fn ids_are_checked() {
        let world = World::start().await;
        world.console("GET /executions/nonsense").send().await.is(400).says("exec_");
        let none = "GET /executions/exec_00000000000000000000000000";
        world.console(none).send().await.is(404).has_code("not_found");
        world.console(&format!("GET /executions/{}", "x".repeat(300))).send().await.is(400);
    }
}
