//! Timers that survive a restart.

use flux_model::event::TimerKey;
use flux_model::{ExecutionId, Tenant, Timestamp};

/// Which timer: at most one of each name exists per execution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerName {
    /// The start of a debounced execution; answer with [`crate::command::Release`].
    Start,
    /// A timer of the state machine; answer with [`flux_model::Event::TimerFired`].
    Machine(TimerKey),
}

const START: &str = "start";

impl TimerName {
    /// The stable text form, as backends store it. `None` only if it cannot be serialised.
    pub fn encode(&self) -> Option<String> {
        match self {
            Self::Start => Some(START.to_owned()),
            Self::Machine(key) => serde_json::to_string(key).ok(),
        }
    }

    /// Reads the stored form.
    pub fn decode(text: &str) -> Option<Self> {
        if text == START {
            return Some(Self::Start);
        }
        serde_json::from_str(text).ok().map(Self::Machine)
    }
}

/// A timer to set. Replaces one of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Which.
    pub name: TimerName,
    /// When.
    pub due: Timestamp,
}

/// A stored timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// Which.
    pub name: TimerName,
    /// When.
    pub due: Timestamp,
}
