//! Changes as followers see them. Each is sent after it is durable, and only while somebody
//! follows; a follower that is too slow is told that it missed some.

use flux_model::error::NodeError;
use flux_model::ids::{ExecutionId, ReviewId, Tenant};
use flux_model::review::ReviewStatus;
use flux_model::{ExecutionStatus, NodePath, Timestamp};

/// Something changed.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineEvent {
    /// Whose data it is about.
    pub tenant: Tenant,
    /// The execution it is about.
    pub execution: ExecutionId,
    /// The flow of that execution.
    pub flow: std::sync::Arc<str>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The execution's status.
    Execution {
        /// The status it has now.
        status: ExecutionStatus,
    },
    /// A node's state.
    Node {
        /// Which.
        path: NodePath,
        /// The state it has now.
        state: NodeChange,
    },
    /// A review.
    Review {
        /// Which.
        review: ReviewId,
        /// Where it stands now.
        status: ReviewStatus,
    },
}

/// What a node did.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeChange {
    /// An attempt was started.
    Running {
        /// Which, from 1.
        attempt: u32,
    },
    /// It waits.
    Waiting,
    /// It ended well.
    Succeeded,
    /// An attempt failed.
    Failed {
        /// Why.
        error: Box<NodeError>,
        /// When the next attempt starts, if there is one.
        retry_at: Option<Timestamp>,
    },
    /// It will not run.
    Skipped,
    /// It was stopped.
    Cancelled,
}
