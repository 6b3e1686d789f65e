//! Events reach sessions, sessions ask for commits, commits become durable.

use std::collections::VecDeque;

use flux_core::session::{Commit, Session, TimerChange};
use flux_model::effect::Effect;
use flux_model::error::Failure;
use flux_model::event::Event;
use flux_model::execution::ExecutionStatus;
use flux_model::{ErrorCode, ExecutionId, Timestamp};
use flux_store::{Append, Command, ExecutionRow, Outcome, TimerName};

use super::{Ack, Live, Message, Receipt, Tail, held_input};
use crate::checks::durable;
use crate::disk::tenant;
use crate::outside::task;
use crate::stored;
use crate::violation::Violation;
use crate::weather::hits;
use crate::world::{Occurrence, World};

/// How long a message waits for the admission of its execution, in milliseconds.
const ADMISSION_POLL_MS: u64 = 5;
/// Longest time that entries nobody waits for stay in memory, in milliseconds.
const FLUSH_MS_MAX: u64 = 200;

impl World {
    /// An event reaches its execution.
    pub(crate) fn deliver(&mut self, message: Message) {
        let Some(process) = &self.process else { return };
        if process.admitting.contains(&message.to) {
            self.deliver_after(ADMISSION_POLL_MS, message);
            return;
        }
        if !self.hold(&message) {
            self.refuse(&message);
            return;
        }
        let (to, now) = (message.to, self.timeline.wall());
        let changed = self.apply(to, now, message.event.clone());
        self.tell(format_args!(
            "{to} {} {}",
            if changed { "takes" } else { "ignores" },
            brief(&message.event)
        ));
        let Some(live) = self.live(to) else { return };
        let repeated = matches!(message.ack, Ack::Sender { .. });
        if changed || repeated {
            live.acks.push(message.ack);
        } else {
            self.refuse(&message);
        }
        self.pump(to);
    }

    /// Applies an event and computes the pure tasks that it leads to.
    /// Some of them take their time, so that a crash can find them running.
    pub(super) fn apply(&mut self, id: ExecutionId, now: Timestamp, event: Event) -> bool {
        let slow = self.weather.slow_pure;
        let Some(live) = self.live(id) else { return false };
        if !slow {
            return apply_all(&mut live.session, now, event);
        }
        let applied = live.session.apply(now, event);
        applied.run_now.into_iter().for_each(|call| self.start_pure(id, &call));
        applied.changed
    }

    /// Commits what must be durable next, unless a commit is under way.
    pub(crate) fn pump(&mut self, id: ExecutionId) {
        let Some(live) = self.live(id) else { return };
        if live.in_flight.is_some() {
            return;
        }
        let expected_next_seq = live.session.next_seq();
        let awaited = !live.acks.is_empty() || !live.resume.is_empty();
        let commit = match live.session.commit() {
            None if awaited => live.session.flush(),
            commit => commit,
        };
        let Some(commit) = commit else {
            self.pause(id);
            return;
        };
        self.write_commit(id, expected_next_seq, commit);
    }

    fn write_commit(&mut self, id: ExecutionId, expected_next_seq: u64, commit: Commit) {
        let step = stored::step(&commit, self.timeline.wall(), &mut self.disk.objects);
        let Some(live) = self.live(id) else { return };
        let mut tail = Tail::of(commit, std::mem::take(&mut live.acks));
        tail.then.append(&mut live.resume);
        live.in_flight = Some(tail);
        let append = Append { tenant: tenant(), execution: id, expected_next_seq, step };
        self.submit(Command::Append(Box::new(append)), Receipt::Append(id));
    }

    /// Nothing has to be durable now.
    fn pause(&mut self, id: ExecutionId) {
        let Some(live) = self.live(id) else { return };
        let (acks, resume) = (std::mem::take(&mut live.acks), std::mem::take(&mut live.resume));
        let (status, pending) = (live.session.state().status(), live.session.pending());
        acks.into_iter().for_each(|ack| self.fulfil(id, ack));
        if !resume.is_empty() {
            self.carry_out(id, resume);
            self.pump(id);
        } else if status.is_terminal() {
            self.forget(id);
        } else if pending > 0 {
            let after = self.rng.u64(..FLUSH_MS_MAX);
            self.later(after, Occurrence::Flush { life: self.life, of: id });
        } else if status == ExecutionStatus::Waiting && hits(&mut self.rng, self.weather.evict) {
            self.forget_memory(id);
        }
    }

