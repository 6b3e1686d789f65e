//! Steps of executions, and the deletion of those that ended long ago.

use flux_model::review::ReviewStatus;
use flux_model::{ExecutionId, ExecutionStatus, Timestamp};

use super::state::State;
use crate::command::{Append, Retain, StatusChange, Step};
use crate::executions::{ExecutionRow, JournalRecord};
use crate::outcome::Outcome;
use crate::reviews::{ReviewChange, ReviewRow};

impl State {
    pub(super) fn append(&mut self, append: &Append) -> Outcome {
        let Some(kept) = self.owned(append.tenant, append.execution) else { return Outcome::NotFound };
        let status = kept.row.status;
        let ended_at = append.step.change.as_ref().and_then(StatusChange::ended_at);
        if status.is_terminal() || (status == ExecutionStatus::Queued && ended_at.is_none()) {
            return Outcome::WrongStatus { status };
        }
        if kept.row.next_seq != append.expected_next_seq {
            return Outcome::Conflict { next_seq: kept.row.next_seq };
        }
        if let Some(refusal) = self.judge_reviews(append.execution, &append.step.reviews) {
            return refusal;
        }
        self.commit_step(append.execution, &append.step);
        let kept = &self.executions[&append.execution];
        let key = kept.row.concurrency_key.clone().filter(|_| status != ExecutionStatus::Queued);
        let promoted = match (ended_at, key) {
            (Some(at), Some(key)) => {
                let flow = kept.row.flow.clone();
                self.promote(append.tenant, &flow, &key, at)
            }
            (None, _) | (_, None) => Vec::new(),
        };
        Outcome::Appended { promoted }
    }

    /// Writes a step that was judged before.
    pub(super) fn commit_step(&mut self, id: ExecutionId, step: &Step) {
        let Some(kept) = self.executions.get_mut(&id) else { return };
        let record =
            JournalRecord { first_seq: kept.row.next_seq, entries: step.entries, bytes: step.record.clone() };
        kept.row.next_seq += u64::from(step.entries);
        kept.row.journal_bytes += step.record.len() as u64;
        kept.journal.push(record);
        kept.held = None;
        kept.objects.extend(step.objects.iter().cloned());
        for name in &step.clear_timers {
            kept.timers.remove(name);
        }
        kept.timers.extend(step.set_timers.iter().map(|timer| (timer.name.clone(), timer.due)));
        if let Some(change) = &step.change {
            apply(&mut kept.row, change);
        }
        let (row, over) = (kept.row.clone(), kept.row.status.is_terminal());
        if over {
            kept.timers.clear();
            kept.debounce_key = None;
        }
        for change in &step.reviews {
            self.change_review(&row, change);
        }
        if let Some(at) = row.ended_at {
            self.withdraw_reviews(id, at);
        }
    }

    fn change_review(&mut self, execution: &ExecutionRow, change: &ReviewChange) {
        match change {
            ReviewChange::Open { request, at } => {
                let row = ReviewRow {
                    tenant: execution.tenant,
                    execution: execution.id,
                    flow: execution.flow.clone(),
                    request: request.clone(),
                    status: ReviewStatus::Pending,
                    decision: None,
                    opened_at: *at,
                    closed_at: None,
                };
                self.reviews.insert(request.id, row);
            }
            ReviewChange::Close { review, status, decision, at, .. } => {
                if let Some(row) = self.reviews.get_mut(review) {
                    row.status = *status;
                    row.decision.clone_from(decision);
                    row.closed_at = Some(*at);
                }
            }
        }
    }

    fn withdraw_reviews(&mut self, execution: ExecutionId, at: Timestamp) {
        for row in self.reviews.values_mut() {
            if row.execution == execution && row.status == ReviewStatus::Pending {
                row.status = ReviewStatus::Withdrawn;
                row.closed_at = Some(at);
            }
        }
    }

    pub(super) fn retain(&mut self, retain: &Retain) -> Outcome {
        let old: Vec<_> = self
            .executions
            .values()
            .map(|kept| &kept.row)
            .filter(|row| row.tenant.project == retain.tenant.project)
            .filter(|row| retain.flow.as_ref().is_none_or(|flow| row.flow == *flow))
            .filter(|row| row.id.made_at() < retain.ended_before)
            .filter(|row| row.ended_at.is_some_and(|at| at < retain.ended_before))
            .map(|row| row.id)
            .take(retain.rows())
            .collect();
        for id in &old {
            self.executions.remove(id);
            self.reviews.retain(|_, row| row.execution != *id);
            self.idempotency.retain(|_, execution| execution != id);
        }
        // A rate whose time has passed says the same as none.
        let passed = retain.ended_before.millis().saturating_mul(1_000);
        self.rates.retain(|(project, _, _), next| *project != retain.tenant.project || *next >= passed);
        Outcome::Deleted { executions: old.len() }
    }
}

fn apply(row: &mut ExecutionRow, change: &StatusChange) {
    row.status = change.status();
    row.ended_at = change.ended_at();
    row.error = change.error();
    row.waits.clear();
    match change {
        StatusChange::Waiting { waits } => row.waits.clone_from(waits),
        StatusChange::Succeeded { output, .. } => row.output.clone_from(output),
        StatusChange::Running | StatusChange::Failed { .. } | StatusChange::Cancelled { .. } => {}
    }
}
