//! What an event says.

use flux_engine::{Change, EngineEvent, NodeChange};
use flux_model::review::ReviewStatus;
use flux_model::{ErrorCode, ExecutionId, ExecutionStatus, NodePath, ReviewId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::moment::Moment;
use crate::schema;

/// Something changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventView {
    /// The execution it is about.
    #[schema(value_type = schema::ExecutionId)]
    execution: ExecutionId,
    /// The flow of that execution.
    flow: String,
    /// When.
    at: Moment,
    #[serde(flatten)]
    change: ChangeView,
}

/// What changed; `type` is also the name of the event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Change)]
enum ChangeView {
    /// The execution's status.
    Execution {
        /// The status it has now.
        #[schema(value_type = schema::ExecutionStatus)]
        status: ExecutionStatus,
    },
    /// A node's state.
    Node {
        /// Which.
        #[schema(value_type = schema::NodePath)]
        node: NodePath,
        /// The state it has now.
        state: &'static str,
        /// Which attempt, where one was started.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// When the next attempt starts.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_at: Option<Moment>,
        /// The code of the error, where an attempt failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<schema::ErrorCode>)]
        code: Option<ErrorCode>,
        /// The error, for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A review.
    Review {
        /// Which.
        #[schema(value_type = schema::ReviewId)]
        review: ReviewId,
        /// Where it stands now.
        #[schema(value_type = schema::ReviewStatus)]
        status: ReviewStatus,
    },
}

impl EventView {
    pub(super) fn of(event: &EngineEvent) -> Self {
        let change = match &event.change {
            Change::Execution { status } => ChangeView::Execution { status: *status },
            Change::Review { review, status } => ChangeView::Review { review: *review, status: *status },
            Change::Node { path, state } => ChangeView::node(path, state),
        };
        Self { execution: event.execution, flow: event.flow.to_string(), at: event.at.into(), change }
    }

    /// The name of the event.
    pub(super) const fn name(&self) -> &'static str {
        match self.change {
            ChangeView::Execution { .. } => "execution",
            ChangeView::Node { .. } => "node",
            ChangeView::Review { .. } => "review",
        }
    }
}

impl ChangeView {
    fn node(path: &NodePath, change: &NodeChange) -> Self {
        let (state, attempt, retry_at, error) = match change {
            NodeChange::Running { attempt } => ("running", Some(*attempt), None, None),
            NodeChange::Waiting => ("waiting", None, None, None),
            NodeChange::Succeeded => ("succeeded", None, None, None),
            NodeChange::Failed { error, retry_at: Some(at) } => {
                ("retrying", Some(error.attempt), Some(Moment(*at)), Some(error))
            }
            NodeChange::Failed { error, retry_at: None } => {
                ("failed", Some(error.attempt), None, Some(error))
            }
            NodeChange::Skipped => ("skipped", None, None, None),
            NodeChange::Cancelled => ("cancelled", None, None, None),
        };
        Self::Node {
            node: path.clone(),
            state,
            attempt,
            retry_at,
            code: error.map(|error| error.code),
            message: error.map(|error| error.message.clone()),
        }
    }
}
