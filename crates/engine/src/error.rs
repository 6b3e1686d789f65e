//! Why something that was asked of the engine was not done. Every refusal has a public code.

use std::time::Duration;

use flux_model::error::Failure;
use flux_model::review::ReviewStatus;
use flux_model::{ErrorCode, ExecutionId, ExecutionStatus};
use flux_store::{StoreError, WriteError};

/// Why an execution was not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdmissionError {
    /// The project has no flow, or no version, of that name.
    #[error("there is no flow `{flow}`")]
    FlowNotFound {
        /// What was asked for.
        flow: String,
    },
    /// The flow was never published, or is switched off.
    #[error("flow `{flow}` is {state}; publish it or switch it on first")]
    FlowInactive {
        /// The flow.
        flow: String,
        /// In which way.
        state: &'static str,
    },
    /// The stored version does not plan with the node types of this process.
    #[error("flow `{flow}` cannot run: {reason}")]
    FlowInvalid {
        /// The flow.
        flow: String,
        /// The first diagnostic.
        reason: String,
    },
    /// The input does not fit the trigger's schema, is too large, or gives no valid key.
    #[error("the input does not fit: {message}")]
    InputInvalid {
        /// What is wrong, field by field.
        message: String,
    },
    /// Already the first step gives more than can be written.
    #[error("the first step of flow `{flow}` is too large: {reason}")]
    TooLarge {
        /// The flow.
        flow: String,
        /// The limit and what was measured.
        reason: String,
    },
    /// A template of the flow's admission settings failed.
    #[error("{}", .0.message)]
    Terms(Failure),
    /// The flow's rate limit is reached.
    #[error("the rate limit of flow `{flow}` is reached; try again in {} ms", retry_after.as_millis())]
    RateLimited {
        /// The flow.
        flow: String,
        /// When the next one is accepted.
        retry_after: Duration,
    },
    /// The flow's concurrency limit is reached and its overflow policy drops.
    #[error("the concurrency limit of flow `{flow}` is reached (overflow: drop)")]
    ConcurrencyDropped {
        /// The flow.
        flow: String,
    },
    /// Executions call each other too deeply.
    #[error("executions call each other {depth} deep, at most {max} are allowed (CALL_DEPTH_MAX)")]
    CallDepth {
        /// How deep this one would be.
        depth: u32,
        /// The limit.
        max: u32,
    },
    /// There is more work than the engine accepts.
    #[error("{measured} {what}, at most {max} are accepted ({setting}); try again later")]
    Overloaded {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        measured: usize,
        /// How much may be.
        max: usize,
        /// The setting.
        setting: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The engine is stopping.
    #[error("the server is stopping; try again later")]
    Stopping {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store takes no writes, or failed while it was asked.
    #[error("nothing can be stored at the moment: {reason}")]
    Storage {
        /// Why.
        reason: String,
    },
    /// A fault inside Flux.
    #[error("the execution could not be accepted: {reason}")]
    Internal {
        /// What contradicted itself.
        reason: String,
    },
}

impl AdmissionError {
    /// The public code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::FlowNotFound { .. } => ErrorCode::FlowNotFound,
            Self::FlowInactive { .. } | Self::FlowInvalid { .. } => ErrorCode::FlowInactive,
            Self::InputInvalid { .. } => ErrorCode::InputInvalid,
            Self::TooLarge { .. } => ErrorCode::ExecutionLimit,
            Self::Terms(failure) => failure.code,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::ConcurrencyDropped { .. } => ErrorCode::ConcurrencyDropped,
            Self::CallDepth { .. } => ErrorCode::CallDepth,
            Self::Overloaded { .. } | Self::Stopping { .. } => ErrorCode::Overloaded,
            Self::Storage { .. } => ErrorCode::StorageUnavailable,
            Self::Internal { .. } => ErrorCode::Internal,
        }
    }

    /// How long to wait before asking again; `None` if asking again will not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::Stopping { retry_after } => Some(*retry_after),
            Self::FlowNotFound { .. }
            | Self::FlowInactive { .. }
            | Self::FlowInvalid { .. }
            | Self::InputInvalid { .. }
            | Self::TooLarge { .. }
            | Self::Terms(_)
            | Self::ConcurrencyDropped { .. }
            | Self::CallDepth { .. }
            | Self::Storage { .. }
            | Self::Internal { .. } => None,
        }
    }
}

