//! Human decisions as they are stored.

use flux_model::review::{Decision, ReviewRequest, ReviewStatus};
use flux_model::{ExecutionId, ReviewId, Tenant, Timestamp};

use crate::outcome::{Outcome, Refusal};

/// What a step does to a review.
#[derive(Debug, Clone, PartialEq)]
pub enum ReviewChange {
    /// Put it before people, with the version that the request names.
    Open {
        /// What is asked.
        request: ReviewRequest,
        /// When.
        at: Timestamp,
    },
    /// It is over. Refused unless it is pending and, where a version is expected, has that version.
    Close {
        /// Which.
        review: ReviewId,
        /// The version that was decided on; absent for the system's own endings.
        expected_version: Option<u32>,
        /// How it ended; [`ReviewStatus::Pending`] is refused.
        status: ReviewStatus,
        /// The decision, where a person made one.
        decision: Option<Decision>,
        /// When.
        at: Timestamp,
    },
}

/// What a backend knows of a review before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewState {
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// Its version.
    pub version: u32,
    /// Where it stands.
    pub status: ReviewStatus,
}

/// Judges the review changes of one step in order, before anything is written. Gives the outcome
/// that refuses the step, or `None`.
///
/// # Errors
/// What `lookup` gives.
pub fn judge<E>(
    execution: ExecutionId,
    changes: &[ReviewChange],
    mut lookup: impl FnMut(ReviewId) -> Result<Option<ReviewState>, E>,
) -> Result<Option<Outcome>, E> {
    let mut changed: Vec<(ReviewId, ReviewState)> = Vec::new();
    for change in changes {
        let id = change.review();
        let earlier = changed.iter().rev().find(|(changed, _)| *changed == id).map(|(_, state)| *state);
        let state = if earlier.is_some() { earlier } else { lookup(id)? };
        let next = match (change, state) {
            (ReviewChange::Open { request, .. }, None) => {
                ReviewState { execution, version: request.version, status: ReviewStatus::Pending }
            }
            (ReviewChange::Close { expected_version, status, .. }, Some(state))
                if state.execution == execution && *status != ReviewStatus::Pending =>
            {
                let stale = expected_version.is_some_and(|version| version != state.version);
                if stale || state.status != ReviewStatus::Pending {
                    let ReviewState { status, version, .. } = state;
                    return Ok(Some(Outcome::ReviewConflict { review: id, status, version }));
                }
                ReviewState { status: *status, ..state }
            }
            (ReviewChange::Open { .. } | ReviewChange::Close { .. }, _) => {
                return Ok(Some(Outcome::Refused(Refusal::Review(id))));
            }
        };
        changed.push((id, next));
    }
    Ok(None)
}

impl ReviewChange {
    /// Which review it is about.
    pub const fn review(&self) -> ReviewId {
        match self {
            Self::Open { request, .. } => request.id,
            Self::Close { review, .. } => *review,
        }
    }
}

/// A stored review.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The execution that waits for it.
    pub execution: ExecutionId,
    /// The flow of that execution.
    pub flow: String,
    /// What is asked.
    pub request: ReviewRequest,
    /// Where it stands.
    pub status: ReviewStatus,
    /// The decision, where a person made one.
    pub decision: Option<Decision>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// Which reviews a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReviewFilter {
    /// Only with this status.
    pub status: Option<ReviewStatus>,
    /// Only of this execution.
    pub execution: Option<ExecutionId>,
}
