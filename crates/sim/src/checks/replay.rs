//! Check 4: the journal reproduces the execution.
//!
//! A follower folds every entry as it becomes durable, the way recovery would. It notices a gap, an
//! input that no longer applies, a conclusion that differs from the recorded one, and a timer that
//! fired before its time. What it knows is what is durable, so other checks ask it too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use flux_core::machine::{Execution, step};
use flux_core::plan::Plan;
use flux_core::session::WAITS_LISTED_MAX;
use flux_model::effect::Effect;
use flux_model::event::{Event, TimerKey};
use flux_model::execution::WaitOn;
use flux_model::journal::{Entry, JournalEvent};
use flux_model::limits::EXECUTION_STEPS_MAX;
use flux_model::review::ReviewAction;
use flux_model::{ExecutionId, NodePath, ReviewId, Timestamp};
use flux_store::ExecutionRow;

use crate::violation::Violation;

const CHECK: &str = "replay";

/// The fold of what is durable of one execution.
pub(crate) struct Follower {
    /// Taken out during a step only.
    state: Option<Execution>,
    next_seq: u64,
    /// Conclusions of the last input that are not read yet.
    owed: VecDeque<JournalEvent>,
    at: Timestamp,
    /// Nodes, and elements of nodes, that are over for good.
    pub(crate) done: BTreeSet<NodePath>,
    /// How often a person asked for an interrupted effect to be run again.
    pub(crate) revised: BTreeMap<NodePath, u32>,
}

impl Follower {
    pub(crate) fn new(plan: Arc<Plan>, id: ExecutionId) -> Self {
        Self {
            state: Some(Execution::new(plan, id)),
            next_seq: 0,
            owed: VecDeque::new(),
            at: Timestamp::default(),
            done: BTreeSet::new(),
            revised: BTreeMap::new(),
        }
    }

    /// The state that the journal leads to.
    pub(crate) fn state(&self) -> &Execution {
        self.state.as_ref().expect("it is put back after each step")
    }

    /// Whether what is durable asks for this effect.
    pub(crate) fn asks_for(&self, effect: &Effect) -> bool {
        self.state().outstanding().contains(effect)
    }

