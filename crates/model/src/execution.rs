//! What everybody sees of an execution: its kind, its status and what it waits for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::NodeError;
use crate::ids::{ExecutionId, ReviewId};
use crate::path::NodePath;
use crate::time::Timestamp;
use crate::value::Value;

/// What ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionKind {
    /// A flow.
    Flow,
    /// A function.
    Function,
    /// A run recorded in a customer's app.
    Captured,
}

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// Accepted, not started: waits for a slot, a rate or the end of its debounce.
    Queued,
    /// A node is running or about to.
    Running,
    /// Nothing runs; its waits say what for.
    Waiting,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because somebody or something asked for it.
    Cancelled,
}

impl ExecutionStatus {
    /// Whether it is over. Such a status never changes.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Waiting => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }

    /// The status as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One thing a waiting execution waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// The node that waits.
    pub node: NodePath,
    /// What for.
    #[serde(flatten)]
    pub on: WaitOn,
}

/// What a node waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum WaitOn {
    /// A point in time: a delay, or the next attempt of a node.
    Timer {
        /// When.
        until: Timestamp,
    },
    /// A human decision.
    Review {
        /// Which.
        review: ReviewId,
        /// When the default action is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A signal of this name.
    Signal {
        /// Its name.
        name: String,
        /// When the wait ends without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The end of another execution.
    Child {
        /// Which.
        execution: ExecutionId,
    },
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum ExecutionResult {
    /// Well.
    Succeeded {
        /// The output of the last node, or of the node that responded.
        output: Value,
    },
    /// With an error.
    Failed {
        /// Which.
        error: NodeError,
    },
    /// On request.
    Cancelled {
        /// Why, as the asker said.
        reason: String,
    },
}

impl ExecutionResult {
    /// The terminal status it amounts to.
    pub const fn status(&self) -> ExecutionStatus {
        match self {
            Self::Succeeded { .. } => ExecutionStatus::Succeeded,
            Self::Failed { .. } => ExecutionStatus::Failed,
            Self::Cancelled { .. } => ExecutionStatus::Cancelled,
        }
    }
}
