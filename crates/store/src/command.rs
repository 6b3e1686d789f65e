//! Everything that can be written, each command one atomic unit.
//!
//! A command either happens whole or not at all; the [`crate::Outcome`] says which. Tenants come
//! from the verified caller. Texts and blobs are bounded here by name, once for every backend.

use flux_model::admission::{ConcurrencyRule, DebounceRule, RateRule};
use flux_model::execution::Wait;
use flux_model::{ErrorCode, ExecutionId, ExecutionKind, ExecutionStatus, KeyId, Tenant, Timestamp};

use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretRow};
use crate::executions::{ErrorSummary, Parent};
use crate::flows::{PublishFlow, RestoreFlow, SaveDraft, SetFlowState};
use crate::reviews::ReviewChange;
use crate::timers::{Timer, TimerName};
use crate::triggers::PutTriggerState;

/// Bytes of a name, key or short text in a row.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Bytes of an input or output summary, or of an error message.
pub const SUMMARY_BYTES_MAX: usize = 4_096;
/// Bytes of one journal record, held input, draft, sealed secret or trigger state.
pub const BLOB_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Executions that one retention command deletes at most.
pub const RETAIN_EXECUTIONS_MAX: usize = 500;
/// Executions that one command promotes at most; [`Command::Promote`] carries on.
pub const PROMOTED_MAX: usize = 64;

/// One atomic write.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Admit an execution.
    Accept(Box<Accept>),
    /// Commit a step of an execution.
    Append(Box<Append>),
    /// Start a debounced execution whose start timer is due.
    Release(Release),
    /// Start queued executions of a key that has free slots. Ending an execution does that by
    /// itself; this is the sweeper's remedy after a limit was raised.
    Promote(Promote),
    /// Delete some executions that ended long ago, with everything that belongs to them.
    Retain(Retain),
    /// Create or replace a draft.
    SaveDraft(SaveDraft),
    /// Publish a version.
    PublishFlow(PublishFlow),
    /// Make an earlier version active again.
    RestoreFlow(RestoreFlow),
    /// Switch a flow on or off.
    SetFlowState(SetFlowState),
    /// Delete a flow with what its triggers remember; its versions and executions stay.
    DeleteFlow {
        /// Whose data it is.
        tenant: Tenant,
        /// The flow's name.
        name: String,
    },
    /// Create or replace a secret.
    PutSecret(SecretRow),
    /// Delete a secret.
    DeleteSecret {
        /// Whose data it is.
        tenant: Tenant,
        /// Its name.
        name: String,
    },
    /// Create a data key, or replace its wrapping.
    PutDataKey(DataKeyRow),
    /// Create an API key. Refused if its id or hash exists.
    PutKey(KeyRow),
    /// Revoke an API key; revoking twice keeps the first time.
    RevokeKey {
        /// Whose data it is.
        tenant: Tenant,
        /// Which.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// Note that an API key was used; an earlier time than the stored one changes nothing.
    TouchKey {
        /// Which.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// Replace the state of a trigger.
    PutTriggerState(PutTriggerState),
    /// Create a project unless it exists.
    EnsureProject(ProjectRow),
}

/// Admit an execution. The rules are judged in the order of the fields; the first that does not
/// let it through decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Accept {
    /// The execution.
    pub execution: NewExecution,
    /// Two accepts of a flow with the same key are one, as long as the first one is kept.
    pub idempotency_key: Option<String>,
    /// Join the execution of this key that has not started, or become it.
    pub debounce: Option<DebounceRule>,
    /// Refuse when too many were accepted.
    pub rate: Option<RateRule>,
    /// Queue, refuse or cancel others when too many run.
    pub concurrency: Option<ConcurrencyRule>,
    /// What it does first, computed as if it ran at once; used only if it does. Without it the
    /// execution is stored as running with an empty journal and its held input.
    pub first: Option<Step>,
    /// What to keep if it does not run at once, or comes without `first`. May be absent only
    /// where the rules cannot queue it.
    pub held: Option<Held>,
    /// The present.
    pub at: Timestamp,
}

