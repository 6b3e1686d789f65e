//! Everything that can happen to an execution: the inputs of the state machine.
//!
//! Events are what the journal is folded from. A second delivery of any of them changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::execution::ExecutionResult;
use crate::ids::ExecutionId;
use crate::path::NodePath;
use crate::review::Decision;
use crate::value::Value;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The execution begins.
    Started {
        /// The trigger's output.
        input: Value,
        /// Outcomes taken over from an earlier execution, when it is a rerun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recorded: Option<Recorded>,
    },
    /// An attempt of a task ended.
    Completed {
        /// The node.
        path: NodePath,
        /// Which attempt, from 1.
        attempt: u32,
        /// Its output, or why there is none.
        result: Result<TaskOutput, Failure>,
    },
    /// A timer is due.
    TimerFired {
        /// Which.
        timer: TimerKey,
    },
    /// A review was decided.
    Decided {
        /// The node that waits for it.
        path: NodePath,
        /// The decision.
        decision: Decision,
    },
    /// A signal came.
    Signalled {
        /// Its name.
        name: String,
        /// What it carries.
        payload: Value,
        /// Two signals with the same id are one.
        id: String,
    },
    /// A child execution was accepted.
    ChildStarted {
        /// The node that called it.
        path: NodePath,
        /// Its id.
        child: ExecutionId,
    },
    /// A child execution ended.
    ChildEnded {
        /// The node that called it.
        path: NodePath,
        /// Its id.
        child: ExecutionId,
        /// How.
        result: ExecutionResult,
    },
    /// Somebody asked for the execution to stop.
    CancelRequested {
        /// Why.
        reason: String,
    },
    /// The process restarted; attempts that were running were interrupted.
    Recovered,
    /// The driver cannot carry the execution on: its journal is over its limit.
    LimitExceeded {
        /// Which limit, with the measured value.
        failure: Failure,
    },
}

/// What a task produced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// By which ports the node is left; the main port if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// The output.
    pub value: Value,
}

impl TaskOutput {
    /// An output that leaves by the main port.
    pub const fn main(value: Value) -> Self {
        Self { ports: Vec::new(), value }
    }

    /// An output that leaves by this port.
    pub fn by(port: &str, value: Value) -> Self {
        Self { ports: vec![port.to_owned()], value }
    }
}

/// Outcomes of an earlier execution that a rerun starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The execution they come from.
    pub execution: ExecutionId,
    /// The node the rerun starts at.
    pub from_node: String,
    /// Outputs of nodes at the top of the flow that are not downstream of it, by key.
    pub outputs: BTreeMap<String, TaskOutput>,
}

/// Which timer: at most one of each key exists per execution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "timer", rename_all = "snake_case")]
pub enum TimerKey {
    /// The end of a delay.
    Delay {
        /// The node that waits.
        path: NodePath,
    },
    /// The next attempt of a node.
    Retry {
        /// The node.
        path: NodePath,
        /// The attempt it starts.
        attempt: u32,
    },
    /// The end of an attempt's time. Kept in memory only: a restart begins the attempt anew.
    NodeTimeout {
        /// The node.
        path: NodePath,
        /// The attempt.
        attempt: u32,
    },
    /// A review's default action.
    ReviewExpiry {
        /// The node that waits.
        path: NodePath,
    },
    /// The end of a wait for a signal.
    SignalTimeout {
        /// The node that waits.
        path: NodePath,
    },
    /// The end of the execution's time.
    ExecutionTimeout,
    /// The end of the time that cancelled nodes have to stop by themselves. In memory only.
    CancelGrace,
}

impl TimerKey {
    /// Whether it must survive a restart.
    pub const fn is_durable(&self) -> bool {
        match self {
            Self::Delay { .. }
            | Self::Retry { .. }
            | Self::ReviewExpiry { .. }
            | Self::SignalTimeout { .. }
            | Self::ExecutionTimeout => true,
            Self::NodeTimeout { .. } | Self::CancelGrace => false,
        }
    }
}