    /// Folds the entries of one commit.
    pub(crate) fn follow(&mut self, entries: &[Entry]) -> Result<(), Violation> {
        for entry in entries {
            self.entry(entry).map_err(|what| self.violation(&what))?;
        }
        match self.owed.front() {
            Some(owed) => Err(self.violation(&format!("the commit ends without {owed:?}"))),
            None => Ok(()),
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.seq != self.next_seq {
            return Err(format!("entry {} follows where {} should", entry.seq, self.next_seq));
        }
        self.next_seq += 1;
        self.note(&entry.event);
        match &entry.event {
            JournalEvent::Input { input } => self.input(entry, input),
            JournalEvent::Called { .. } | JournalEvent::Logged { .. } => Ok(()),
            derived @ (JournalEvent::AttemptStarted { .. }
            | JournalEvent::NodeSucceeded { .. }
            | JournalEvent::NodeFailed { .. }
            | JournalEvent::NodeSkipped { .. }
            | JournalEvent::NodeCancelled { .. }
            | JournalEvent::NodeWaiting { .. }
            | JournalEvent::Warning { .. }
            | JournalEvent::Responded { .. }
            | JournalEvent::Finished { .. }) => self.derived(entry, derived),
        }
    }

    fn derived(&mut self, entry: &Entry, event: &JournalEvent) -> Result<(), String> {
        let owed = self.owed.pop_front();
        let same = owed.as_ref() == Some(event) && entry.at == self.at;
        if same { Ok(()) } else { Err(format!("entry {}: journal {event:?}, replay {owed:?}", entry.seq)) }
    }

    fn input(&mut self, entry: &Entry, input: &Event) -> Result<(), String> {
        if let Some(owed) = self.owed.front() {
            return Err(format!("entry {}: {input:?} comes before {owed:?}", entry.seq));
        }
        self.check_due(entry, input)?;
        let state = self.state.take().expect("it is put back after each step");
        let next = step(state, entry.at, input.clone());
        self.at = entry.at;
        self.state = Some(next.state);
        if !next.applied {
            return Err(format!("entry {}: {input:?} does not apply any more", entry.seq));
        }
        self.owed.extend(next.effects.into_iter().filter_map(|effect| match effect {
            Effect::Record(event) => Some(event),
            Effect::Run(_)
            | Effect::Abort { .. }
            | Effect::SetTimer { .. }
            | Effect::ClearTimer { .. }
            | Effect::OpenReview(_)
            | Effect::CloseReview { .. }
            | Effect::StartChild(_)
            | Effect::CancelChild { .. }
            | Effect::SendSignal { .. }
            | Effect::Respond(_)
            | Effect::Finish(_) => None,
        }));
        let max = self.state().plan().settings().steps_max.unwrap_or(EXECUTION_STEPS_MAX);
        let steps = self.state().steps();
        // The step that is over the limit is counted, and ends the execution.
        if steps > max + 1 { Err(format!("it took {steps} steps, {max} are allowed")) } else { Ok(()) }
    }

    /// A durable timer fires at its time or after it.
    fn check_due(&self, entry: &Entry, input: &Event) -> Result<(), String> {
        let Event::TimerFired { timer } = input else { return Ok(()) };
        let timers = self.state().outstanding().into_iter().filter_map(timer_of);
        let due = timers.filter(|(key, _)| key == timer).map(|(_, at)| at).next();
        match due {
            Some(due) if due > entry.at => Err(format!("{timer:?} fired at {}, due {due}", entry.at)),
            Some(_) | None => Ok(()),
        }
    }

    fn note(&mut self, event: &JournalEvent) {
        match event {
            JournalEvent::NodeSucceeded { path, .. }
            | JournalEvent::NodeSkipped { path }
            | JournalEvent::NodeCancelled { path } => {
                self.done.insert(path.clone());
            }
            JournalEvent::NodeFailed { error, retry_at: None } => {
                self.done.insert(error.node.clone());
            }
            JournalEvent::Input { input: Event::Decided { path, decision } } => {
                if decision.action == ReviewAction::Revise {
                    *self.revised.entry(path.clone()).or_default() += 1;
                }
            }
            JournalEvent::Input { .. }
            | JournalEvent::AttemptStarted { .. }
            | JournalEvent::NodeFailed { .. }
            | JournalEvent::NodeWaiting { .. }
            | JournalEvent::Warning { .. }
            | JournalEvent::Responded { .. }
            | JournalEvent::Called { .. }
            | JournalEvent::Logged { .. }
            | JournalEvent::Finished { .. } => {}
        }
    }

    /// The row of an execution says what its journal says.
    pub(crate) fn check_row(&self, row: &ExecutionRow) -> Result<(), Violation> {
        let state = self.state();
        let waits = state.waits(WAITS_LISTED_MAX);
        let waiting = row.status == flux_model::ExecutionStatus::Waiting;
        let facts = [
            ("status", format!("{:?}", row.status), format!("{:?}", state.status())),
            ("entries", row.next_seq.to_string(), self.next_seq.to_string()),
            ("waits", format!("{:?}", row.waits), format!("{:?}", if waiting { waits } else { Vec::new() })),
        ];
        for (what, stored, folded) in facts {
            if stored != folded {
                return Err(self.violation(&format!("{what}: the row says {stored}, the journal {folded}")));
            }
        }
        match state.result() {
            Some(result) if !crate::stored::is_result_of(result, row.error.as_ref()) => {
                Err(self.violation(&format!("the row says {:?}, the journal {result:?}", row.error)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The stored timers of an execution are those it needs: none is missing, none left over.
    pub(crate) fn check_timers(&self, mut stored: Vec<(TimerKey, Timestamp)>) -> Result<(), Violation> {
        let mut needed: Vec<_> = self.state().outstanding().into_iter().filter_map(timer_of).collect();
        needed.sort();
        stored.sort();
        if stored == needed {
            return Ok(());
        }
        Err(self.violation(&format!("timers stored {stored:?}, needed {needed:?}")))
    }

    /// The reviews that are put before people are those it waits for.
    pub(crate) fn check_reviews(&self, pending: &BTreeSet<ReviewId>) -> Result<(), Violation> {
        let waits = self.state().waits(usize::MAX).into_iter();
        let awaited: BTreeSet<ReviewId> = waits.filter_map(|wait| review_of(&wait.on)).collect();
        if *pending == awaited {
            return Ok(());
        }
        Err(self.violation(&format!("reviews pending {pending:?}, waited for {awaited:?}")))
    }

    fn violation(&self, what: &str) -> Violation {
        Violation::new(CHECK, format!("{}: {what}", self.state().id()))
    }
}

fn review_of(on: &WaitOn) -> Option<ReviewId> {
    match on {
        WaitOn::Review { review, .. } => Some(*review),
        WaitOn::Timer { .. } | WaitOn::Signal { .. } | WaitOn::Child { .. } => None,
    }
}

fn timer_of(effect: Effect) -> Option<(TimerKey, Timestamp)> {
    match effect {
        Effect::SetTimer { key, at } if key.is_durable() => Some((key, at)),
        Effect::SetTimer { .. }
        | Effect::Record(_)
        | Effect::Run(_)
        | Effect::Abort { .. }
        | Effect::ClearTimer { .. }
        | Effect::OpenReview(_)
        | Effect::CloseReview { .. }
        | Effect::StartChild(_)
        | Effect::CancelChild { .. }
        | Effect::SendSignal { .. }
        | Effect::Respond(_)
        | Effect::Finish(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::Sample;

    fn check(change: impl Fn(&mut Vec<Entry>), expect: &str) {
        let sample = Sample::run();
        let mut entries = sample.entries.clone();
        change(&mut entries);
        let found = Follower::new(sample.plan.clone(), sample.id).follow(&entries);
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    #[test]
    fn a_changed_journal_is_noticed() {
        check(|_| (), "");
        check(|entries| drop(entries.remove(2)), "follows where 2 should");
        check(|entries| entries[1].at = Timestamp::from_millis(1), "entry 1");
        check(|entries| entries.truncate(1), "ends without");
        check(
            |entries| {
                let mut again = entries[0].clone();
                again.seq = entries.len() as u64;
                entries.push(again);
            },
            "does not apply any more",
        );
    }

    #[test]
    fn a_row_and_timers_that_differ_are_noticed() {
        let sample = Sample::run();
        let mut follower = Follower::new(sample.plan.clone(), sample.id);
        follower.follow(&sample.entries).unwrap();
        let mut row = sample.row();
        assert_eq!(follower.check_row(&row), Ok(()));
        row.status = flux_model::ExecutionStatus::Running;
        assert!(follower.check_row(&row).is_err());
        assert_eq!(follower.check_timers(Vec::new()), Ok(()));
        assert!(follower.check_timers(vec![(TimerKey::ExecutionTimeout, Timestamp::default())]).is_err());
        assert_eq!(follower.check_reviews(&BTreeSet::new()), Ok(()));
        assert!(follower.check_reviews(&BTreeSet::from([ReviewId::from_bits(1)])).is_err());
    }

    #[test]
    fn a_timer_before_its_time_is_noticed() {
        let sample = Sample::delayed();
        let mut follower = Follower::new(sample.plan.clone(), sample.id);
        follower.follow(&sample.entries).unwrap();
        let timer = TimerKey::Delay { path: NodePath::root("n1") };
        let event = JournalEvent::Input { input: Event::TimerFired { timer } };
        let early = Entry { seq: sample.entries.len() as u64, at: sample.at, event };
        assert!(follower.follow(&[early]).unwrap_err().what.contains("fired at"));
    }
}
