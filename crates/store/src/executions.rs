//! Executions and their journals as queries give them.

use flux_model::execution::Wait;
use flux_model::{ErrorCode, ExecutionId, ExecutionKind, ExecutionStatus, NodePath, Tenant, Timestamp};

/// The execution that called another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Which.
    pub execution: ExecutionId,
    /// The node that called.
    pub path: NodePath,
    /// Whether the node waits for the end of the execution: then it ends with its caller.
    pub awaited: bool,
}

/// Why an execution ended without success, in short; its journal holds everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSummary {
    /// The stable code; [`ErrorCode::Cancelled`] for cancelled executions.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The node that failed.
    pub node: Option<NodePath>,
}

/// An execution as lists and answers show it. It was created at `id.made_at()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionRow {
    /// Its id; sorts by creation time.
    pub id: ExecutionId,
    /// Whose data it is.
    pub tenant: Tenant,
    /// What ran.
    pub kind: ExecutionKind,
    /// The flow's or function's name.
    pub flow: String,
    /// The hash of the flow version, or of the plan, that it is pinned to.
    pub version: String,
    /// What started it: the trigger's node type, `api`, `flow.call`…
    pub trigger: String,
    /// The trace it belongs to.
    pub request_id: String,
    /// Who called it.
    pub parent: Option<Parent>,
    /// How many executions are above it.
    pub depth: u32,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// Queued executions of a higher priority start first.
    pub priority: i32,
    /// The concurrency key it shares slots by.
    pub concurrency_key: Option<String>,
    /// The execution that has its slot, once it is to be cancelled for that one
    /// (`overflow: cancel_oldest`). Set in the transaction in which the other starts.
    pub replaced_by: Option<ExecutionId>,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// What it waits for; empty unless it is waiting.
    pub waits: Vec<Wait>,
    /// The input in short, for people.
    pub input: String,
    /// The output in short, for people.
    pub output: Option<String>,
    /// Why it failed or was cancelled.
    pub error: Option<ErrorSummary>,
    /// When it got its slot.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The number of its next journal entry: how many there are.
    pub next_seq: u64,
    /// Bytes of its journal.
    pub journal_bytes: u64,
}

/// Which executions a list holds. Empty or absent means any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionFilter {
    /// Only with one of these statuses.
    pub statuses: Vec<ExecutionStatus>,
    /// Only of this kind.
    pub kind: Option<ExecutionKind>,
    /// Only of this flow or function.
    pub flow: Option<String>,
    /// Only of this trace.
    pub request_id: Option<String>,
    /// Only called by this execution.
    pub parent: Option<ExecutionId>,
    /// Only created at or after.
    pub since: Option<Timestamp>,
    /// Only created before.
    pub until: Option<Timestamp>,
}

/// An execution that is not over, with what keeps it alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenExecution {
    /// The execution.
    pub row: ExecutionRow,
    /// How many durable timers it has.
    pub timers: u32,
    /// When the first of them is due.
    pub next_due: Option<Timestamp>,
    /// Whether it has input that was kept while it was queued: it is running but has no journal
    /// yet, or is still queued.
    pub held: bool,
    /// Whether its input is still being debounced.
    pub debounced: bool,
}

/// Where a walk over open executions stands. Opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCursor(pub ExecutionId);

/// One commit of a journal, in stored form ([`flux_model::journal::Record`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// The number of its first entry.
    pub first_seq: u64,
    /// How many entries it has.
    pub entries: u32,
    /// The stored form.
    pub bytes: Vec<u8>,
}

/// Some records of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalPage {
    /// In order, without gaps.
    pub records: Vec<JournalRecord>,
    /// Where the next page begins; absent at the end.
    pub next_seq: Option<u64>,
}

/// Most records in one journal page.
pub const JOURNAL_PAGE_RECORDS_MAX: usize = 512;
/// A journal page ends with the record that reaches this many bytes.
pub const JOURNAL_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many executions stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusCounts {
    /// Accepted, not started.
    pub queued: u64,
    /// A node runs or is about to.
    pub running: u64,
    /// Nothing runs.
    pub waiting: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Ended on request.
    pub cancelled: u64,
}

impl StatusCounts {
    /// The count of one status.
    pub fn of(&mut self, status: ExecutionStatus) -> &mut u64 {
        match status {
            ExecutionStatus::Queued => &mut self.queued,
            ExecutionStatus::Running => &mut self.running,
            ExecutionStatus::Waiting => &mut self.waiting,
            ExecutionStatus::Succeeded => &mut self.succeeded,
            ExecutionStatus::Failed => &mut self.failed,
            ExecutionStatus::Cancelled => &mut self.cancelled,
        }
    }
}

/// The slots of one concurrency key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    /// Executions that run or wait.
    pub active: u64,
    /// Executions that wait for a slot.
    pub queued: u64,
}
