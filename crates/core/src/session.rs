//! What a driver holds of one execution: the machine, its journal so far, and the rule of what
//! must be durable before what.
//!
//! Every driver (embedded engine, simulator) goes through a [`Session`], so the rule is written
//! once (`docs/concepts/executions.md`, "What is durable before what"). A session does no I/O: it
//! says what to commit and what to do once that is durable.

use std::sync::Arc;

use flux_model::effect::{Effect, TaskCall};
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::{Event, TimerKey};
use flux_model::execution::{ExecutionResult, ExecutionStatus, Wait};
use flux_model::ids::ExecutionId;
use flux_model::journal::{Entry, JournalEvent};
use flux_model::limits::VALUE_DEPTH_MAX;
use flux_model::node_type::Purity;
use flux_model::review::{Decision, ReviewRequest, ReviewStatus};
use flux_model::{NodePath, ReviewId, Timestamp, Value};

use crate::bounds::check_depth;
use crate::machine::{Execution, step};
use crate::plan::Plan;

/// Waits listed with an execution; beyond these, only the journal has them.
pub const WAITS_LISTED_MAX: usize = 100;

/// One execution in the hands of a driver.
#[derive(Debug)]
pub struct Session {
    state: Execution,
    next_seq: u64,
    /// Entries not yet handed out for a commit.
    pending: Vec<Entry>,
    /// What is to be done once the pending entries are durable.
    after: Vec<Effect>,
}

/// What one event came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// Whether the event changed anything; if not, there is nothing else.
    pub changed: bool,
    /// Pure tasks: to be computed at once, nothing is awaited for them.
    pub run_now: Vec<TaskCall>,
}

/// What to make durable, and what to do then.
#[derive(Debug)]
pub struct Commit {
    /// Entries to append, numbered.
    pub entries: Vec<Entry>,
    /// Where the execution stands after them.
    pub status: ExecutionStatus,
    /// What it waits for, if it is waiting; at most [`WAITS_LISTED_MAX`].
    pub waits: Vec<Wait>,
    /// How it ended, if it did.
    pub result: Option<ExecutionResult>,
    /// Timers that survive a restart, to be stored with the entries.
    pub timers: Vec<TimerChange>,
    /// Reviews, to be stored with the entries.
    pub reviews: Vec<ReviewChange>,
    /// What to do once all of that is durable, in order. Timers and reviews are not repeated here,
    /// except timers that live in memory only.
    pub then: Vec<Effect>,
}

impl Commit {
    /// This commit and the one after it as one. What was to be done after this one has been done.
    #[must_use]
    pub fn join(mut self, later: Self) -> Self {
        self.entries.extend(later.entries);
        self.timers.extend(later.timers);
        self.reviews.extend(later.reviews);
        let Self { status, waits, result, then, .. } = later;
        Self { status, waits, result, then, ..self }
    }
}

/// A timer to store or forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// Store it, in place of one of the same key.
    Set(TimerKey, Timestamp),
    /// Forget it.
    Clear(TimerKey),
}

/// A review to open or close.
#[derive(Debug, Clone, PartialEq)]
pub enum ReviewChange {
    /// Open it.
    Open(ReviewRequest),
    /// Close it.
    Close {
        /// Which.
        review: ReviewId,
        /// How it ended.
        status: ReviewStatus,
        /// The decision, if a person made one.
        decision: Option<Decision>,
    },
}

/// A journal that does not belong to the state machine it is folded through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// An entry is missing.
    #[error("journal entry {expected} is missing, {found} follows instead")]
    Gap {
        /// The number that should follow.
        expected: u64,
        /// The number that does.
        found: u64,
    },
    /// An input event that changed the execution when it was written does not now.
    #[error("journal entry {seq} does not fit the state it is applied to")]
    Refused {
        /// Its number.
        seq: u64,
    },
}

impl Session {
    /// A session of an execution that has not begun.
    pub fn new(plan: Arc<Plan>, id: ExecutionId) -> Self {
        Self { state: Execution::new(plan, id), next_seq: 0, pending: Vec::new(), after: Vec::new() }
    }

    /// The session that a journal leads to. What was under way when the journal ends is in
    /// [`Execution::outstanding`]; apply [`Event::Recovered`] first if the process was restarted.
    ///
    /// # Errors
    /// [`FoldError`] if entries are missing or do not fit.
    pub fn fold<'a>(
        plan: Arc<Plan>,
        id: ExecutionId,
        journal: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Self, FoldError> {
        let mut session = Self::new(plan, id);
        for entry in journal {
            session.fold_entry(entry)?;
        }
        Ok(session)
    }