/// An execution to be. Its creation time is that of its id.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExecution {
    /// Its id. A second accept of the same id is a duplicate.
    pub id: ExecutionId,
    /// Whose data it is.
    pub tenant: Tenant,
    /// What runs.
    pub kind: ExecutionKind,
    /// The flow's or function's name.
    pub flow: String,
    /// The hash of the flow version, or of the plan, that it is pinned to.
    pub version: String,
    /// What started it.
    pub trigger: String,
    /// The trace it belongs to. Ids that sort by time keep the index that finds them cheap.
    pub request_id: String,
    /// Who called it.
    pub parent: Option<Parent>,
    /// How many executions are above it.
    pub depth: u32,
    /// Queued executions of a higher priority start first.
    pub priority: i32,
    /// The input in short, for people.
    pub input: String,
}

/// The input of an execution that has not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whatever the driver needs to start it; opaque here.
    pub bytes: Vec<u8>,
    /// Names of objects it refers to.
    pub objects: Vec<String>,
}

/// What one step of the state machine changes, committed together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// The journal record in stored form.
    pub record: Vec<u8>,
    /// How many entries the record has, at least 1.
    pub entries: u32,
    /// Names of objects the record refers to; they must be durable already.
    pub objects: Vec<String>,
    /// Where the execution stands now; absent means as before (running, for the first step).
    pub change: Option<StatusChange>,
    /// Timers to set.
    pub set_timers: Vec<Timer>,
    /// Timers to forget; forgetting comes before setting.
    pub clear_timers: Vec<TimerName>,
    /// Reviews to open and close.
    pub reviews: Vec<ReviewChange>,
}

/// A new status with what belongs to it. An ending forgets all timers and withdraws all pending
/// reviews of the execution, and starts queued executions of its concurrency key.
#[derive(Debug, Clone, PartialEq)]
pub enum StatusChange {
    /// A node runs or is about to.
    Running,
    /// Nothing runs.
    Waiting {
        /// What for, at least one.
        waits: Vec<Wait>,
    },
    /// Over, well.
    Succeeded {
        /// The output in short, for people.
        output: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// Over, with an error.
    Failed {
        /// Which.
        error: ErrorSummary,
        /// When.
        at: Timestamp,
    },
    /// Over, on request.
    Cancelled {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl StatusChange {
    /// The status it leads to.
    pub const fn status(&self) -> ExecutionStatus {
        match self {
            Self::Running => ExecutionStatus::Running,
            Self::Waiting { .. } => ExecutionStatus::Waiting,
            Self::Succeeded { .. } => ExecutionStatus::Succeeded,
            Self::Failed { .. } => ExecutionStatus::Failed,
            Self::Cancelled { .. } => ExecutionStatus::Cancelled,
        }
    }

    /// When the execution ended, if it does.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Running | Self::Waiting { .. } => None,
            Self::Succeeded { at, .. } | Self::Failed { at, .. } | Self::Cancelled { at, .. } => Some(*at),
        }
    }

    /// Why, where it is not a success.
    pub fn error(&self) -> Option<ErrorSummary> {
        match self {
            Self::Running | Self::Waiting { .. } | Self::Succeeded { .. } => None,
            Self::Failed { error, .. } => Some(error.clone()),
            Self::Cancelled { reason, .. } => {
                Some(ErrorSummary { code: ErrorCode::Cancelled, message: reason.clone(), node: None })
            }
        }
    }
}

/// Commit a step of an execution that runs or waits. A queued one accepts only its own ending.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Which execution.
    pub execution: ExecutionId,
    /// The number of the record's first entry: the fence against a second writer.
    pub expected_next_seq: u64,
    /// What changes.
    pub step: Step,
}

/// Start a debounced execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Which execution.
    pub execution: ExecutionId,
    /// The present; before the start time nothing happens.
    pub at: Timestamp,
}

/// Start queued executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promote {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow.
    pub flow: String,
    /// The concurrency key.
    pub key: String,
    /// The present.
    pub at: Timestamp,
}

/// Delete old executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retain {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Only of this flow.
    pub flow: Option<String>,
    /// Only what was created and ended before.
    pub ended_before: Timestamp,
    /// At most this many; held to 1–[`RETAIN_EXECUTIONS_MAX`].
    pub limit: usize,
}

impl Retain {
    /// How many executions to delete at most.
    pub fn rows(&self) -> usize {
        self.limit.clamp(1, RETAIN_EXECUTIONS_MAX)
    }
}
