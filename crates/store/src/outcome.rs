//! What became of a command.

use std::time::Duration;

use flux_model::review::ReviewStatus;
use flux_model::{ExecutionId, ExecutionStatus, ReviewId, Timestamp};

/// What became of a command. Every outcome is durable when it is given; those that say "refused"
/// changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The execution has its slot: after `Accept` it is stored as its first step says, after
    /// `Release` it is running with an empty journal and its held input.
    Started {
        /// Running executions of the key that must be cancelled, oldest first
        /// (`overflow: cancel_oldest`). Their rows say so too, so that a crash does not lose it.
        cancel: Vec<ExecutionId>,
    },
    /// The execution is stored and waits: for a slot, or for the time given.
    Queued {
        /// When its debounce ends.
        starts_at: Option<Timestamp>,
    },
    /// Joined an execution that has not started; that one now has this input.
    Debounced {
        /// Which.
        execution: ExecutionId,
        /// When its debounce ends.
        starts_at: Timestamp,
    },
    /// Refused: the idempotency key or id is that of an execution which was accepted before.
    Duplicate {
        /// Which.
        execution: ExecutionId,
    },
    /// Refused: the rate limit is reached.
    RateLimited {
        /// When the next one would be accepted.
        retry_after: Duration,
    },
    /// Refused: the concurrency limit is reached and the overflow policy drops.
    Dropped,
    /// The step is committed.
    Appended {
        /// Executions that got a slot because this one ended: running, no journal yet, input held.
        promoted: Vec<ExecutionId>,
    },
    /// Refused: the journal has another length; somebody else wrote, or this is a repetition.
    Conflict {
        /// The number of its next entry.
        next_seq: u64,
    },
    /// Refused: the execution is over, or is queued and the step does not end it.
    WrongStatus {
        /// Where it stands.
        status: ExecutionStatus,
    },
    /// Refused: the review is not pending, or has another version.
    ReviewConflict {
        /// Which.
        review: ReviewId,
        /// Where it stands.
        status: ReviewStatus,
        /// Its version.
        version: u32,
    },
    /// Refused: the debounce does not end before this time.
    NotDue {
        /// When it ends.
        starts_at: Timestamp,
    },
    /// These executions got a slot.
    Promoted {
        /// Which, in order of their start.
        executions: Vec<ExecutionId>,
    },
    /// These many executions were deleted.
    Deleted {
        /// How many; as many as the limit means there may be more.
        executions: usize,
    },
    /// Stored, now with this revision or version.
    Saved {
        /// Which.
        revision: u64,
    },
    /// The version is published and active.
    Published {
        /// Its number within the flow.
        number: u64,
        /// The flow's revision.
        revision: u64,
    },
    /// Refused: the thing has another revision or version than expected; 0 means it is not there.
    Stale {
        /// Which.
        revision: u64,
    },
    /// Done; or it was so already.
    Done,
    /// Refused: nothing has that name or id.
    NotFound,
    /// Refused: it exists already.
    Exists,
    /// Refused: the command contradicts itself.
    Refused(Refusal),
}

/// Why a command could never have happened: a fault of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something is larger than allowed.
    #[error("{what} has {bytes} bytes, {limit} ({max}) are allowed")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// The name of the limit.
        limit: &'static str,
        /// The limit.
        max: usize,
    },
    /// The rules may queue the execution, or it has no first step, and it comes without input to
    /// keep.
    #[error("an execution that may be queued needs its input held")]
    NothingHeld,
    /// A step without journal entries.
    #[error("a step needs a record with at least one entry")]
    EmptyStep,
    /// Waiting for nothing.
    #[error("a waiting execution needs at least one wait")]
    NoWaits,
    /// A review is opened twice, closed as pending, or not one of the execution.
    #[error("review {0} is opened twice, closed as pending, or not one of this execution")]
    Review(ReviewId),
    /// Switching on a flow that was never published.
    #[error("the flow has no published version")]
    NotPublished,
    /// The backend cannot store it.
    #[error("the store refused it: {0}")]
    Backend(String),
}
