//! Begins work: a node that is ready, an element of it, a further attempt.

use flux_model::Value;
use flux_model::effect::{ChildCall, Effect, TaskCall};
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::{TaskOutput, TimerKey};
use flux_model::ids::ExecutionId;
use flux_model::journal::JournalEvent;
use flux_model::limits::EXECUTION_STEPS_MAX;
use flux_model::node_type::NodeKind;

use super::evaluate::{At, text, wrong};
use super::state::{NodeState, Place, Work, WorkState};
use super::turn::Turn;

impl Turn {
    /// A node whose incoming edges are decided begins.
    pub(super) fn begin(&mut self, place: Place) {
        if let Some(output) = self.recorded_output(place) {
            let (path, ports) = (self.path(place), output.ports.clone());
            self.record(JournalEvent::NodeSucceeded { path, ports, output: None });
            self.settle(place, NodeState::Succeeded(output));
            return;
        }
        let node = self.node(place);
        let (each, kind) = (node.for_each.is_some(), node.kind);
        let at = At { place, path: self.path(place), attempt: 1, element: None };
        if each {
            self.begin_each(at);
        } else if kind == NodeKind::Loop {
            self.begin_loop(at);
        } else {
            self.set_state(place, NodeState::Working);
            self.start(at);
        }
    }

    /// Starts attempt `at.attempt` of a node or of one element of it.
    pub(super) fn start(&mut self, at: At) {
        if let Err(failure) = self.count_step() {
            self.fail_execution(&at, failure);
            return;
        }
        match self.try_start(&at) {
            Ok(Started::UnderWay) => {}
            Ok(Started::Done(output)) => self.succeed(&at, output, Journaled::No),
            Err(failure) => self.fail_attempt(&at, failure),
        }
    }

    fn try_start(&mut self, at: &At) -> Result<Started, Failure> {
        let config = self.config(at)?;
        match self.node(at.place).kind {
            // A trigger is settled with the input, a loop begins in `elements`: neither comes here.
            NodeKind::Trigger | NodeKind::Loop => Ok(Started::Done(TaskOutput::main(self.scope(at).input()))),
            NodeKind::Merge => Ok(Started::Done(self.merge(at))),
            NodeKind::If => self.branch(at, &config).map(Started::Done),
            NodeKind::Switch => self.switch(at, &config).map(Started::Done),
            NodeKind::Filter => self.filter(at, &config).map(Started::Done),
            NodeKind::Set => self.set(at, &config).map(Started::Done),
            NodeKind::Transform => {
                let value = config.get("expression").cloned().unwrap_or_default();
                Ok(Started::Done(TaskOutput::main(value)))
            }
            NodeKind::Respond => self.respond(at, &config).map(Started::Done),
            NodeKind::Task => Ok(self.run_task(at, config)),
            NodeKind::Delay => self.delay(at, &config),
            NodeKind::Call => self.call(at, &config),
            NodeKind::Signal => self.signal(at, &config),
            NodeKind::Review => self.review(at, &config),
        }
    }

    fn run_task(&mut self, at: &At, config: Value) -> Started {
        let input = self.scope(at).input();
        let node = self.node(at.place);
        let call = TaskCall {
            path: at.path.clone(),
            attempt: at.attempt,
            node_type: node.node_type.to_string(),
            purity: node.purity,
            config,
            input,
            idempotency_key: format!("{}/{}", self.exec.id, at.path),
            timeout: node.timeout,
            at_most_once: node.at_most_once,
        };
        self.record(JournalEvent::AttemptStarted { path: at.path.clone(), attempt: at.attempt });
        self.run(at, Effect::Run(call))
    }

    fn call(&mut self, at: &At, config: &Value) -> Result<Started, Failure> {
        let flow = text(config, "flow");
        if flow.is_empty() {
            return Err(wrong("flow", &Value::Null, "the name of a flow"));
        }
        let attempt = at.attempt.to_be_bytes();
        let seed: [&[u8]; 3] = [&self.exec.id.bits().to_be_bytes(), at.path.as_str().as_bytes(), &attempt];
        let call = ChildCall {
            path: at.path.clone(),
            attempt: at.attempt,
            child: ExecutionId::derived(self.now, &seed),
            flow,
            input: config.get("input").cloned().unwrap_or_default(),
            wait: config.get("wait").is_none_or(Value::is_true),
        };
        self.record(JournalEvent::AttemptStarted { path: at.path.clone(), attempt: at.attempt });
        Ok(self.run(at, Effect::StartChild(call)))
    }

    /// Hands an effect to the driver and remembers it.
    pub(super) fn run(&mut self, at: &At, effect: Effect) -> Started {
        self.effects.push(effect.clone());
        self.enter(at, WorkState::Running(Box::new(effect)));
        Started::UnderWay
    }

    /// Enters a wait, with the timer that ends it.
    pub(super) fn wait(
        &mut self,
        at: &At,
        state: WorkState,
        timer: Option<(TimerKey, flux_model::Timestamp)>,
    ) -> Started {
        self.enter(at, state);
        let wait = self.exec.active.get(&at.path).and_then(Work::wait);
        if let Some(wait) = wait {
            self.record(JournalEvent::NodeWaiting { path: at.path.clone(), wait });
        }
        if let Some((key, at)) = timer {
            self.effects.push(Effect::SetTimer { key, at });
        }
        Started::UnderWay
    }

    fn enter(&mut self, at: &At, state: WorkState) {
        if matches!(state, WorkState::Running(_)) {
            self.exec.running += 1;
        }
        let work = Work { place: at.place, element: at.index(), attempt: at.attempt, state };
        self.exec.active.insert(at.path.clone(), work);
    }

    /// Takes work out of the list of what is under way.
    pub(super) fn leave(&mut self, path: &flux_model::NodePath) -> Option<Work> {
        let work = self.exec.active.remove(path)?;
        if matches!(work.state, WorkState::Running(_)) {
            self.exec.running -= 1;
        }
        Some(work)
    }

    pub(super) fn set_state(&mut self, place: Place, state: NodeState) {
        if let Some(scope) = self.exec.scopes.get_mut(&place.run) {
            scope.nodes[place.slot].state = state;
        }
    }

    fn recorded_output(&self, place: Place) -> Option<TaskOutput> {
        if place.run != 0 {
            return None;
        }
        self.exec.recorded.as_ref()?.outputs.get(&*self.node(place).key).cloned()
    }

    pub(super) fn count_step(&mut self) -> Result<(), Failure> {
        let max = self.exec.plan.settings().steps_max.unwrap_or(EXECUTION_STEPS_MAX);
        self.exec.steps += 1;
        if self.exec.steps == max / 2 + 1 && max > 1 {
            let message = format!(
                "half of the steps this execution may take are used: {} of {max} (settings.steps_max)",
                self.exec.steps
            );
            self.warn(None, ErrorCode::ExecutionLimit, message);
        }
        if self.exec.steps > max {
            let message = format!(
                "the execution took {} steps, at most {max} are allowed (settings.steps_max)",
                self.exec.steps
            );
            return Err(Failure::permanent(ErrorCode::ExecutionLimit, message));
        }
        Ok(())
    }
}

/// What starting came to.
pub(super) enum Started {
    /// It is in the list of what is under way.
    UnderWay,
    /// It is done already.
    Done(TaskOutput),
}

/// Whether an input event in the journal holds the output already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Journaled {
    Yes,
    No,
}
