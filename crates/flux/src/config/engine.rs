//! `[engine]`: how executions run.

use super::section::section;

section! {
    /// How executions run.
    Engine {
        /// Executions that run at the same time; waiting ones do not count. More are refused as `overloaded`.
        running_max: usize = 4_096;
        /// Commands that may wait for the disk before new executions are refused as `overloaded`.
        admission_pending_max: usize = 1_024;
        /// How long a refused caller is told to wait, in milliseconds.
        retry_after_ms: u64 = 1_000;
        /// Days that ended executions are kept where their flow does not say.
        retention_days: u32 = 30;
        /// Bytes of large values that one reading of a journal puts back at most.
        journal_read_bytes_max: usize = 64 * 1024 * 1024;
    }
}
