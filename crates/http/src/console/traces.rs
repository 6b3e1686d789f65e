//! `GET /traces/{request_id}`: everything that belongs to one request, as spans.

mod findings;

use axum::extract::State;
use flux_engine::EngineError;
use flux_engine::reading::{Span, SpanKind, SpanStatus};
use flux_model::{CallKind, ExecutionId, NodePath};
use serde::Serialize;
use utoipa::ToSchema;

use self::findings::{Finding, findings};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::moment::Moment;
use crate::problem::{Problem, answered_by_problem};
use crate::query::Named;
use crate::schema;

/// A trace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trace {
    /// The request it began with.
    request_id: String,
    /// Each execution, then its nodes in the order in which they began, each followed by its
    /// calls.
    spans: Vec<SpanView>,
    /// What stands out.
    findings: Vec<Finding>,
}

/// A length of time in a trace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Span)]
struct SpanView {
    /// Unique within the trace.
    id: String,
    /// The span it is part of.
    parent: Option<String>,
    /// The execution it belongs to.
    #[schema(value_type = schema::ExecutionId)]
    execution: ExecutionId,
    #[serde(flatten)]
    kind: SpanKindView,
    /// One line for people: the flow, the node, the target of a call.
    name: String,
    /// When it began.
    start: Moment,
    /// How long it took, in microseconds; absent while it goes on.
    duration_us: Option<u64>,
    /// How it ended.
    status: SpanStatusView,
    /// The error, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a span is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = SpanKind)]
enum SpanKindView {
    /// An execution.
    Execution,
    /// A node run.
    Node {
        /// Where.
        #[schema(value_type = schema::NodePath)]
        node: NodePath,
        /// The node type.
        #[serde(rename = "type")]
        node_type: String,
        /// Attempts that were started.
        attempts: u32,
    },
    /// A boundary call.
    Call {
        /// The node that asked.
        #[schema(value_type = schema::NodePath)]
        node: NodePath,
        /// The attempt that asked.
        attempt: u32,
        /// `http`, `execution`, `signal` or `object`.
        #[schema(value_type = String)]
        call: CallKind,
    },
}

/// How a span ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SpanStatus)]
enum SpanStatusView {
    /// It goes on.
    Open,
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// It did not happen, or was stopped.
    Cancelled,
}

impl From<Span> for SpanView {
    fn from(span: Span) -> Self {
        let kind = match span.kind {
            SpanKind::Execution => SpanKindView::Execution,
            SpanKind::Node { path, node_type, attempts } => {
                SpanKindView::Node { node: path, node_type, attempts }
            }
            SpanKind::Call { path, attempt, kind } => SpanKindView::Call { node: path, attempt, call: kind },
        };
        let status = match span.status {
            SpanStatus::Open => SpanStatusView::Open,
            SpanStatus::Ok => SpanStatusView::Ok,
            SpanStatus::Error => SpanStatusView::Error,
            SpanStatus::Cancelled => SpanStatusView::Cancelled,
        };
        Self {
            id: span.id,
            parent: span.parent,
            execution: span.execution,
            kind,
            name: span.name,
            start: span.start.into(),
            duration_us: span.duration_us,
            status,
            error: span.error,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    #[error("no execution belongs to request `{0}`")]
    NotFound(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<TraceError> for Problem {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::NotFound(_) => Self::not_found(error.to_string()),
            TraceError::Engine(error) => error.into(),
        }
    }
}

answered_by_problem!(TraceError);

/// Shows everything that belongs to one request: executions, nodes, calls.
#[utoipa::path(get, path = "/traces/{request_id}", tag = "traces",
    params(("request_id" = String, Path, description = "The `x-request-id` of the request")),
    responses((status = 200, body = Trace)))]
pub(crate) async fn get_trace(
    caller: Caller,
    State(app): State<Shared>,
    Named(request_id): Named<String>,
) -> Result<Json<Trace>, TraceError> {
    let spans = app.engine.trace(caller.tenant, &request_id).await?;
    if spans.is_empty() {
        return Err(TraceError::NotFound(request_id));
    }
    let findings = findings(&spans);
    Ok(Json(Trace { request_id, spans: spans.into_iter().map(SpanView::from).collect(), findings }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, flow};

    #[tokio::test]
    async fn a_trace_is_found_by_the_id_of_its_request() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let id = world.run("a").await;
        let execution = world.console(&format!("GET /executions/{id}")).send().await.is(200);
        let request = execution.at("/request_id").as_str().unwrap().to_owned();
        let trace = world.console(&format!("GET /traces/{request}")).send().await.is(200);
        assert_eq!((trace.at("/spans/0/kind"), trace.at("/spans/0/id")), ("execution".into(), id.into()));
        assert_eq!((trace.at("/spans/2/kind"), trace.at("/spans/2/node")), ("node".into(), "next".into()));
        world.console("GET /traces/nothing").send().await.is(404).says("`nothing`");
    }
}
