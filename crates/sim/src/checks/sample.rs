//! Small executions for the tests of the checks: made by the real machine, changed by the tests.

use std::sync::Arc;

use flux_core::plan::{Plan, plan};
use flux_core::session::Session;
use flux_model::event::{Event, TaskOutput};
use flux_model::journal::Entry;
use flux_model::{ExecutionId, ExecutionKind, ExecutionStatus, NodePath, Tenant, Timestamp, Value};
use flux_store::ExecutionRow;
use serde_json::{Value as Json, json};

pub(crate) struct Sample {
    pub(crate) plan: Arc<Plan>,
    pub(crate) id: ExecutionId,
    pub(crate) at: Timestamp,
    pub(crate) entries: Vec<Entry>,
    pub(crate) status: ExecutionStatus,
}

/// The one tenant of the simulated world.
pub(crate) fn tenant() -> Tenant {
    crate::disk::tenant()
}

impl Sample {
    /// `start > n1 (task) > n2 (if) > n2.true > n3 (task), n2.false > n4 (task)`, ended.
    pub(crate) fn run() -> Self {
        let nodes = json!([
            {"key": "start", "type": "trigger.manual"},
            {"key": "n1", "type": "task"},
            {"key": "n2", "type": "logic.if", "config": {"condition": true}},
            {"key": "n3", "type": "task"},
            {"key": "n4", "type": "task"}
        ]);
        let edges = ["start > n1", "n1 > n2", "n2.true > n3", "n2.false > n4"];
        let done = |key: &str| Event::Completed {
            path: NodePath::root(key),
            attempt: 1,
            result: Ok(TaskOutput::main(Value::Null)),
        };
        Self::of(nodes, &edges, vec![started(), done("n1"), done("n3")])
    }

    /// A flow that waits for ten seconds.
    pub(crate) fn delayed() -> Self {
        let nodes = json!([
            {"key": "start", "type": "trigger.manual"},
            {"key": "n1", "type": "logic.delay", "config": {"ms": 10_000}}
        ]);
        Self::of(nodes, &["start > n1"], vec![started()])
    }

    pub(crate) fn of(nodes: Json, edges: &[&str], events: Vec<Event>) -> Self {
        let edges: Vec<Json> = edges
            .iter()
            .filter_map(|edge| edge.split_once(" > "))
            .map(|(from, to)| json!({"from": from, "to": to}))
            .collect();
        let flow = json!({"name": "f0", "nodes": nodes, "edges": edges});
        let flow = serde_json::from_value(flow).unwrap();
        let plan = plan(&flow, &crate::catalog::catalog()).plan.unwrap();
        let (id, at) = (ExecutionId::from_bits(7), Timestamp::from_millis(1_000));
        let mut session = Session::new(plan.clone(), id);
        for event in events {
            assert!(session.apply(at, event).changed);
        }
        let status = session.state().status();
        let entries = session.flush().map(|commit| commit.entries).unwrap_or_default();
        Self { plan, id, at, entries, status }
    }

    /// The row that belongs to it.
    pub(crate) fn row(&self) -> ExecutionRow {
        ExecutionRow {
            id: self.id,
            tenant: tenant(),
            kind: ExecutionKind::Flow,
            flow: "f0".to_owned(),
            version: String::new(),
            trigger: String::new(),
            request_id: String::new(),
            parent: None,
            depth: 0,
            idempotency_key: None,
            priority: 0,
            concurrency_key: None,
            replaced_by: None,
            status: self.status,
            waits: Vec::new(),
            input: String::new(),
            output: None,
            error: None,
            started_at: None,
            ended_at: None,
            next_seq: self.entries.len() as u64,
            journal_bytes: 0,
        }
    }
}

pub(crate) fn started() -> Event {
    Event::Started { input: Value::Null, recorded: None }
}
