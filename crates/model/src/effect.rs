//! Everything the state machine may ask of its driver.

use std::time::Duration;

use crate::event::TimerKey;
use crate::execution::ExecutionResult;
use crate::ids::{ExecutionId, ReviewId};
use crate::journal::JournalEvent;
use crate::node_type::Purity;
use crate::path::NodePath;
use crate::review::{Decision, ReviewRequest, ReviewStatus};
use crate::time::Timestamp;
use crate::value::Value;

/// One thing to do, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append this to the journal: what the machine concluded from the event.
    Record(JournalEvent),
    /// Run an executor; answer with [`crate::Event::Completed`].
    Run(TaskCall),
    /// Ask a running attempt to stop; it still answers with `Completed`.
    Abort {
        /// The node.
        path: NodePath,
        /// The attempt.
        attempt: u32,
    },
    /// Deliver [`crate::Event::TimerFired`] at that time. Replaces a timer of the same key.
    SetTimer {
        /// Which timer.
        key: TimerKey,
        /// When.
        at: Timestamp,
    },
    /// Forget a timer.
    ClearTimer {
        /// Which timer.
        key: TimerKey,
    },
    /// Put a decision before people; answer with [`crate::Event::Decided`].
    OpenReview(ReviewRequest),
    /// A review is over.
    CloseReview {
        /// Which.
        review: ReviewId,
        /// How it ended.
        status: ReviewStatus,
        /// The decision, if a person made one.
        decision: Option<Decision>,
    },
    /// Admit a child execution; answer with `ChildStarted`, or `Completed` with the refusal.
    StartChild(ChildCall),
    /// Cancel a child execution that is waited for.
    CancelChild {
        /// Which.
        child: ExecutionId,
    },
    /// Deliver a signal to another execution; answer with `Completed`.
    SendSignal {
        /// The node that sends.
        path: NodePath,
        /// The attempt.
        attempt: u32,
        /// To whom.
        to: ExecutionId,
        /// The signal's name.
        name: String,
        /// What it carries.
        payload: Value,
    },
    /// Answer whoever waits for this execution's response. At most one per execution.
    Respond(Response),
    /// The execution is over.
    Finish(ExecutionResult),
}

/// An attempt to run.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskCall {
    /// The node.
    pub path: NodePath,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The node type.
    pub node_type: String,
    /// What must be durable around it.
    pub purity: Purity,
    /// The config with its templates evaluated; may hold secret references.
    pub config: Value,
    /// What the incoming edge carries.
    pub input: Value,
    /// `execution/node path`, the same for every attempt.
    pub idempotency_key: String,
    /// How long the attempt may take.
    pub timeout: Duration,
    /// Whether the intent must be durable before the attempt.
    pub at_most_once: bool,
}

/// A child execution to admit.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildCall {
    /// The node that calls.
    pub path: NodePath,
    /// The attempt.
    pub attempt: u32,
    /// The child's id, derived from the parent's id, the path and the attempt.
    pub child: ExecutionId,
    /// The flow to run.
    pub flow: String,
    /// Its input.
    pub input: Value,
    /// Whether the node waits for its end.
    pub wait: bool,
}

/// An HTTP answer composed by a flow.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Response {
    /// The status, 200–599.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body: text is sent as it is, everything else as JSON.
    pub body: Value,
}
