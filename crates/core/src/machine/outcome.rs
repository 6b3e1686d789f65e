//! How attempts end: success, another attempt, or what the node does with its error.

use flux_model::Value;
use flux_model::effect::Effect;
use flux_model::error::{ErrorClass, ErrorCode, Failure, NodeError};
use flux_model::event::{TaskOutput, TimerKey};
use flux_model::flow::OnError;
use flux_model::journal::JournalEvent;
use flux_model::path::NodePath;

use super::backoff;
use super::evaluate::At;
use super::start::Journaled;
use super::state::{NodeState, Phase, Place, Work, WorkState};
use super::turn::{Job, Turn};
use crate::bounds::check_output;

impl Turn {
    /// A running attempt ended.
    pub(super) fn complete(
        &mut self,
        path: &NodePath,
        attempt: u32,
        result: Result<TaskOutput, Failure>,
    ) -> bool {
        let Some(at) = self.leave_running(path, attempt) else { return false };
        match result {
            Ok(output) => self.succeed(&at, output, Journaled::Yes),
            Err(failure) => self.fail_attempt(&at, failure),
        }
        true
    }

    /// Takes a running attempt out of what is under way, if it is the one meant.
    fn leave_running(&mut self, path: &NodePath, attempt: u32) -> Option<At> {
        let work = self.exec.active.get(path)?;
        if work.attempt != attempt || !matches!(work.state, WorkState::Running(_)) {
            return None;
        }
        let work = self.leave(path)?;
        Some(self.at(path, &work))
    }

    /// A node, or one element of it, ended well, unless its output cannot be kept. What the journal
    /// holds already was checked before it got there.
    pub(super) fn succeed(&mut self, at: &At, output: TaskOutput, journaled: Journaled) {
        let known = journaled == Journaled::Yes;
        if !known && let Err(failure) = check_output(&output.value) {
            self.fail_attempt(at, failure);
            return;
        }
        self.record(JournalEvent::NodeSucceeded {
            path: at.path.clone(),
            ports: output.ports.clone(),
            output: (!known).then(|| output.value.clone()),
        });
        match at.index() {
            Some(index) => self.element_done(at.place, index, output.value),
            None => self.settle(at.place, NodeState::Succeeded(output)),
        }
    }

    /// An attempt failed: there is another, or the node fails.
    pub(super) fn fail_attempt(&mut self, at: &At, failure: Failure) {
        let plan = self.exec.plan.clone();
        let node = &plan.nodes[self.node_index(at.place)];
        let asked = failure.retry_after_ms;
        let again = failure.class == ErrorClass::Retryable && at.attempt < node.retry.attempts;
        let error = self.node_error(at, failure);
        if !again {
            self.record(JournalEvent::NodeFailed { error: error.clone(), retry_at: None });
            self.fail(at.place, at.index(), error);
            return;
        }
        let until = self.now + backoff::pause(&node.retry, self.exec.id, &at.path, at.attempt, asked);
        self.record(JournalEvent::NodeFailed { error, retry_at: Some(until) });
        let attempt = at.attempt + 1;
        let state = WorkState::Retrying { until };
        let work = Work { place: at.place, element: at.index(), attempt, state };
        self.exec.active.insert(at.path.clone(), work);
        let key = TimerKey::Retry { path: at.path.clone(), attempt };
        self.effects.push(Effect::SetTimer { key, at: until });
    }

    /// The pause before an attempt is over.
    pub(super) fn retry_due(&mut self, path: &NodePath, attempt: u32) -> bool {
        let fits = |work: &Work| work.attempt == attempt && matches!(work.state, WorkState::Retrying { .. });
        if !self.exec.active.get(path).is_some_and(fits) {
            return false;
        }
        let Some(work) = self.leave(path) else { return false };
        self.clear_timer(path, &work);
        let at = self.at(path, &work);
        self.start(at);
        true
    }

    /// An attempt took too long. The driver is told to stop it; what it still answers is ignored.
    pub(super) fn attempt_timed_out(&mut self, path: &NodePath, attempt: u32) -> bool {
        let Some(at) = self.leave_running(path, attempt) else { return false };
        self.effects.push(Effect::Abort { path: path.clone(), attempt });
        let node = self.node(at.place);
        let message = format!("the attempt took longer than {} ms (timeout_ms)", node.timeout.as_millis());
        if node.at_most_once {
            self.ask_what_happened(&at, &message);
        } else {
            self.fail_attempt(&at, Failure::retryable(ErrorCode::NodeTimeout, message));
        }
        true
    }

    /// What the node does with its error.
    pub(super) fn fail(&mut self, place: Place, element: Option<u32>, error: NodeError) {
        let object = Value::object([("error", Value::from_serialize(&error))]);
        match (self.node(place).on_error, element) {
            (OnError::Continue, Some(index)) => self.element_done(place, index, object),
            (OnError::Continue | OnError::Branch, _) => {
                self.drop_elements(place);
                self.settle(place, NodeState::Recovered(object));
            }
            (OnError::Fail, _) => {
                self.drop_elements(place);
                self.set_state(place, NodeState::Failed);
                let scope = self.exec.scopes.get(&place.run);
                match scope.and_then(|scope| scope.iteration.as_ref()).map(|iteration| iteration.parent) {
                    // An error inside a loop is the loop's error: it may branch where the node does not.
                    Some(owner) => {
                        self.record_failed_loop(owner, &error);
                        self.fail(owner, None, error);
                    }
                    None => self.end_failed(error),
                }
            }
        }
    }

    fn record_failed_loop(&mut self, owner: Place, error: &NodeError) {
        let (path, node) = (self.path(owner), self.node(owner));
        let (name, node_type) = (node.name.clone(), node.node_type.to_string());
        let error = NodeError { node: path, name, node_type, ..error.clone() };
        self.record(JournalEvent::NodeFailed { error, retry_at: None });
    }

    /// The execution as a whole fails because of this node, whatever its `on_error` says.
    pub(super) fn fail_execution(&mut self, at: &At, failure: Failure) {
        let error = self.node_error(at, failure);
        self.record(JournalEvent::NodeFailed { error: error.clone(), retry_at: None });
        self.end_failed(error);
    }

    /// The address of work that is under way, to evaluate for it.
    pub(super) fn at(&self, path: &NodePath, work: &Work) -> At {
        let element = work.element.and_then(|index| {
            let state = self.exec.node_state(work.place)?;
            let NodeState::Each(elements) = state else { return None };
            Some((elements.items.get(index as usize)?.clone(), index))
        });
        At { place: work.place, path: path.clone(), attempt: work.attempt, element }
    }

    /// All nodes of a scope run are settled: the execution, or one iteration of a loop, is done.
    pub(super) fn close_scope(&mut self, run: u32) {
        let Some(scope) = self.exec.scopes.get(&run) else { return };
        if scope.iteration.is_some() {
            self.close_iteration(run);
        } else if matches!(self.exec.phase, Phase::Active) {
            let last = scope.last_output.clone();
            self.end_succeeded(last);
        }
    }

    pub(super) fn refill_later(&mut self, place: Place) {
        self.jobs.push_back(Job::Refill(place));
    }
}
