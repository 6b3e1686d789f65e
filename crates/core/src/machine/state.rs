//! What an execution knows of itself between two events.
//!
//! States are enums that own their data; which transitions exist is said in the sibling modules,
//! one per kind of work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use flux_model::effect::{ChildCall, Effect, Response};
use flux_model::event::{Recorded, TaskOutput};
use flux_model::execution::{ExecutionResult, WaitOn};
use flux_model::ids::{ExecutionId, ReviewId};
use flux_model::path::NodePath;
use flux_model::review::ReviewRequest;
use flux_model::{Timestamp, Value};

use crate::plan::Plan;

/// One execution of a plan: the state of the state machine.
#[derive(Debug)]
pub struct Execution {
    pub(crate) plan: Arc<Plan>,
    pub(crate) id: ExecutionId,
    pub(crate) phase: Phase,
    pub(crate) started_at: Timestamp,
    /// The trigger's output.
    pub(crate) input: Value,
    /// Outcomes taken over from an earlier execution.
    pub(crate) recorded: Option<Recorded>,
    /// Running instances of scopes. The flow's own has number 0; each iteration of a loop has one.
    pub(crate) scopes: BTreeMap<u32, ScopeRun>,
    pub(crate) scopes_made: u32,
    /// Work that is under way, by path: what events are matched against.
    pub(crate) active: BTreeMap<NodePath, Work>,
    /// How many of `active` are running, not waiting.
    pub(crate) running: usize,
    pub(crate) signals: Signals,
    pub(crate) response: Option<Response>,
    /// Node runs begun.
    pub(crate) steps: u64,
    pub(crate) warnings: usize,
}

/// Where the execution as a whole stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// `Started` has not come yet.
    Queued,
    /// Nodes run and wait.
    Active,
    /// The result is fixed; attempts that were aborted get their grace.
    Ending(ExecutionResult),
    /// Over. Nothing changes any more.
    Ended(ExecutionResult),
}

/// One run of a scope.
#[derive(Debug)]
pub(crate) struct ScopeRun {
    /// Which scope of the plan.
    pub(crate) scope: usize,
    /// The iteration it is, if it is a loop's body.
    pub(crate) iteration: Option<Iteration>,
    /// Its nodes, in the order of the plan's scope.
    pub(crate) nodes: Vec<NodeRun>,
    /// Nodes that are not settled yet.
    pub(crate) unsettled: usize,
    /// The output of the node that ended last in it.
    pub(crate) last_output: Value,
}

/// Which element of which loop a scope run is for.
#[derive(Debug, Clone)]
pub(crate) struct Iteration {
    /// The scope run the loop node is in, and its slot there.
    pub(crate) parent: Place,
    /// `loop[3]`
    pub(crate) path: NodePath,
    pub(crate) index: u32,
    pub(crate) item: Value,
}

/// A node run: which scope run, which slot in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) run: u32,
    pub(crate) slot: usize,
}

/// A node within a scope run.
#[derive(Debug)]
pub(crate) struct NodeRun {
    pub(crate) state: NodeState,
    /// Incoming edges that are neither delivered nor dead.
    pub(crate) undecided: usize,
    /// What was delivered, by edge.
    pub(crate) delivered: Vec<(usize, Value)>,
}

/// Where a node run stands.
#[derive(Debug)]
pub(crate) enum NodeState {
    /// Waits for its incoming edges.
    Pending,
    /// Its one run is in [`Execution::active`].
    Working,
    /// It runs once per element; the runs are in [`Execution::active`].
    Each(Elements),
    /// Its body runs once per element; each run is a scope run.
    Looping(Elements),
    /// Ended well.
    Succeeded(TaskOutput),
    /// Ended with an error that the flow goes on from: by the main port or by `error`.
    Recovered(Value),
    /// Ended with an error that fails the execution.
    Failed,
    /// No edge into it was delivered.
    Skipped,
    /// Stopped because the execution is.
    Cancelled,
}

impl NodeState {
    /// Whether it is over.
    pub(crate) fn is_settled(&self) -> bool {
        match self {
            Self::Pending | Self::Working | Self::Each(_) | Self::Looping(_) => false,
            Self::Succeeded(_) | Self::Recovered(_) | Self::Failed | Self::Skipped | Self::Cancelled => true,
        }
    }
}

/// Progress through the elements of a `for_each` or a loop.
#[derive(Debug)]
pub(crate) struct Elements {
    pub(crate) items: Arc<Vec<Value>>,
    /// The next element to begin.
    pub(crate) next: usize,
    /// How many are under way.
    pub(crate) under_way: u32,
    /// How many may be under way.
    pub(crate) concurrency: u32,
    /// Outputs in input order; null until there is one.
    pub(crate) outputs: Vec<Value>,
}

/// A unit of work under way: a node's run, or one element of it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) place: Place,
    pub(crate) element: Option<u32>,
    /// Which attempt, from 1.
    pub(crate) attempt: u32,
    pub(crate) state: WorkState,
}

/// What a unit of work is doing.
#[derive(Debug)]
pub(crate) enum WorkState {
    /// The driver is at it. The effect is kept to be asked for again after a crash.
    Running(Box<Effect>),
    /// Failed, will be tried again.
    Retrying { until: Timestamp },
    /// `logic.delay`
    Delayed { since: Timestamp, until: Timestamp },
    /// A person is asked.
    InReview(Box<ReviewRequest>),
    /// Waits for a signal.
    AwaitingSignal { name: String, until: Option<Timestamp> },
    /// A child execution runs.
    AwaitingChild(Box<ChildCall>),
}

impl Work {
    /// What it waits for; nothing while it is running.
    pub(crate) fn wait(&self) -> Option<WaitOn> {
        match &self.state {
            WorkState::Running(_) => None,
            WorkState::Retrying { until } | WorkState::Delayed { until, .. } => {
                Some(WaitOn::Timer { until: *until })
            }
            WorkState::InReview(request) => {
                Some(WaitOn::Review { review: request.id, until: request.expires_at })
            }
            WorkState::AwaitingSignal { name, until } => {
                Some(WaitOn::Signal { name: name.clone(), until: *until })
            }
            WorkState::AwaitingChild(call) => Some(WaitOn::Child { execution: call.child }),
        }
    }

    /// Whether the driver is admitting this child for it.
    pub(crate) fn starts(&self, child: ExecutionId) -> bool {
        let WorkState::Running(effect) = &self.state else { return false };
        matches!(&**effect, Effect::StartChild(call) if call.child == child)
    }

    /// The review it is in.
    pub(crate) fn review(&self) -> Option<ReviewId> {
        if let WorkState::InReview(request) = &self.state { Some(request.id) } else { None }
    }
}

/// Signals that came before a node waited for them, and the ids of all that came.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) waiting: VecDeque<(String, Value)>,
    pub(crate) seen: BTreeSet<String>,
    /// Ids in the order they came, to forget the oldest.
    pub(crate) order: VecDeque<String>,
}
