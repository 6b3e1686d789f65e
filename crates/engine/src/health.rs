//! How the engine is: what it can do at the moment, and what it counted since it started.

use std::sync::atomic::{AtomicU64, Ordering};

use flux_model::ExecutionId;

/// What the engine can do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineHealth {
    /// Whether it accepts and runs.
    pub state: HealthState,
    /// Executions that cannot go on because their journal cannot be read, with the reason; at most
    /// [`PARKED_LISTED_MAX`].
    pub parked: Vec<(ExecutionId, String)>,
}

/// Parked executions that the health lists.
pub const PARKED_LISTED_MAX: usize = 100;

/// Whether the engine accepts and runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthState {
    /// It does.
    Working,
    /// The store failed: nothing is accepted or acknowledged until [`crate::Engine::reopen`].
    StorageUnavailable {
        /// Why.
        reason: String,
    },
    /// It was asked to stop.
    Stopping,
}

/// What the engine holds now and has counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Executions with an owner: they run, or something just happened to them.
    pub owned: usize,
    /// Commands that wait for the disk.
    pub pending_commands: usize,
    /// Timers of the near future that are held in memory.
    pub timers: usize,
    /// Executions accepted.
    pub admitted: u64,
    /// Executions refused, for whatever reason.
    pub refused: u64,
    /// Executions that ended.
    pub ended: u64,
    /// Steps committed.
    pub commits: u64,
    /// Executions read back from their journal.
    pub loaded: u64,
    /// Rounds the sweeper finished.
    pub sweeps: u64,
    /// Executions the sweeper found without owner, timer or listed wait. Each was repaired, and
    /// each is a fault.
    pub violations: u64,
    /// Executions that retention deleted.
    pub deleted: u64,
}

/// The counters behind [`EngineStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) admitted: Counter,
    pub(crate) refused: Counter,
    pub(crate) ended: Counter,
    pub(crate) commits: Counter,
    pub(crate) loaded: Counter,
    pub(crate) sweeps: Counter,
    pub(crate) violations: Counter,
    pub(crate) deleted: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
