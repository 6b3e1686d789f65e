//! One step: the state being changed, the effects collected, and which events fit which phase.

use std::collections::VecDeque;

use flux_model::effect::Effect;
use flux_model::error::{ErrorCode, Failure, NodeError};
use flux_model::event::{Event, Recorded, TimerKey};
use flux_model::journal::JournalEvent;
use flux_model::limits::WARNINGS_MAX;
use flux_model::path::NodePath;
use flux_model::{Timestamp, Value};

use super::Step;
use super::evaluate::At;
use super::state::{Execution, Phase, Place};
use crate::plan::PlanNode;

/// A step under way.
pub(super) struct Turn {
    pub(super) exec: Execution,
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
    /// Nodes to look at before the step is over.
    pub(super) jobs: VecDeque<Job>,
}

/// Something to do within the step. A queue of these replaces recursion, so that a flow of any
/// length cannot exhaust the stack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    /// All incoming edges of a node are decided, or enough of them.
    Decide(Place),
    /// A node that runs per element may begin further elements, or is done.
    Refill(Place),
    /// All nodes of a scope run are settled.
    CloseScope(u32),
}

impl Turn {
    pub(super) fn new(exec: Execution, now: Timestamp) -> Self {
        Self { exec, now, effects: Vec::new(), jobs: VecDeque::new() }
    }

    pub(super) fn into_step(self, applied: bool) -> Step {
        Step { state: self.exec, effects: self.effects, applied }
    }

    /// Applies the event where it fits; says whether it did.
    pub(super) fn apply(&mut self, event: Event) -> bool {
        match (&self.exec.phase, event) {
            (Phase::Queued, Event::Started { input, recorded }) => self.begin_execution(input, recorded),
            (Phase::Queued | Phase::Active, Event::CancelRequested { reason }) => self.cancel(reason),
            (Phase::Active, event) => self.apply_active(event),
            (Phase::Ending(_), event) => self.apply_ending(event),
            (Phase::Queued, _) | (Phase::Ended(_), _) => false,
        }
    }

    fn apply_active(&mut self, event: Event) -> bool {
        match event {
            Event::Completed { path, attempt, result } => self.complete(&path, attempt, result),
            Event::TimerFired { timer } => self.fire(timer),
            Event::Decided { path, decision } => self.decided(&path, decision),
            Event::Signalled { name, payload, id } => self.signalled(name, payload, id),
            Event::ChildStarted { path, child } => self.child_started(&path, child),
            Event::ChildEnded { path, child, result } => self.child_ended(&path, child, result),
            Event::Recovered => self.recover(),
            Event::LimitExceeded { failure } => self.fail_as_a_whole(failure),
            Event::Started { .. } | Event::CancelRequested { .. } => false,
        }
    }

    fn fire(&mut self, timer: TimerKey) -> bool {
        match timer {
            TimerKey::Delay { path } => self.delay_over(&path),
            TimerKey::Retry { path, attempt } => self.retry_due(&path, attempt),
            TimerKey::NodeTimeout { path, attempt } => self.attempt_timed_out(&path, attempt),
            TimerKey::ReviewExpiry { path } => self.review_expired(&path),
            TimerKey::SignalTimeout { path } => self.signal_timed_out(&path),
            TimerKey::ExecutionTimeout => self.execution_timed_out(),
            TimerKey::CancelGrace => false,
        }
    }

    fn begin_execution(&mut self, input: Value, recorded: Option<Recorded>) -> bool {
        self.exec.phase = Phase::Active;
        self.exec.started_at = self.now;
        self.exec.input = input.clone();
        self.exec.recorded = recorded;
        if let Some(timeout_ms) = self.exec.plan.settings().timeout_ms {
            let at = self.now + std::time::Duration::from_millis(timeout_ms);
            self.effects.push(Effect::SetTimer { key: TimerKey::ExecutionTimeout, at });
        }
        self.open_root(input);
        true
    }

    pub(super) fn record(&mut self, event: JournalEvent) {
        self.effects.push(Effect::Record(event));
    }

    /// Notes something for the owner of the flow; after the first 200 nothing more.
    pub(super) fn warn(&mut self, path: Option<NodePath>, code: ErrorCode, message: String) {
        self.exec.warnings += 1;
        if self.exec.warnings <= WARNINGS_MAX {
            self.record(JournalEvent::Warning { path, code, message });
        }
    }

    /// The plan's index of the node at a place.
    pub(super) fn node_index(&self, place: Place) -> usize {
        self.exec.node_index(place)
    }

    pub(super) fn node(&self, place: Place) -> &PlanNode {
        &self.exec.plan.nodes[self.node_index(place)]
    }

    pub(super) fn path(&self, place: Place) -> NodePath {
        self.exec.path(place)
    }

    /// The complete error of a failed attempt.
    pub(super) fn node_error(&self, at: &At, failure: Failure) -> NodeError {
        let node = self.node(at.place);
        NodeError {
            node: at.path.clone(),
            name: node.name.clone(),
            node_type: node.node_type.to_string(),
            attempt: at.attempt,
            code: failure.code,
            message: failure.message,
            class: failure.class,
            provider_status: failure.provider_status,
            stack: failure.stack,
            at: self.now,
            call: failure.call,
            answer: failure.answer,
        }
    }
}

impl Execution {
    pub(super) fn node_index(&self, place: Place) -> usize {
        let scope = self.scopes[&place.run].scope;
        self.plan.scopes[scope].nodes[place.slot]
    }

    pub(super) fn path(&self, place: Place) -> NodePath {
        let key = &self.plan.nodes[self.node_index(place)].key;
        match &self.scopes[&place.run].iteration {
            Some(iteration) => iteration.path.child(key),
            None => NodePath::root(key),
        }
    }
}