    /// Entries that nobody waits for are written with the next group commit.
    pub(crate) fn flush(&mut self, id: ExecutionId) {
        let Some(live) = self.live(id).filter(|live| live.in_flight.is_none()) else { return };
        let expected_next_seq = live.session.next_seq();
        if let Some(commit) = live.session.flush() {
            self.write_commit(id, expected_next_seq, commit);
        }
    }

    /// The store answered.
    pub(crate) fn answered(&mut self, receipt: Receipt, outcome: Outcome) {
        match (receipt, outcome) {
            (Receipt::Append(id), Outcome::Appended { promoted }) => {
                self.committed(id);
                promoted.into_iter().for_each(|next| self.begin(next));
            }
            (Receipt::Append(_), _) => {}
            (Receipt::Accept(admitting), outcome) => self.accepted(*admitting, outcome),
            (Receipt::Release(id), outcome) => self.released(id, outcome),
        }
    }

    /// A commit is durable: who waited is told, what waited is done.
    pub(super) fn committed(&mut self, id: ExecutionId) {
        let Some(tail) = self.live(id).and_then(|live| live.in_flight.take()) else { return };
        for change in tail.timers {
            let Some(process) = &mut self.process else { return };
            match change {
                TimerChange::Set(key, due) => process.wheel.set(id, TimerName::Machine(key), due),
                TimerChange::Clear(key) => process.wheel.clear(id, &TimerName::Machine(key)),
            }
        }
        self.arm();
        for ack in tail.acks {
            self.fulfil(id, ack);
        }
        self.bound_journal(id);
        self.carry_out(id, tail.then);
        self.pump(id);
    }

    /// The driver knows how large a journal is, the machine does not.
    fn bound_journal(&mut self, id: ExecutionId) {
        let max = self.weather.journal_bytes_max;
        let bytes = self.disk.row(id).map_or(0, |row| row.journal_bytes);
        if bytes > max {
            let message = format!("the journal has {bytes} bytes, {max} are allowed");
            let failure = Failure::permanent(ErrorCode::ExecutionLimit, message);
            self.send(Message::new(id, Event::LimitExceeded { failure }));
        }
    }

    /// An execution that got its slot begins with the input that was kept for it.
    pub(super) fn begin(&mut self, id: ExecutionId) {
        let event = Event::Recovered;
        if self.hold(&Message::new(id, event)) {
            self.pump(id);
        }
    }

    /// Brings an execution into memory. Says whether the event may be applied to it.
    fn hold(&mut self, message: &Message) -> bool {
        let id = message.to;
        if self.live(id).is_some() {
            return true;
        }
        let Some(row) = self.disk.row(id) else { return false };
        if row.status.is_terminal() {
            self.check_unmoved(&row, message);
            return false;
        }
        if row.status == ExecutionStatus::Queued {
            let cancelled = matches!(message.event, Event::CancelRequested { .. });
            return cancelled && self.adopt(&row, Session::new(self.plans[&row.flow].clone(), id));
        }
        if row.next_seq == 0 {
            return self.start_held(&row);
        }
        match self.fold(&row) {
            Some(session) => self.adopt(&row, session),
            None => false,
        }
    }

    fn start_held(&mut self, row: &ExecutionRow) -> bool {
        let held = self.disk.store().held(tenant(), row.id).ok().flatten();
        let Some(started) = held.as_deref().and_then(held_input) else {
            self.fail(Violation::new("driver", format!("{} runs without journal and without input", row.id)));
            return false;
        };
        self.tell(format_args!("{} begins", row.id));
        let adopted = self.adopt(row, Session::new(self.plans[&row.flow].clone(), row.id));
        let now = self.timeline.wall();
        adopted && self.apply(row.id, now, started)
    }

