//! The trait that a backend implements: one way to write, some thirty ways to read.
//!
//! All methods block; [`crate::Writer`] and [`crate::Reader`] keep them off the async threads.

use std::collections::BTreeSet;

use flux_model::{ErrorCode, ExecutionId, ReviewId, Tenant, Timestamp};

use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretName, SecretRow};
use crate::command::Command;
use crate::executions::{
    ExecutionFilter, ExecutionRow, JournalPage, OpenCursor, OpenExecution, Slots, StatusCounts,
};
use crate::flows::{FlowRow, FlowVersionRow};
use crate::outcome::Outcome;
use crate::page::{Page, PageRequest};
use crate::reviews::{ReviewFilter, ReviewRow};
use crate::timers::TimerRow;
use crate::triggers::TriggerStateRow;

/// Why a store could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or failing, or the file is damaged. After a write, whether it is durable
    /// is unknown: the store takes no more writes until it is opened again.
    #[error("the store failed while it was {doing}: {reason}")]
    Unavailable {
        /// What it was doing.
        doing: &'static str,
        /// The backend's words.
        reason: String,
    },
    /// An earlier write failed; open the store again.
    #[error("the store takes no writes since an earlier one failed: {reason}")]
    Poisoned {
        /// Why that one failed.
        reason: String,
    },
    /// A query took longer than allowed.
    #[error("the query took longer than {limit_ms} ms ({limit}); ask for less")]
    TooSlow {
        /// How long it may take.
        limit_ms: u64,
        /// The name of the limit.
        limit: &'static str,
    },
    /// A stored row cannot be read.
    #[error("a stored row cannot be read: {reason}")]
    Undecodable {
        /// What is wrong, with the column.
        reason: String,
    },
}

impl StoreError {
    /// The public code of it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unavailable { .. } | Self::Poisoned { .. } => ErrorCode::StorageUnavailable,
            Self::TooSlow { .. } => ErrorCode::RequestTimeout,
            Self::Undecodable { .. } => ErrorCode::Internal,
        }
    }
}

/// How much a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// The structure of the file.
    Quick,
    /// The structure with all indexes, and every journal record.
    Full,
}

/// Something a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The backend's own check.
    Structure(String),
    /// A record is missing: the journal has no entry of this number.
    JournalGap {
        /// Whose journal.
        execution: ExecutionId,
        /// The first missing number.
        seq: u64,
    },
    /// A record cannot be read.
    JournalUnreadable {
        /// Whose journal.
        execution: ExecutionId,
        /// The number of its first entry.
        seq: u64,
        /// What is wrong.
        reason: String,
    },
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// How many journal records were read.
    pub records: u64,
    /// What is wrong, at most [`FINDINGS_MAX`]; empty means sound.
    pub findings: Vec<Finding>,
}

/// Findings that one check reports.
pub const FINDINGS_MAX: usize = 100;

/// How large a store is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSize {
    /// The main file, free space included.
    pub file_bytes: u64,
    /// Free space within it.
    pub free_bytes: u64,
    /// The write-ahead log.
    pub log_bytes: u64,
}

type Result<T> = std::result::Result<T, StoreError>;

