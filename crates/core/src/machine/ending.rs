//! How executions end: well, with an error, or because somebody asked.

use std::time::Duration;

use flux_model::Value;
use flux_model::effect::Effect;
use flux_model::error::{ErrorCode, Failure, NodeError};
use flux_model::event::{Event, TimerKey};
use flux_model::execution::ExecutionResult;
use flux_model::journal::JournalEvent;
use flux_model::limits::CANCEL_GRACE_MS;
use flux_model::path::NodePath;
use flux_model::review::ReviewStatus;

use super::evaluate::At;
use super::state::{NodeState, Phase, WorkState};
use super::turn::Turn;

impl Turn {
    pub(super) fn end_succeeded(&mut self, last_output: Value) {
        let answer = self.exec.response.as_ref().map(|response| response.body.clone());
        self.conclude(ExecutionResult::Succeeded { output: answer.unwrap_or(last_output) });
    }

    pub(super) fn end_failed(&mut self, error: NodeError) {
        self.end_early(ExecutionResult::Failed { error });
    }

    pub(super) fn cancel(&mut self, reason: String) -> bool {
        self.end_early(ExecutionResult::Cancelled { reason });
        true
    }

    /// The execution's time is over.
    pub(super) fn execution_timed_out(&mut self) -> bool {
        let timeout_ms = self.exec.plan.settings().timeout_ms.unwrap_or_default();
        let message = format!("the execution took longer than {timeout_ms} ms (settings.timeout_ms)");
        self.fail_as_a_whole(Failure::permanent(ErrorCode::ExecutionTimeout, message))
    }

    /// Something fails that is not the work of one node; the first that is under way is named.
    pub(super) fn fail_as_a_whole(&mut self, failure: Failure) -> bool {
        let trigger = self.exec.trigger_place();
        let at = match self.exec.active.iter().next() {
            Some((path, work)) => self.at(path, work),
            None => At { place: trigger, path: self.path(trigger), attempt: 1, element: None },
        };
        let error = self.node_error(&at, failure);
        self.end_failed(error);
        true
    }

    /// Fixes the result, drops every wait and asks running attempts to stop. The execution is over
    /// when they have, or when their grace is.
    fn end_early(&mut self, result: ExecutionResult) {
        self.jobs.clear();
        self.exec.phase = Phase::Ending(result);
        let paths: Vec<NodePath> = self.exec.active.keys().cloned().collect();
        for path in paths {
            let running = self
                .exec
                .active
                .get(&path)
                .map(|work| (work.attempt, matches!(work.state, WorkState::Running(_))));
            match running {
                Some((attempt, true)) => self.effects.push(Effect::Abort { path, attempt }),
                Some((_, false)) => self.cancel_work(&path),
                None => {}
            }
        }
        if self.exec.active.is_empty() {
            self.conclude_ending();
        } else {
            if self.exec.plan.settings().timeout_ms.is_some() {
                self.effects.push(Effect::ClearTimer { key: TimerKey::ExecutionTimeout });
            }
            let at = self.now + Duration::from_millis(CANCEL_GRACE_MS);
            self.effects.push(Effect::SetTimer { key: TimerKey::CancelGrace, at });
        }
    }

    /// While ending, only the news that attempts stopped counts.
    pub(super) fn apply_ending(&mut self, event: Event) -> bool {
        match event {
            Event::Completed { path, attempt, result } => {
                if self.exec.active.get(&path).is_none_or(|work| work.attempt != attempt) {
                    return false;
                }
                let Some(work) = self.leave(&path) else { return false };
                match result {
                    Ok(output) => {
                        self.record(JournalEvent::NodeSucceeded { path, ports: output.ports, output: None });
                    }
                    Err(failure) => {
                        let error = self.node_error(&self.at(&path, &work), failure);
                        self.record(JournalEvent::NodeFailed { error, retry_at: None });
                    }
                }
                if self.exec.active.is_empty() {
                    self.conclude_ending();
                }
                true
            }
            Event::ChildStarted { path, child } => {
                let Some(work) = self.exec.active.get(&path) else { return false };
                if !work.starts(child) {
                    return false;
                }
                self.cancel_work(&path);
                if self.exec.active.is_empty() {
                    self.conclude_ending();
                }
                true
            }
            // After a restart nothing is running any more, and the grace is over as well.
            Event::TimerFired { timer: TimerKey::CancelGrace } | Event::Recovered => {
                let paths: Vec<NodePath> = self.exec.active.keys().cloned().collect();
                paths.iter().for_each(|path| self.cancel_work(path));
                self.conclude_ending();
                true
            }
            Event::Started { .. }
            | Event::TimerFired { .. }
            | Event::Decided { .. }
            | Event::Signalled { .. }
            | Event::ChildEnded { .. }
            | Event::LimitExceeded { .. }
            | Event::CancelRequested { .. } => false,
        }
    }

    /// Work that will not be heard of again, because the execution ends.
    fn cancel_work(&mut self, path: &NodePath) {
        let place = self.exec.active.get(path).map(|work| work.place);
        self.abandon(path);
        self.record(JournalEvent::NodeCancelled { path: path.clone() });
        if let Some(place) = place {
            self.set_state(place, NodeState::Cancelled);
        }
    }

    /// Stops work under way: attempts are asked to stop, reviews withdrawn, children cancelled.
    pub(super) fn abandon(&mut self, path: &NodePath) {
        let Some(work) = self.leave(path) else { return };
        self.clear_timer(path, &work);
        if let Some(review) = work.review() {
            let status = ReviewStatus::Withdrawn;
            self.effects.push(Effect::CloseReview { review, status, decision: None });
        }
        match &work.state {
            WorkState::Running(effect) => {
                self.effects.push(Effect::Abort { path: path.clone(), attempt: work.attempt });
                // It may have been accepted already, without the news having come.
                if let Effect::StartChild(call) = &**effect
                    && call.wait
                {
                    self.effects.push(Effect::CancelChild { child: call.child });
                }
            }
            WorkState::AwaitingChild(call) => self.effects.push(Effect::CancelChild { child: call.child }),
            WorkState::Retrying { .. }
            | WorkState::Delayed { .. }
            | WorkState::InReview(_)
            | WorkState::AwaitingSignal { .. } => {}
        }
    }

    fn conclude_ending(&mut self) {
        let phase = std::mem::replace(&mut self.exec.phase, Phase::Queued);
        match phase {
            Phase::Ending(result) => self.conclude(result),
            Phase::Queued | Phase::Active | Phase::Ended(_) => self.exec.phase = phase,
        }
    }

    fn conclude(&mut self, result: ExecutionResult) {
        self.record(JournalEvent::Finished { result: result.clone() });
        self.effects.push(Effect::Finish(result.clone()));
        self.exec.phase = Phase::Ended(result);
    }
}
