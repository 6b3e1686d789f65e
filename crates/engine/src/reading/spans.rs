//! The spans of a trace: executions, their nodes, and what those asked of the outside.

use std::collections::BTreeSet;

use flux_model::{ExecutionId, NodePath, Timestamp};
use flux_store::ExecutionRow;

use super::runs::{NodeRun, NodeRunStatus};
use flux_model::ExecutionStatus;

/// A length of time in a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Unique within the trace: the execution, then the node path, then the number of the call.
    pub id: String,
    /// The span it is part of; absent for executions that nothing in the trace called.
    pub parent: Option<String>,
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// What it is.
    pub kind: SpanKind,
    /// One line for people: the flow, the node, the target of a call.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// How long it took, in microseconds; absent while it goes on. Executions and nodes are
    /// measured in milliseconds.
    pub duration_us: Option<u64>,
    /// How it ended.
    pub status: SpanStatus,
    /// The error, in one line.
    pub error: Option<String>,
}

/// What a span is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanKind {
    /// An execution.
    Execution,
    /// A node run.
    Node {
        /// Where.
        path: NodePath,
        /// The node type.
        node_type: String,
        /// Attempts that were started.
        attempts: u32,
    },
    /// A boundary call.
    Call {
        /// The node that asked.
        path: NodePath,
        /// The attempt that asked.
        attempt: u32,
        /// What kind of outside was asked.
        kind: flux_model::CallKind,
    },
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanStatus {
    /// It goes on.
    Open,
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// It did not happen, or was stopped.
    Cancelled,
}

/// The spans of one execution of a trace: itself, then its nodes in the order in which they began,
/// each followed by its calls. `trace` has all executions of the trace.
pub fn spans(row: &ExecutionRow, runs: &[NodeRun], trace: &BTreeSet<ExecutionId>) -> Vec<Span> {
    let mut spans = vec![execution_span(row, trace)];
    for run in runs {
        push_node(&mut spans, row, run);
    }
    spans
}

fn execution_span(row: &ExecutionRow, trace: &BTreeSet<ExecutionId>) -> Span {
    let caller = row.parent.as_ref().filter(|parent| trace.contains(&parent.execution));
    let start = row.id.made_at();
    let status = match row.status {
        ExecutionStatus::Queued | ExecutionStatus::Running | ExecutionStatus::Waiting => SpanStatus::Open,
        ExecutionStatus::Succeeded => SpanStatus::Ok,
        ExecutionStatus::Failed => SpanStatus::Error,
        ExecutionStatus::Cancelled => SpanStatus::Cancelled,
    };
    Span {
        id: row.id.to_string(),
        parent: caller.map(|parent| node_id(parent.execution, &parent.path)),
        execution: row.id,
        kind: SpanKind::Execution,
        name: row.flow.clone(),
        start,
        duration_us: row.ended_at.map(|end| micros(start, end)),
        status,
        error: row.error.as_ref().map(|error| error.message.clone()),
    }
}

fn push_node(spans: &mut Vec<Span>, row: &ExecutionRow, run: &NodeRun) {
    let id = node_id(row.id, &run.path);
    let (status, error) = match &run.status {
        NodeRunStatus::Running | NodeRunStatus::Retrying { .. } | NodeRunStatus::Waiting { .. } => {
            (SpanStatus::Open, None)
        }
        NodeRunStatus::Succeeded { .. } => (SpanStatus::Ok, None),
        NodeRunStatus::Failed => (SpanStatus::Error, run.error.as_ref().map(|error| error.message.clone())),
        NodeRunStatus::Skipped | NodeRunStatus::Cancelled => (SpanStatus::Cancelled, None),
    };
    spans.push(Span {
        id: id.clone(),
        parent: Some(row.id.to_string()),
        execution: row.id,
        kind: SpanKind::Node {
            path: run.path.clone(),
            node_type: run.node_type.clone(),
            attempts: run.attempts,
        },
        name: run.name.clone(),
        start: run.started_at,
        duration_us: run.ended_at.map(|end| micros(run.started_at, end)),
        status,
        error,
    });
    for (index, (attempt, call)) in run.calls.iter().enumerate() {
        spans.push(Span {
            id: format!("{id}#{index}"),
            parent: Some(id.clone()),
            execution: row.id,
            kind: SpanKind::Call { path: run.path.clone(), attempt: *attempt, kind: call.kind },
            name: call.target.clone(),
            start: call.started_at,
            duration_us: Some(call.duration_us),
            status: if call.result.is_ok() { SpanStatus::Ok } else { SpanStatus::Error },
            error: call.result.as_ref().err().map(|failure| failure.message.clone()),
        });
    }
}

fn node_id(execution: ExecutionId, path: &NodePath) -> String {
    format!("{execution}/{path}")
}

fn micros(start: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.since(start).as_micros()).unwrap_or(u64::MAX)
}
