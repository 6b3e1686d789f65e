//! What can be set about an engine, with its defaults.

use std::time::Duration;

use flux_model::limits::EXECUTION_JOURNAL_BYTES_MAX;
use flux_store::WriterLimits;

/// How an engine behaves.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Executions that run at the same time. More are refused as `overloaded`; waiting ones do
    /// not count.
    pub running_max: usize,
    /// Commands that may wait for the disk before new executions are refused as `overloaded`.
    /// Lower than [`WriterLimits::queue_commands_max`], so that executions that run already still
    /// find room.
    pub admission_pending_max: usize,
    /// How much may wait to be written.
    pub writer: WriterLimits,
    /// How long a refused caller is told to wait.
    pub retry_after: Duration,
    /// Executions that are read from the store at the same time to go on.
    pub loads_max: usize,
    /// Versions of flows that are kept compiled.
    pub plans_max: usize,
    /// Open executions that the sweeper looks at per page.
    pub sweep_rows: usize,
    /// The pause between two pages of the sweeper.
    pub sweep_pause: Duration,
    /// How long ended executions are kept where their flow does not say, in days.
    pub retention_days: u32,
    /// The pause between two rounds of deleting what is old: executions and objects.
    pub retention_pause: Duration,
    /// Changes that a slow follower of [`crate::Engine::events`] may lag behind.
    pub events_max: usize,
    /// Bytes of the journal of one execution, with its stored values; at more it fails.
    pub journal_bytes_max: u64,
    /// Bytes of a journal, with its stored values, that one answer holds at most.
    pub journal_read_bytes_max: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            running_max: 4_096,
            admission_pending_max: 1_024,
            writer: WriterLimits::default(),
            retry_after: Duration::from_secs(1),
            loads_max: 64,
            plans_max: 1_000,
            sweep_rows: 500,
            sweep_pause: Duration::from_secs(1),
            retention_days: 30,
            retention_pause: Duration::from_secs(600),
            events_max: 4_096,
            journal_bytes_max: EXECUTION_JOURNAL_BYTES_MAX,
            journal_read_bytes_max: 64 * 1024 * 1024,
        }
    }
}
