//! What answers say of a node run.

use flux_engine::reading::{NodeRun, NodeRunStatus};
use flux_model::{BoundaryCall, CallKind, NodePath, Value};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::{ErrorView, WaitOnView};
use crate::moment::Moment;
use crate::schema;

/// One run of a node, or of one element of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeRun)]
pub(crate) struct NodeRunView {
    /// Where.
    #[schema(value_type = schema::NodePath)]
    path: NodePath,
    /// The node type.
    #[serde(rename = "type")]
    node_type: String,
    /// The display name.
    name: String,
    #[serde(flatten)]
    status: NodeStatusView,
    /// Attempts that were started.
    attempts: u32,
    /// When it first did something.
    started_at: Moment,
    /// When it was over.
    ended_at: Option<Moment>,
    /// Its output, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    output: Option<Value>,
    /// The error of its last failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView>,
    /// What it asked of the outside; the journal has each with its request and its answer.
    calls: Vec<CallView>,
}

/// Where a node run stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = NodeStatus)]
enum NodeStatusView {
    /// An attempt runs.
    Running,
    /// An attempt failed, another one follows.
    Retrying {
        /// When.
        retry_at: Moment,
    },
    /// It waits.
    Waiting {
        /// What for.
        wait: WaitOnView,
    },
    /// Ended well.
    Succeeded {
        /// By these ports; the main port if empty.
        ports: Vec<String>,
    },
    /// Ended with an error.
    Failed,
    /// No edge into it was delivered.
    Skipped,
    /// Stopped because the execution was.
    Cancelled,
}

/// A boundary call in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
struct CallView {
    /// The attempt that asked, from 1.
    attempt: u32,
    /// `http`, `execution`, `signal` or `object`.
    #[schema(value_type = String)]
    kind: CallKind,
    /// Who was asked.
    target: String,
    /// When.
    started_at: Moment,
    /// How long it took, in microseconds.
    duration_us: u64,
    /// Whether there was an answer.
    ok: bool,
}

impl From<NodeRun> for NodeRunView {
    fn from(run: NodeRun) -> Self {
        Self {
            path: run.path,
            node_type: run.node_type,
            name: run.name,
            status: run.status.into(),
            attempts: run.attempts,
            started_at: run.started_at.into(),
            ended_at: run.ended_at.map(Moment),
            output: run.output,
            error: run.error.map(ErrorView::from),
            calls: run.calls.into_iter().map(|(attempt, call)| CallView::of(attempt, call)).collect(),
        }
    }
}

impl From<NodeRunStatus> for NodeStatusView {
    fn from(status: NodeRunStatus) -> Self {
        match status {
            NodeRunStatus::Running => Self::Running,
            NodeRunStatus::Retrying { until } => Self::Retrying { retry_at: until.into() },
            NodeRunStatus::Waiting { on } => Self::Waiting { wait: on.into() },
            NodeRunStatus::Succeeded { ports } => Self::Succeeded { ports },
            NodeRunStatus::Failed => Self::Failed,
            NodeRunStatus::Skipped => Self::Skipped,
            NodeRunStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl CallView {
    fn of(attempt: u32, call: BoundaryCall) -> Self {
        Self {
            attempt,
            kind: call.kind,
            target: call.target,
            started_at: call.started_at.into(),
            duration_us: call.duration_us,
            ok: call.result.is_ok(),
        }
    }
}