    /// Folds one further entry.
    ///
    /// # Errors
    /// [`FoldError`] if it is not the next, or does not fit.
    pub fn fold_entry(&mut self, entry: &Entry) -> Result<(), FoldError> {
        if entry.seq != self.next_seq {
            return Err(FoldError::Gap { expected: self.next_seq, found: entry.seq });
        }
        self.next_seq += 1;
        let JournalEvent::Input { input } = &entry.event else { return Ok(()) };
        let placeholder = Execution::new(self.state.plan().clone(), self.state.id());
        let state = std::mem::replace(&mut self.state, placeholder);
        let next = step(state, entry.at, input.clone());
        self.state = next.state;
        if next.applied { Ok(()) } else { Err(FoldError::Refused { seq: entry.seq }) }
    }

    /// The execution.
    pub fn state(&self) -> &Execution {
        &self.state
    }

    /// The number of the next entry that is not yet in a commit.
    pub fn next_seq(&self) -> u64 {
        self.next_seq - self.pending.len() as u64
    }

    /// How many entries wait for a commit.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Applies one event. A value in it that nests deeper than
    /// [`flux_model::limits::VALUE_DEPTH_MAX`] never gets into the journal: the task that gave it has
    /// failed, a signal or decision that carries it changes nothing.
    ///
    /// What is called off before it was handed out in a commit never begins: the session answers in
    /// place of the driver.
    pub fn apply(&mut self, now: Timestamp, event: Event) -> Applied {
        let Some(event) = keepable(event) else { return Applied::default() };
        let placeholder = Execution::new(self.state.plan().clone(), self.state.id());
        let state = std::mem::replace(&mut self.state, placeholder);
        let next = step(state, now, event.clone());
        self.state = next.state;
        if !next.applied {
            return Applied::default();
        }
        self.push(now, JournalEvent::Input { input: event });
        let mut applied = Applied { changed: true, run_now: Vec::new() };
        let mut called_off = Vec::new();
        for effect in next.effects {
            match effect {
                Effect::Record(event) => self.push(now, event),
                Effect::Run(call) if call.purity == Purity::Pure => applied.run_now.push(call),
                Effect::Abort { path, attempt } if self.call_off(&path, attempt) => {
                    let failure = Failure::permanent(ErrorCode::Cancelled, "called off before it began");
                    called_off.push(Event::Completed { path, attempt, result: Err(failure) });
                }
                effect @ (Effect::Run(_)
                | Effect::Abort { .. }
                | Effect::SetTimer { .. }
                | Effect::ClearTimer { .. }
                | Effect::OpenReview(_)
                | Effect::CloseReview { .. }
                | Effect::StartChild(_)
                | Effect::CancelChild { .. }
                | Effect::SendSignal { .. }
                | Effect::Respond(_)
                | Effect::Finish(_)) => self.after.push(effect),
            }
        }
        for answer in called_off {
            applied.run_now.append(&mut self.apply(now, answer).run_now);
        }
        applied
    }

    /// Takes back an attempt that no commit has handed out; says whether there was one.
    fn call_off(&mut self, path: &NodePath, attempt: u32) -> bool {
        let before = self.after.len();
        self.after.retain(|effect| attempt_of(effect) != Some((path, attempt)));
        self.after.len() < before
    }

    /// Adds an entry that the machine does not react to: a boundary call, a log line. A value in it
    /// that nests too deep to be read back gives way to a text that says so.
    pub fn observe(&mut self, now: Timestamp, mut event: JournalEvent) {
        if matches!(event, JournalEvent::Called { .. } | JournalEvent::Logged { .. }) {
            for value in event.values_mut() {
                if let Err(failure) = check_depth("the value", value, ErrorCode::NodeInput) {
                    *value = Value::text(format!("left out: {}", failure.message));
                }
            }
        }
        self.push(now, event);
    }

    fn push(&mut self, now: Timestamp, event: JournalEvent) {
        self.pending.push(Entry { seq: self.next_seq, at: now, event });
        self.next_seq += 1;
    }

    /// What must be durable before anything else happens, if there is something: effects wait for
    /// it, or nothing is running and the driver is about to let go of the execution. Everything
    /// else rides along with the next commit.
    pub fn commit(&mut self) -> Option<Commit> {
        let lets_go = self.state.status() != ExecutionStatus::Running && !self.pending.is_empty();
        if self.after.is_empty() && !lets_go {
            return None;
        }
        Some(self.take())
    }

