//! Why something was not done with a flow. Several endpoints share it, since they do the same in
//! another order: find the flow, check it, write.

use flux_engine::EngineError;
use flux_model::ErrorCode;
use flux_store::{Outcome, Refusal, StoreError};

use super::definition::InvalidFlow;
use super::summary::Unreadable;
use crate::console::API;
use crate::problem::{Problem, answered_by_problem};

/// Why something was not done with a flow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowError {
    #[error("there is no flow `{0}`")]
    NotFound(String),
    #[error("`{0}` is a function; see {API}/functions/{0}")]
    IsFunction(String),
    #[error("flow `{flow}` has no version `{version}`; `draft`, `active`, a number or a hash names one")]
    NoVersion { flow: String, version: String },
    #[error("flow `{flow}` is at revision {found}, which is not the expected one; read it again")]
    Stale { flow: String, found: u64 },
    #[error("flow `{0}` was never published; publish it first")]
    NotPublished(String),
    #[error(transparent)]
    Invalid(#[from] InvalidFlow),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store answered with {0:?}")]
    Unexpected(Outcome),
}

impl FlowError {
    /// Why the store did not do what was asked with `flow`.
    pub(crate) fn refused(flow: &str, outcome: Outcome) -> Self {
        let flow = flow.to_owned();
        if outcome == Outcome::NotFound {
            Self::NotFound(flow)
        } else if outcome == Outcome::Refused(Refusal::NotPublished) {
            Self::NotPublished(flow)
        } else if let Outcome::Stale { revision } = outcome {
            Self::Stale { flow, found: revision }
        } else {
            Self::Unexpected(outcome)
        }
    }
}

impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::NotFound(_) | FlowError::IsFunction(_) => {
                Self::new(ErrorCode::FlowNotFound, error.to_string())
            }
            FlowError::NoVersion { .. } => Self::not_found(error.to_string()),
            FlowError::Stale { .. } | FlowError::NotPublished(_) => {
                Self::new(ErrorCode::Conflict, error.to_string())
            }
            FlowError::Invalid(error) => error.into(),
            FlowError::Engine(error) => error.into(),
            FlowError::Store(error) => error.into(),
            FlowError::Unreadable(_) | FlowError::Unexpected(_) => {
                tracing::error!(%error, "a request about a flow failed");
                Self::new(ErrorCode::Internal, ErrorCode::Internal.summary())
            }
        }
    }
}

answered_by_problem!(FlowError);
