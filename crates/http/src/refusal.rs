//! What the engine refuses, as a problem. What it says of the store is for the operator's log.

use flux_engine::{AdmissionError, DecideError, EngineError};
use flux_model::ErrorCode;
use flux_store::StoreError;

use crate::problem::{Problem, RETRY_AFTER_DEFAULT, answered_by_problem};
use crate::vault::VaultFailure;

/// Why a list was not given: the only thing that can go wrong is the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let ReadError::Store(error) = error;
        error.into()
    }
}

answered_by_problem!(ReadError);

/// Why something was not done: the only thing that can go wrong is what the engine says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineRefusal {
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<EngineRefusal> for Problem {
    fn from(error: EngineRefusal) -> Self {
        let EngineRefusal::Engine(error) = error;
        error.into()
    }
}

answered_by_problem!(EngineRefusal);

impl From<AdmissionError> for Problem {
    fn from(error: AdmissionError) -> Self {
        let code = error.code();
        let problem = match &error {
            AdmissionError::Storage { .. } | AdmissionError::Internal { .. } => internal(code, &error),
            AdmissionError::FlowNotFound { .. }
            | AdmissionError::FlowInactive { .. }
            | AdmissionError::FlowInvalid { .. }
            | AdmissionError::InputInvalid { .. }
            | AdmissionError::TooLarge { .. }
            | AdmissionError::Terms(_)
            | AdmissionError::RateLimited { .. }
            | AdmissionError::ConcurrencyDropped { .. }
            | AdmissionError::CallDepth { .. }
            | AdmissionError::Overloaded { .. }
            | AdmissionError::Stopping { .. } => Self::new(code, error.to_string()),
        };
        match error.retry_after() {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let code = error.code();
        match error {
            EngineError::Admission(error) => error.into(),
            EngineError::Store(error) => error.into(),
            EngineError::Write(error) => error.into(),
            EngineError::Corrupt { .. } => internal(code, &error),
            EngineError::Stopped | EngineError::Busy { .. } => {
                Self::new(code, error.to_string()).retry_after(RETRY_AFTER_DEFAULT)
            }
            EngineError::NotFound(_)
            | EngineError::WrongStatus { .. }
            | EngineError::Newer { .. }
            | EngineError::TooLarge { .. }
            | EngineError::UnknownNode { .. }
            | EngineError::InputInvalid { .. } => Self::new(code, error.to_string()),
        }
    }
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Engine(error) => error.into(),
            DecideError::NotFound | DecideError::Conflict { .. } => {
                Self::new(error.code(), error.to_string())
            }
        }
    }
}

impl From<VaultFailure> for Problem {
    fn from(error: VaultFailure) -> Self {
        internal(error.code, &error)
    }
}

/// A fault whose words are for the log; the caller learns its code.
fn internal(code: ErrorCode, error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "a request failed");
    let problem = Problem::new(code, code.summary());
    if code == ErrorCode::StorageUnavailable { problem.retry_after(RETRY_AFTER_DEFAULT) } else { problem }
}