/// A place where executions, flows and everything around them is kept.
///
/// Lists are newest first unless they say otherwise. A query with a tenant sees only that
/// tenant's rows; those without one are for operators and the engine, never for a caller's request.
///
/// # Errors
/// Every method gives a [`StoreError`] if the store fails.
pub trait Store: Send + Sync + 'static {
    /// Writes all commands in one durable transaction, in order, each seeing those before it. A
    /// refused command does not touch its neighbours.
    ///
    /// # Errors
    /// The batch failed as a whole, perhaps after it became durable. Acknowledge nothing, never
    /// try again; open the store anew and look.
    fn commit_batch(&self, commands: &[Command]) -> Result<Vec<Outcome>>;

    /// One execution.
    fn execution(&self, tenant: Tenant, id: ExecutionId) -> Result<Option<ExecutionRow>>;

    /// Executions, newest first.
    fn executions(
        &self,
        tenant: Tenant,
        filter: &ExecutionFilter,
        page: PageRequest,
    ) -> Result<Page<ExecutionRow>>;

    /// How many executions stand where.
    fn status_counts(&self, tenant: Tenant) -> Result<StatusCounts>;

    /// The slots of a concurrency key.
    fn slots(&self, tenant: Tenant, flow: &str, key: &str) -> Result<Slots>;

    /// The input of an execution that was queued and has no journal yet.
    fn held(&self, tenant: Tenant, id: ExecutionId) -> Result<Option<Vec<u8>>>;

    /// The journal from the record that holds entry `from_seq`, oldest first.
    fn journal(&self, tenant: Tenant, id: ExecutionId, from_seq: u64) -> Result<JournalPage>;

    /// Operators: executions that are not over, oldest first, at most `limit`.
    fn open_executions(&self, after: Option<OpenCursor>, limit: usize) -> Result<Vec<OpenExecution>>;

    /// Operators: timers due at or before `until`, earliest first, at most `limit`.
    fn timers_due(&self, until: Timestamp, limit: usize) -> Result<Vec<TimerRow>>;

    /// Operators: when the first timer is due.
    fn next_timer(&self) -> Result<Option<Timestamp>>;

    /// All timers of an execution, earliest first.
    fn timers_of(&self, tenant: Tenant, id: ExecutionId) -> Result<Vec<TimerRow>>;

    /// Reviews, newest first.
    fn reviews(&self, tenant: Tenant, filter: &ReviewFilter, page: PageRequest) -> Result<Page<ReviewRow>>;

    /// One review.
    fn review(&self, tenant: Tenant, id: ReviewId) -> Result<Option<ReviewRow>>;

    /// All flows by name.
    fn flows(&self, tenant: Tenant) -> Result<Vec<FlowRow>>;

    /// One flow.
    fn flow(&self, tenant: Tenant, name: &str) -> Result<Option<FlowRow>>;

    /// The versions of a flow, newest first.
    fn flow_versions(&self, tenant: Tenant, name: &str) -> Result<Vec<FlowVersionRow>>;

    /// One version.
    fn flow_version(&self, tenant: Tenant, name: &str, hash: &str) -> Result<Option<FlowVersionRow>>;

    /// Operators: the active version of every flow that is switched on.
    fn active_flows(&self) -> Result<Vec<FlowVersionRow>>;

    /// The names of all secrets, by name.
    fn secret_names(&self, tenant: Tenant) -> Result<Vec<SecretName>>;

    /// One sealed secret.
    fn secret(&self, tenant: Tenant, name: &str) -> Result<Option<SecretRow>>;

    /// All sealed secrets, by name: for sealing them anew.
    fn secrets(&self, tenant: Tenant) -> Result<Vec<SecretRow>>;

    /// The data keys of a project, newest first.
    fn data_keys(&self, tenant: Tenant) -> Result<Vec<DataKeyRow>>;

    /// Operators: every data key, for wrapping them anew.
    fn all_data_keys(&self) -> Result<Vec<DataKeyRow>>;

    /// Before a caller is known: the API key with this hash, whatever its state.
    fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRow>>;

    /// The API keys of a project, newest first.
    fn keys(&self, tenant: Tenant) -> Result<Vec<KeyRow>>;

    /// What a trigger remembers.
    fn trigger_state(&self, tenant: Tenant, flow: &str, node: &str) -> Result<Option<TriggerStateRow>>;

    /// What all triggers remember, by flow and node.
    fn trigger_states(&self, tenant: Tenant) -> Result<Vec<TriggerStateRow>>;

    /// Those of the named objects that some record or held input refers to.
    fn objects_referenced(&self, tenant: Tenant, names: &[String]) -> Result<BTreeSet<String>>;

    /// Operators: every project, oldest first.
    fn projects(&self) -> Result<Vec<ProjectRow>>;

    /// Operators: looks for damage.
    fn check(&self, depth: CheckDepth) -> Result<CheckReport>;

    /// Operators: how large it is.
    fn size(&self) -> Result<StoreSize>;
}
