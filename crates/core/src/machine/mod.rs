//! The execution state machine: `step(state, now, event) -> (state, effects)`.
//!
//! Everything that happens to an execution goes through [`step`], whoever drives it: the embedded
//! engine, the simulator, a replay. It is a pure function: the same state, time and event give the
//! same result, so folding a journal's input events rebuilds the state exactly. It never waits,
//! never fails on input, and an event that does not fit (late, duplicate, for a node that is over)
//! changes nothing.

mod advance;
mod backoff;
mod elements;
mod ending;
mod evaluate;
mod outcome;
mod pure_nodes;
mod scope;
mod start;
mod state;
mod turn;
mod waits;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use flux_model::effect::{Effect, Response};
use flux_model::event::{Event, TimerKey};
use flux_model::execution::{ExecutionResult, ExecutionStatus, Wait};
use flux_model::ids::ExecutionId;
use flux_model::{NodePath, Timestamp, Value};

use crate::plan::Plan;
use state::{NodeState, Phase, Signals, WorkState};
use turn::Turn;

pub use state::Execution;

/// The result of one event.
#[derive(Debug)]
pub struct Step {
    /// The state after it.
    pub state: Execution,
    /// What the driver is asked to do, in order.
    pub effects: Vec<Effect>,
    /// Whether the event changed anything. If not, there are no effects and the event is not to be
    /// journaled.
    pub applied: bool,
}

/// Applies one event.
///
/// The driver journals, in this order and with the time `now`: the event as
/// [`flux_model::journal::JournalEvent::Input`], then every [`Effect::Record`].
pub fn step(state: Execution, now: Timestamp, event: Event) -> Step {
    let mut turn = Turn::new(state, now);
    let applied = turn.apply(event);
    turn.advance();
    turn.into_step(applied)
}

impl Execution {
    /// An execution that has not begun. Its first event is [`Event::Started`].
    pub fn new(plan: Arc<Plan>, id: ExecutionId) -> Self {
        Self {
            plan,
            id,
            phase: Phase::Queued,
            started_at: Timestamp::default(),
            input: Value::Null,
            recorded: None,
            scopes: Default::default(),
            scopes_made: 0,
            active: Default::default(),
            running: 0,
            signals: Signals::default(),
            response: None,
            steps: 0,
            warnings: 0,
        }
    }

    /// Its id.
    pub fn id(&self) -> ExecutionId {
        self.id
    }

    /// The plan it follows.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Where it stands.
    pub fn status(&self) -> ExecutionStatus {
        match &self.phase {
            Phase::Queued => ExecutionStatus::Queued,
            Phase::Active if self.running == 0 && !self.active.is_empty() => ExecutionStatus::Waiting,
            Phase::Active | Phase::Ending(_) => ExecutionStatus::Running,
            Phase::Ended(result) => result.status(),
        }
    }

    /// What it waits for, by node path; at most `max` of them.
    pub fn waits(&self, max: usize) -> Vec<Wait> {
        let waiting = self.active.iter().filter_map(|(path, work)| Some((path, work.wait()?)));
        waiting.take(max).map(|(path, on)| Wait { node: path.clone(), on }).collect()
    }

    /// Whether a node waits for the end of this child execution.
    pub fn awaits(&self, child: ExecutionId) -> bool {
        let awaits =
            |work: &state::Work| matches!(&work.state, WorkState::AwaitingChild(call) if call.child == child);
        self.active.values().any(awaits)
    }

    /// How it ended, if it did.
    pub fn result(&self) -> Option<&ExecutionResult> {
        match &self.phase {
            Phase::Ended(result) => Some(result),
            Phase::Queued | Phase::Active | Phase::Ending(_) => None,
        }
    }

    /// The answer that a `flow.respond` node composed.
    pub fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// Node runs begun so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The outputs of nodes at the top of the flow that ended well and are not downstream of
    /// `from_node`: what a rerun from there takes over.
    pub fn outputs_before(&self, from_node: &str) -> Vec<(String, flux_model::event::TaskOutput)> {
        let downstream = self.plan.downstream(from_node);
        let Some(root) = self.scopes.get(&0) else { return Vec::new() };
        let nodes = self.plan.scopes[root.scope].nodes.iter().zip(&root.nodes);
        let kept = nodes.filter_map(|(node, run)| match &run.state {
            NodeState::Succeeded(output) => Some((self.plan.nodes[*node].key.to_string(), output.clone())),
            NodeState::Pending
            | NodeState::Working
            | NodeState::Each(_)
            | NodeState::Looping(_)
            | NodeState::Recovered(_)
            | NodeState::Failed
            | NodeState::Skipped
            | NodeState::Cancelled => None,
        });
        kept.filter(|(key, _)| !downstream.contains(&key.as_str())).collect()
    }

    /// After a fold: everything the driver must ask for again, since the process that was at it is
    /// gone: running work, and timers.
    pub fn outstanding(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let (Phase::Active, Some(timeout_ms)) = (&self.phase, self.plan.settings().timeout_ms) {
            let at = self.started_at + std::time::Duration::from_millis(timeout_ms);
            effects.push(Effect::SetTimer { key: TimerKey::ExecutionTimeout, at });
        }
        for (path, work) in &self.active {
            effects.extend(work_outstanding(path, work));
        }
        effects
    }
}

fn work_outstanding(path: &NodePath, work: &state::Work) -> Option<Effect> {
    let path = path.clone();
    let (key, at) = match &work.state {
        WorkState::Running(effect) => return Some((**effect).clone()),
        WorkState::Retrying { until } => (TimerKey::Retry { path, attempt: work.attempt }, *until),
        WorkState::Delayed { until, .. } => (TimerKey::Delay { path }, *until),
        WorkState::InReview(request) => (TimerKey::ReviewExpiry { path }, request.expires_at?),
        WorkState::AwaitingSignal { until, .. } => (TimerKey::SignalTimeout { path }, (*until)?),
        WorkState::AwaitingChild(_) => return None,
    };
    Some(Effect::SetTimer { key, at })
}
