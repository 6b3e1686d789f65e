//! What answers say of an execution: its row, its waits, its error.

use flux_model::execution::{Wait, WaitOn};
use flux_model::{
    ErrorClass, ErrorCode, ExecutionId, ExecutionKind, ExecutionStatus, NodeError, NodePath, ReviewId,
};
use flux_store::ExecutionRow;
use flux_store::executions::ErrorSummary;
use serde::Serialize;
use utoipa::ToSchema;

use crate::moment::Moment;
use crate::schema;

/// An execution in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionSummary {
    /// Its id.
    #[schema(value_type = schema::ExecutionId)]
    pub(crate) id: ExecutionId,
    /// What ran.
    #[schema(value_type = schema::ExecutionKind)]
    kind: ExecutionKind,
    /// The flow's or function's name.
    flow: String,
    /// The hash of the version it is pinned to.
    version: String,
    /// What started it: `api`, the node type of the trigger, `flow.call`, `rerun`.
    trigger: String,
    /// The trace it belongs to.
    request_id: String,
    /// Where it stands.
    #[schema(value_type = schema::ExecutionStatus)]
    pub(crate) status: ExecutionStatus,
    /// What it waits for; empty unless it is waiting.
    pub(crate) waits: Vec<WaitView>,
    /// The input as JSON, cut off where it is long.
    input_summary: String,
    /// The output as JSON, cut off where it is long.
    output_summary: Option<String>,
    /// Why it failed or was cancelled.
    pub(crate) error: Option<ErrorView>,
    /// The execution that called it.
    parent: Option<ParentView>,
    /// The caller's idempotency key.
    idempotency_key: Option<String>,
    /// When it was accepted.
    created_at: Moment,
    /// When it got its slot.
    started_at: Option<Moment>,
    /// When it ended.
    ended_at: Option<Moment>,
    /// How long it took from its start to its end, in milliseconds.
    duration_ms: Option<u64>,
}

/// The execution that called another one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Parent)]
struct ParentView {
    /// Which.
    #[schema(value_type = schema::ExecutionId)]
    execution: ExecutionId,
    /// The node that called.
    #[schema(value_type = schema::NodePath)]
    node: NodePath,
}

/// What an execution waits for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wait)]
pub(crate) struct WaitView {
    /// The node that waits.
    #[schema(value_type = schema::NodePath)]
    node: NodePath,
    #[serde(flatten)]
    on: WaitOnView,
}

/// What a node waits for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "on", rename_all = "snake_case")]
#[schema(as = WaitOn)]
pub(crate) enum WaitOnView {
    /// A point in time.
    Timer {
        /// When.
        until: Moment,
    },
    /// A human decision.
    Review {
        /// Which.
        #[schema(value_type = schema::ReviewId)]
        review: ReviewId,
        /// When the default action is taken.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// When the wait ends without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
    },
    /// The end of another execution.
    Child {
        /// Which.
        #[schema(value_type = schema::ExecutionId)]
        execution: ExecutionId,
    },
}

/// Why an execution or a node did not end well. A list knows code, message and node only.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExecutionError)]
pub(crate) struct ErrorView {
    /// The stable code.
    #[schema(value_type = schema::ErrorCode)]
    code: ErrorCode,
    /// For people.
    message: String,
    /// Where.
    #[schema(value_type = Option<schema::NodePath>)]
    node: Option<NodePath>,
    #[serde(flatten)]
    detail: Option<ErrorDetail>,
}

/// The rest of an error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// The display name of the node.
    name: String,
    /// The node type.
    #[serde(rename = "type")]
    node_type: String,
    /// Which attempt failed, from 1.
    attempt: u32,
    /// `retryable` or `permanent`.
    #[schema(value_type = String)]
    class: ErrorClass,
    /// The status a provider answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_status: Option<u16>,
    /// Where user code failed: the lines around the place, and the stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    /// When.
    at: Moment,
    /// The boundary call it came from, counted from zero within the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u32>,
}

impl From<ExecutionRow> for ExecutionSummary {
    fn from(row: ExecutionRow) -> Self {
        let length = row.started_at.zip(row.ended_at).map(|(start, end)| end.since(start).as_millis());
        Self {
            id: row.id,
            kind: row.kind,
            flow: row.flow,
            version: row.version,
            trigger: row.trigger,
            request_id: row.request_id,
            status: row.status,
            waits: row.waits.into_iter().map(WaitView::from).collect(),
            input_summary: row.input,
            output_summary: row.output,
            error: row.error.map(ErrorView::from),
            parent: row.parent.map(|parent| ParentView { execution: parent.execution, node: parent.path }),
            idempotency_key: row.idempotency_key,
            created_at: row.id.made_at().into(),
            started_at: row.started_at.map(Moment),
            ended_at: row.ended_at.map(Moment),
            duration_ms: length.and_then(|length| u64::try_from(length).ok()),
        }
    }
}

impl From<Wait> for WaitView {
    fn from(wait: Wait) -> Self {
        Self { node: wait.node, on: wait.on.into() }
    }
}

impl From<WaitOn> for WaitOnView {
    fn from(on: WaitOn) -> Self {
        match on {
            WaitOn::Timer { until } => Self::Timer { until: until.into() },
            WaitOn::Review { review, until } => Self::Review { review, until: until.map(Moment) },
            WaitOn::Signal { name, until } => Self::Signal { name, until: until.map(Moment) },
            WaitOn::Child { execution } => Self::Child { execution },
        }
    }
}

impl From<ErrorSummary> for ErrorView {
    fn from(error: ErrorSummary) -> Self {
        Self { code: error.code, message: error.message, node: error.node, detail: None }
    }
}

impl From<NodeError> for ErrorView {
    fn from(error: NodeError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            node: Some(error.node),
            detail: Some(ErrorDetail {
                name: error.name,
                node_type: error.node_type,
                attempt: error.attempt,
                class: error.class,
                provider_status: error.provider_status,
                stack: error.stack,
                at: error.at.into(),
                call: error.call,
            }),
        }
    }
}
