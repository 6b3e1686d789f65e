//! What answers say of a review.

use flux_model::review::{Decision, ReviewAction, ReviewReason, ReviewStatus};
use flux_model::{ExecutionId, NodePath, ReviewId, Value};
use flux_store::reviews::ReviewRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::moment::Moment;
use crate::schema;

/// A request for a human decision.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Review {
    /// Its id.
    #[schema(value_type = schema::ReviewId)]
    id: ReviewId,
    /// The execution that waits for it.
    #[schema(value_type = schema::ExecutionId)]
    execution: ExecutionId,
    /// The flow of that execution.
    flow: String,
    /// The node that waits.
    #[schema(value_type = schema::NodePath)]
    node: NodePath,
    /// Why a person is asked.
    #[schema(value_type = schema::ReviewReason)]
    reason: ReviewReason,
    /// Where it stands.
    #[schema(value_type = schema::ReviewStatus)]
    status: ReviewStatus,
    /// The version that a decision must name.
    version: u32,
    /// One line.
    title: String,
    /// What is to be approved, and may be edited.
    #[schema(value_type = serde_json::Value)]
    content: Value,
    /// What helps to decide.
    #[schema(value_type = serde_json::Value)]
    context: Value,
    /// Who may decide; empty means everybody who may decide reviews.
    assignees: Vec<String>,
    /// When it was opened.
    opened_at: Moment,
    /// When the default action is taken.
    expires_at: Option<Moment>,
    /// When it was closed.
    closed_at: Option<Moment>,
    /// The decision, where a person made one.
    decision: Option<DecisionView>,
}

/// A decision as it was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
struct DecisionView {
    /// What was decided.
    #[schema(value_type = schema::ReviewAction)]
    action: ReviewAction,
    /// The edited content, if it was edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    content: Option<Value>,
    /// A remark.
    comment: Option<String>,
    /// Who.
    decided_by: String,
}

impl From<ReviewRow> for Review {
    fn from(row: ReviewRow) -> Self {
        let request = row.request;
        Self {
            id: request.id,
            execution: row.execution,
            flow: row.flow,
            node: request.path,
            reason: request.reason,
            status: row.status,
            version: request.version,
            title: request.title,
            content: request.content,
            context: request.context,
            assignees: request.assignees,
            opened_at: row.opened_at.into(),
            expires_at: request.expires_at.map(Moment),
            closed_at: row.closed_at.map(Moment),
            decision: row.decision.map(DecisionView::from),
        }
    }
}

impl From<Decision> for DecisionView {
    fn from(decision: Decision) -> Self {
        Self {
            action: decision.action,
            content: decision.content,
            comment: decision.comment,
            decided_by: decision.decided_by,
        }
    }
}