    /// Everything that is pending, awaited or not; `None` if there is nothing.
    pub fn flush(&mut self) -> Option<Commit> {
        (!self.after.is_empty() || !self.pending.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Commit {
        let status = self.state.status();
        let waiting = status == ExecutionStatus::Waiting;
        let mut commit = Commit {
            entries: std::mem::take(&mut self.pending),
            status,
            waits: if waiting { self.state.waits(WAITS_LISTED_MAX) } else { Vec::new() },
            result: self.state.result().cloned(),
            timers: Vec::new(),
            reviews: Vec::new(),
            then: Vec::new(),
        };
        for effect in std::mem::take(&mut self.after) {
            match effect {
                Effect::SetTimer { key, at } if key.is_durable() => {
                    commit.timers.push(TimerChange::Set(key, at))
                }
                Effect::ClearTimer { key } if key.is_durable() => commit.timers.push(TimerChange::Clear(key)),
                Effect::OpenReview(request) => commit.reviews.push(ReviewChange::Open(request)),
                Effect::CloseReview { review, status, decision } => {
                    commit.reviews.push(ReviewChange::Close { review, status, decision });
                }
                effect @ (Effect::Record(_)
                | Effect::Run(_)
                | Effect::Abort { .. }
                | Effect::SetTimer { .. }
                | Effect::ClearTimer { .. }
                | Effect::StartChild(_)
                | Effect::CancelChild { .. }
                | Effect::SendSignal { .. }
                | Effect::Respond(_)
                | Effect::Finish(_)) => commit.then.push(effect),
            }
        }
        commit
    }
}

/// The attempt that an effect begins.
fn attempt_of(effect: &Effect) -> Option<(&NodePath, u32)> {
    match effect {
        Effect::Run(call) => Some((&call.path, call.attempt)),
        Effect::StartChild(call) => Some((&call.path, call.attempt)),
        Effect::SendSignal { path, attempt, .. } => Some((path, *attempt)),
        Effect::Record(_)
        | Effect::Abort { .. }
        | Effect::SetTimer { .. }
        | Effect::ClearTimer { .. }
        | Effect::OpenReview(_)
        | Effect::CloseReview { .. }
        | Effect::CancelChild { .. }
        | Effect::Respond(_)
        | Effect::Finish(_) => None,
    }
}

/// The event as it may be journaled. An input was checked at admission, and what a child execution
/// gives when the child gave it.
fn keepable(event: Event) -> Option<Event> {
    match event {
        Event::Completed { path, attempt, result } => {
            let result = result.and_then(|output| {
                check_depth("the output", &output.value, ErrorCode::NodeInput)?;
                Ok(output)
            });
            Some(Event::Completed { path, attempt, result })
        }
        Event::Signalled { ref payload, .. } => (!payload.is_deeper_than(VALUE_DEPTH_MAX)).then_some(event),
        Event::Decided { ref decision, .. } => {
            let content = decision.content.as_ref();
            (!content.is_some_and(|content| content.is_deeper_than(VALUE_DEPTH_MAX))).then_some(event)
        }
        Event::Started { .. }
        | Event::TimerFired { .. }
        | Event::ChildStarted { .. }
        | Event::ChildEnded { .. }
        | Event::CancelRequested { .. }
        | Event::Recovered
        | Event::LimitExceeded { .. } => Some(event),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::plan;
    use crate::test_catalog::catalog;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    /// Nodes of these types behind a trigger, all of them ready at once.
    fn begin(types: &[(&str, serde_json::Value)]) -> Session {
        let mut nodes = vec![json!({"key": "t", "type": "trigger.manual"})];
        let mut edges = Vec::new();
        for (number, (node_type, config)) in types.iter().enumerate() {
            let key = format!("n{number}");
            edges.push(json!({"from": "t", "to": key}));
            nodes.push(json!({"key": key, "type": node_type, "config": config}));
        }
        let flow = json!({"name": "f", "nodes": nodes, "edges": edges});
        let plan = plan(&serde_json::from_value(flow).unwrap(), &catalog()).plan.unwrap();
        let mut session = Session::new(plan, ExecutionId::from_bits(7));
        assert!(session.apply(NOW, Event::Started { input: Value::from(0_i64), recorded: None }).changed);
        session
    }

    fn cancel() -> Event {
        Event::CancelRequested { reason: "enough".to_owned() }
    }

    fn begins(commit: &Commit) -> usize {
        commit.then.iter().filter(|effect| attempt_of(effect).is_some()).count()
    }

    #[test]
    fn what_is_called_off_before_its_commit_never_begins() {
        let call = ("flow.call", json!({"flow": "f"}));
        let types =
            [("task", json!({})), call, ("data.transform", json!({"expression": "{{ 1 / trigger }}"}))];
        let mut session = begin(&types);
        let commit = session.commit().unwrap();
        assert_eq!((commit.status, begins(&commit)), (ExecutionStatus::Failed, 0));
        let folded = Session::fold(session.state().plan().clone(), session.state().id(), &commit.entries);
        assert_eq!(folded.unwrap().state().result(), commit.result.as_ref());
    }

    #[test]
    fn what_was_handed_out_is_asked_to_stop() {
        let mut session = begin(&[("task", json!({}))]);
        assert_eq!(begins(&session.commit().unwrap()), 1);
        session.apply(NOW, cancel());
        let commit = session.commit().unwrap();
        assert_eq!(commit.status, ExecutionStatus::Running);
        assert_eq!(commit.then[0], Effect::Abort { path: "n0".into(), attempt: 1 });
    }
}
