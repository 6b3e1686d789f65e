//! Why something was not done with an execution.

use flux_engine::EngineError;
use flux_model::journal::CorruptRecord;
use flux_model::{ErrorCode, ExecutionId};
use flux_store::StoreError;

use crate::problem::{Problem, answered_by_problem};

/// Why something was not done with an execution.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecutionError {
    #[error("there is no execution {0}")]
    NotFound(ExecutionId),
    #[error("the journal of execution {execution} cannot be read: {reason}")]
    Corrupt { execution: ExecutionId, reason: CorruptRecord },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ExecutionError> for Problem {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::NotFound(_) => Self::not_found(error.to_string()),
            ExecutionError::Corrupt { .. } => {
                tracing::error!(%error, "a journal was not shown");
                Self::new(ErrorCode::JournalCorrupt, error.to_string())
            }
            ExecutionError::Engine(error) => error.into(),
            ExecutionError::Store(error) => error.into(),
        }
    }
}

answered_by_problem!(ExecutionError);