impl From<StoreError> for AdmissionError {
    fn from(error: StoreError) -> Self {
        Self::Storage { reason: error.to_string() }
    }
}

/// Why something could not be read or written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// There is no such execution.
    #[error("there is no execution {0}")]
    NotFound(ExecutionId),
    /// Its status does not allow what was asked.
    #[error("execution {execution} is {}; {needs}", status.as_str())]
    WrongStatus {
        /// Which.
        execution: ExecutionId,
        /// Where it stands.
        status: ExecutionStatus,
        /// What it would have to be.
        needs: &'static str,
    },
    /// Its journal cannot be read.
    #[error("the journal of execution {execution} cannot be read: {reason}")]
    Corrupt {
        /// Which.
        execution: ExecutionId,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version of Flux wrote its journal.
    #[error("the journal of execution {execution} cannot be read by this version: {reason}")]
    Newer {
        /// Which.
        execution: ExecutionId,
        /// Which version it has.
        reason: String,
    },
    /// More would have to be read than one answer may hold.
    #[error(
        "the journal of execution {execution} has more than {bytes} bytes, at most {max} are read at once (journal_read_bytes_max)"
    )]
    TooLarge {
        /// Which.
        execution: ExecutionId,
        /// How much there is.
        bytes: u64,
        /// How much may be.
        max: usize,
    },
    /// The node a rerun shall start from is not at the top of the flow.
    #[error("flow `{flow}` has no node `{node}` at its top to start from")]
    UnknownNode {
        /// The flow.
        flow: String,
        /// What was asked for.
        node: String,
    },
    /// A value that somebody sent cannot be kept.
    #[error("{message}")]
    InputInvalid {
        /// What is wrong, and where.
        message: String,
    },
    /// The execution has too much to do already.
    #[error(
        "{waiting} messages wait for execution {execution}, at most {max} are kept (MAILBOX_MESSAGES_MAX)"
    )]
    Busy {
        /// Which.
        execution: ExecutionId,
        /// How many wait.
        waiting: usize,
        /// How many may.
        max: usize,
    },
    /// The engine stopped before there was an answer.
    #[error("the engine stopped before there was an answer")]
    Stopped,
    /// A new execution was not accepted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A command was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl EngineError {
    /// The public code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::WrongStatus { .. } => ErrorCode::Conflict,
            Self::Corrupt { .. } | Self::Newer { .. } => ErrorCode::JournalCorrupt,
            Self::TooLarge { .. } => ErrorCode::ExecutionLimit,
            Self::UnknownNode { .. } => ErrorCode::RequestInvalid,
            Self::InputInvalid { .. } => ErrorCode::InputInvalid,
            Self::Busy { .. } | Self::Stopped => ErrorCode::Overloaded,
            Self::Admission(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Write(error) => write_code(error),
        }
    }
}

/// Why a decision was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecideError {
    /// There is no such review.
    #[error("there is no such review")]
    NotFound,
    /// It is over, or has another version than the one that was looked at.
    #[error("the review is {status:?} at version {version}; look at it again")]
    Conflict {
        /// Where it stands.
        status: ReviewStatus,
        /// Its version.
        version: u32,
    },
    /// The execution could not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl DecideError {
    /// The public code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::Engine(error) => error.code(),
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gave no thread to write from.
    #[error("the writer's thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The store failed during recovery.
    #[error("recovery failed: {0}")]
    Store(#[from] StoreError),
    /// The store refused a write during recovery.
    #[error("recovery failed: {0}")]
    Write(#[from] WriteError),
}

/// The public code of a write that failed.
pub(crate) const fn write_code(error: &WriteError) -> ErrorCode {
    match error {
        WriteError::Full { .. } => ErrorCode::Overloaded,
        WriteError::Closed | WriteError::Store(_) => ErrorCode::StorageUnavailable,
    }
}
