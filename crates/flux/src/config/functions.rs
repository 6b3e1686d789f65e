//! `[functions]`: the processes that run TypeScript.

use std::path::PathBuf;

use super::section::section;

section! {
    /// The processes that run TypeScript.
    Functions {
        /// The `deno` binary itself. Where absent it is looked for in the `node_modules` of the project
        /// and above it, then on the `PATH`.
        deno: Option<PathBuf> = None;
        /// Processes of one version of a project.
        processes_max: usize = 2;
        /// Calls in flight in one process before another one is started.
        calls_per_process: usize = 64;
        /// Calls of one version that may wait for a process.
        queue_max: usize = 1_024;
        /// Time limit of a function that sets no `timeout_ms`, in milliseconds.
        timeout_ms: u64 = 30_000;
        /// Memory limit of a process none of whose functions sets `memory_mb`, in MiB.
        memory_mb: u64 = 256;
        /// Processor time that a function may take without a pause, in milliseconds.
        cpu_ms: u64 = 2_000;
    }
}