    pub(super) fn adopt(&mut self, row: &ExecutionRow, session: Session) -> bool {
        let live = Live { session, in_flight: None, acks: Vec::new(), resume: Vec::new() };
        let Some(process) = &mut self.process else { return false };
        process.live.insert(row.id, live);
        true
    }

    /// The session that the stored journal leads to.
    pub(crate) fn fold(&mut self, row: &ExecutionRow) -> Option<Session> {
        let entries = durable::journal(self.disk.store(), row, &self.disk.objects);
        let folded = entries.and_then(|entries| {
            let session = Session::fold(self.plans[&row.flow].clone(), row.id, &entries);
            session.map_err(|error| Violation::new("replay", format!("{}: {error}", row.id)))
        });
        folded.map_err(|violation| self.fail(violation)).ok()
    }

    /// Nothing changes an execution that is over.
    fn check_unmoved(&mut self, row: &ExecutionRow, message: &Message) {
        let Some(mut session) = self.fold(row) else { return };
        if session.apply(self.timeline.wall(), message.event.clone()).changed {
            let what = format!("{} is over, but takes {}", row.id, brief(&message.event));
            self.fail(Violation::new("ending", what));
        }
    }

    pub(super) fn live(&mut self, id: ExecutionId) -> Option<&mut Live> {
        self.process.as_mut()?.live.get_mut(&id)
    }

    fn forget(&mut self, id: ExecutionId) {
        self.forget_memory(id);
        if let Some(process) = &mut self.process {
            process.wheel.forget(id);
        }
    }

    fn forget_memory(&mut self, id: ExecutionId) {
        if let Some(process) = &mut self.process {
            process.live.remove(&id);
        }
    }
}

/// Applies an event, then the answers of the pure tasks that it leads to. Says whether the event
/// changed anything.
pub(super) fn apply_all(session: &mut Session, now: Timestamp, event: Event) -> bool {
    let applied = session.apply(now, event);
    let mut calls = VecDeque::from(applied.run_now);
    while let Some(call) = calls.pop_front() {
        let result = task::compute(&call);
        let event = Event::Completed { path: call.path, attempt: call.attempt, result };
        calls.extend(session.apply(now, event).run_now);
    }
    applied.changed
}

/// An event in a few words.
pub(crate) fn brief(event: &Event) -> String {
    let text = match event {
        Event::Completed { path, attempt, result: Ok(_) } => format!("success of {path} (attempt {attempt})"),
        Event::Completed { path, attempt, result: Err(failure) } => {
            format!("{:?} failure of {path} (attempt {attempt}): {}", failure.class, failure.message)
        }
        Event::TimerFired { timer } => format!("timer {timer:?}"),
        Event::Decided { path, decision } => format!("decision {:?} on {path}", decision.action),
        Event::Signalled { name, id, .. } => format!("signal {name} ({id})"),
        Event::ChildStarted { path, child } => format!("start of child {child} of {path}"),
        Event::ChildEnded { path, child, result } => {
            format!("end of child {child} of {path}: {:?}", result.status())
        }
        Event::CancelRequested { reason } => format!("request to cancel: {reason}"),
        Event::Started { .. } => "its start".to_owned(),
        Event::Recovered => "news of the restart".to_owned(),
        Event::LimitExceeded { failure } => format!("limit: {}", failure.message),
    };
    stored::summary(&text)
}

/// An effect in a few words.
pub(super) fn brief_effect(effect: &Effect) -> String {
    match effect {
        Effect::Run(call) => format!("run {} (attempt {})", call.path, call.attempt),
        Effect::Abort { path, attempt } => format!("abort {path} (attempt {attempt})"),
        Effect::SetTimer { key, at } => format!("set {key:?} to {at}"),
        Effect::ClearTimer { key } => format!("clear {key:?}"),
        Effect::StartChild(call) => format!("start child {} of {}", call.child, call.path),
        Effect::CancelChild { child } => format!("cancel child {child}"),
        Effect::SendSignal { path, to, name, .. } => format!("signal {name} from {path} to {to}"),
        Effect::Respond(_) => "respond".to_owned(),
        Effect::Finish(result) => format!("end as {:?}", result.status()),
        Effect::Record(_) | Effect::OpenReview(_) | Effect::CloseReview { .. } => "record".to_owned(),
    }
}
