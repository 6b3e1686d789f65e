//! The owner of one execution: the task that holds its session, and the only one who writes its
//! journal (`docs/adr/0004-owner-tasks.md`).
//!
//! A turn takes in everything that happened, commits it once, and only then carries out what the
//! machine asked for. An execution that waits is let go of: it costs no task and no memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flux_core::session::Session;
use flux_model::effect::{Effect, TaskCall};
use flux_model::error::Failure;
use flux_model::event::TimerKey;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_model::journal::JournalEvent;
use flux_model::limits::EXECUTION_JOURNAL_BYTES_MAX;
use flux_model::{ErrorCode, Event, Timestamp};
use flux_store::command::BLOB_BYTES_MAX;
use flux_store::{Append, Command, Outcome, TimerName, WriteError};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::children;
use crate::commit::{Prepared, prepare};
use crate::error::EngineError;
use crate::flight::Flight;
use crate::load::{Loaded, load, turn_away};
use crate::owners::{Message, Released, Reply, Slot, Taken};
use crate::pure::settle;
use crate::shared::{Facts, Phase, Retry, Shared};
use crate::values;
use crate::work::{self, Signal};

/// How often in a row an execution is read anew because somebody else wrote its journal.
const CONFLICTS_MAX: u32 = 3;

/// An execution that was just begun or read, in the hands of its owner.
pub(crate) struct Owner {
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    slot: Arc<Slot>,
    session: Session,
    flight: Flight,
    /// The status as it is stored.
    stored: ExecutionStatus,
    journal_bytes: u64,
    /// When cancelled attempts must have stopped, as the monotonic clock says.
    grace: Option<Duration>,
    /// Who is told what, once everything so far is durable.
    replies: Vec<(Reply, Taken)>,
    alarm: Option<Alarm>,
}

/// The one sleep of an owner. It may end too early, never too late.
struct Alarm {
    due: Duration,
    sleep: BoxFuture<'static, ()>,
}

/// An execution as an owner takes it over.
pub(crate) struct Begun {
    pub(crate) facts: Arc<Facts>,
    pub(crate) session: Session,
    pub(crate) stored: ExecutionStatus,
    pub(crate) journal_bytes: u64,
    /// What to carry out first; what it depends on is durable.
    pub(crate) then: Vec<Effect>,
}

/// Why an owner stopped.
enum Exit {
    /// The execution is over, or waits and was let go of.
    Done,
    /// It got its slot meanwhile and must be read again.
    Again,
    /// Somebody else wrote its journal; it must be read again.
    Fenced,
    /// The engine stops.
    Halted,
}

/// Why an owner can go no further.
enum Lost {
    /// Somebody else wrote the journal.
    Fenced,
    /// It could not be written.
    Storage(EngineError),
    /// The store refused what it was given.
    Fault(String),
    /// What it did in one step is larger than can be written.
    TooLarge(Failure),
}

/// Owns an execution that is read from the store.
pub(crate) async fn own(shared: Arc<Shared>, slot: Arc<Slot>) {
    let mut conflicts = 0;
    loop {
        let owner = match load(&shared, &slot).await {
            Ok(Loaded::Open(begun, events)) => {
                let mut owner = Owner::new(Arc::clone(&shared), Arc::clone(&slot), *begun);
                owner.take_all(events);
                owner
            }
            Ok(Loaded::Over(status)) => return turn_away(&shared, &slot, Ok(status)),
            Err(error) => return turn_away(&shared, &slot, Err(error)),
        };
        match owner.run().await {
            Exit::Done | Exit::Halted => return,
            Exit::Again => {}
            Exit::Fenced if conflicts < CONFLICTS_MAX => conflicts += 1,
            Exit::Fenced => {
                let reason = "its journal is written by somebody else".to_owned();
                shared.park(slot.id, reason.clone(), Retry::Later);
                let error = EngineError::Corrupt { execution: slot.id, reason };
                return turn_away(&shared, &slot, Err(error));
            }
        }
    }
}

/// Owns an execution that was just accepted.
pub(crate) async fn own_begun(shared: Arc<Shared>, slot: Arc<Slot>, begun: Begun) {
    match Owner::new(Arc::clone(&shared), Arc::clone(&slot), begun).run().await {
        Exit::Done | Exit::Halted => {}
        Exit::Again | Exit::Fenced => own(shared, slot).await,
    }
}

impl Owner {
    fn new(shared: Arc<Shared>, slot: Arc<Slot>, begun: Begun) -> Self {
        let mut owner = Self {
            shared,
            facts: begun.facts,
            slot,
            session: begun.session,
            flight: Flight::default(),
            stored: begun.stored,
            journal_bytes: begun.journal_bytes,
            grace: None,
            replies: Vec::new(),
            alarm: None,
        };
        begun.then.into_iter().for_each(|effect| owner.carry_out(effect));
        owner
    }

    async fn run(mut self) -> Exit {
        let lost = match self.drive().await {
            Ok(exit) => return exit,
            Err(lost) => lost,
        };
        let id = self.facts.id;
        let error = match lost {
            Lost::Fenced => {
                tracing::error!(execution = %id, "the journal has entries of somebody else; it is read again");
                return Exit::Fenced;
            }
            Lost::Storage(error) => {
                self.shared.park(id, error.to_string(), Retry::Later);
                error
            }
            Lost::Fault(reason) => {
                self.shared.park(id, reason.clone(), Retry::Never);
                EngineError::Corrupt { execution: id, reason }
            }
            Lost::TooLarge(failure) => {
                self.shared.fail_outright(self.facts.tenant, id, &failure).await;
                EngineError::WrongStatus {
                    execution: id,
                    status: ExecutionStatus::Failed,
                    needs: "it failed",
                }
            }
        };
        for (reply, _) in self.replies.drain(..) {
            // Nobody waits any more if the receiver is gone.
            let _ = reply.send(Err(error.clone()));
        }
        turn_away(&self.shared, &self.slot, Err(error));
        Exit::Done
    }

    async fn drive(&mut self) -> Result<Exit, Lost> {
        loop {
            if self.take_in() == Look::Again {
                return Ok(Exit::Again);
            }
            if self.session.pending() > 0 {
                let then = self.write().await?;
                self.answer();
                let over = self.stored.is_terminal();
                then.into_iter().for_each(|effect| self.carry_out(effect));
                if over {
                    self.conclude().await;
                    return Ok(Exit::Done);
                }
                continue;
            }
            self.answer();
            if self.may_let_go() {
                match self.shared.owners.release(&self.slot) {
                    Released::Yes => return Ok(Exit::Done),
                    Released::Not => continue,
                }
            }
            match self.shared.phase() {
                Phase::Working => {}
                Phase::Stopping if !self.flight.is_empty() => {}
                Phase::Stopping | Phase::Halted => {
                    drop(self.shared.owners.remove(&self.slot));
                    return Ok(Exit::Halted);
                }
            }
            self.idle().await;
        }
    }

    /// Nothing runs and everything is durable: the store alone knows enough to go on.
    fn may_let_go(&self) -> bool {
        match self.session.state().status() {
            ExecutionStatus::Queued => true,
            ExecutionStatus::Waiting => self.flight.is_empty(),
            ExecutionStatus::Running => false,
            // Everything that ends an execution is written at once, and then nothing is idle.
            ExecutionStatus::Succeeded | ExecutionStatus::Failed | ExecutionStatus::Cancelled => true,
        }
    }

    /// Applies everything that happened since the last turn.
    fn take_in(&mut self) -> Look {
        let messages = self.slot.take();
        let unread = messages.iter().any(|message| message.event.is_none());
        if unread && self.session.state().status() == ExecutionStatus::Queued {
            // It got its slot meanwhile; it is read again with everything that came.
            self.slot.put_back(messages);
            return Look::Again;
        }
        self.take_all(messages);
        let now = self.shared.now();
        for finished in self.flight.landed() {
            if self.session.state().result().is_none() {
                finished.observed.into_iter().for_each(|event| self.session.observe(now, event));
            }
            self.apply(now, finished.event);
        }
        let running = self.shared.lasting.clock.monotonic();
        let mut overdue = self.flight.overdue(running);
        if self.grace.is_some_and(|due| due <= running) {
            self.grace = None;
            overdue.push(TimerKey::CancelGrace);
        }
        for timer in overdue {
            self.apply(now, Event::TimerFired { timer });
        }
        Look::Done
    }

    fn take_all(&mut self, messages: VecDeque<Message>) {
        for message in messages {
            let Some(event) = message.event else { continue };
            let taken = self.apply(self.shared.now(), event);
            self.replies.extend(message.reply.map(|reply| (reply, taken)));
        }
    }

    fn apply(&mut self, now: Timestamp, event: Event) -> Taken {
        let before = self.session.state().status();
        let settled = settle(&mut self.session, &self.shared.lasting.registry, now, event);
        settled.heavy.into_iter().for_each(|call| self.run_task(call));
        if settled.changed { Taken::Applied } else { Taken::Ignored(before) }
    }

    /// Makes everything that is pending durable; gives what to do then.
    async fn write(&mut self) -> Result<Vec<Effect>, Lost> {
        let expected_next_seq = self.session.next_seq();
        let Some(commit) = self.session.flush() else { return Ok(Vec::new()) };
        let now = self.shared.now();
        let prepared = prepare(commit, Some(self.stored), now, self.shared.followed());
        let Prepared { step, taken, bytes, status, then, changes } = prepared;
        check_size(step.record.len())?;
        let (tenant, execution) = (self.facts.tenant, self.facts.id);
        put_taken(&self.shared, tenant, taken).await?;
        let set: Vec<_> = step.set_timers.clone();
        let clear: Vec<_> = step.clear_timers.clone();
        let append = Append { tenant, execution, expected_next_seq, step };
        let outcome = self.submit(Command::Append(Box::new(append))).await;
        let promoted = match outcome.map_err(|error| Lost::Storage(error.into()))? {
            Outcome::Appended { promoted } => promoted,
            Outcome::Conflict { .. } | Outcome::WrongStatus { .. } | Outcome::NotFound => {
                return Err(Lost::Fenced);
            }
            other => return Err(Lost::Fault(format!("the store refused a step: {other:?}"))),
        };
        self.shared.lasting.counters.commits.add(1);
        self.shared.timers.changed(tenant, execution, set, &clear);
        self.shared.tell(&self.facts, changes);
        for id in promoted {
            self.shared.deliver(tenant, id, Message::look());
        }
        self.stored = status;
        self.grow(bytes);
        Ok(then)
    }

    /// Waits for the writer while what is under way goes on.
    async fn submit(&mut self, command: Command) -> Result<Outcome, WriteError> {
        let written = self.shared.writer.submit(command);
        tokio::pin!(written);
        loop {
            tokio::select! {
                biased;
                outcome = &mut written => return outcome,
                () = self.flight.land() => {}
            }
        }
    }

    /// Counts the journal, warns at half of what it may have, and ends the execution beyond.
    fn grow(&mut self, bytes: u64) {
        let max = EXECUTION_JOURNAL_BYTES_MAX;
        let before = self.journal_bytes;
        self.journal_bytes += bytes;
        if self.stored.is_terminal() {
            return;
        }
        let (now, used) = (self.shared.now(), self.journal_bytes);
        if before <= max / 2 && used > max / 2 {
            let message = format!(
                "half of the journal this execution may have is used: {used} of {max} bytes (EXECUTION_JOURNAL_BYTES_MAX)"
            );
            let code = ErrorCode::ExecutionLimit;
            self.session.observe(now, JournalEvent::Warning { path: None, code, message });
        }
        if before <= max && used > max {
            let message = format!(
                "the journal has {used} bytes, at most {max} are allowed (EXECUTION_JOURNAL_BYTES_MAX)"
            );
            let failure = Failure::permanent(ErrorCode::ExecutionLimit, message);
            self.apply(now, Event::LimitExceeded { failure });
        }
    }

    /// Tells those who asked; what they asked for is durable.
    fn answer(&mut self) {
        for (reply, taken) in self.replies.drain(..) {
            // Nobody waits any more if the receiver is gone.
            let _ = reply.send(Ok(taken));
        }
    }

    /// Does what the machine asked for. Everything it depends on is durable.
    fn carry_out(&mut self, effect: Effect) {
        let working = self.shared.phase() == Phase::Working;
        match effect {
            // Begun again after the next start.
            Effect::Run(_) | Effect::StartChild(_) | Effect::SendSignal { .. } if !working => {}
            Effect::Run(call) => self.run_task(call),
            Effect::StartChild(call) => {
                let place = (call.path.clone(), call.attempt);
                let work = children::start_child(&self.shared, &self.facts, call);
                self.flight.begin(place, CancellationToken::new(), None, work);
            }
            Effect::SendSignal { path, attempt, to, name, payload } => {
                let place = (path.clone(), attempt);
                let signal = Signal { path, attempt, to, name, payload };
                let work = work::send_signal(&self.shared, &self.facts, signal);
                self.flight.begin(place, CancellationToken::new(), None, work);
            }
            Effect::Abort { path, attempt } => self.flight.cancel(&path, attempt),
            Effect::CancelChild { child } => {
                let reason = format!("execution {}, which called it, does not wait any more", self.facts.id);
                children::cancel(&self.shared, self.facts.tenant, child, reason);
            }
            Effect::SetTimer { key: TimerKey::CancelGrace, at } => {
                self.grace = Some(self.shared.lasting.clock.monotonic() + at.since(self.shared.now()));
            }
            Effect::ClearTimer { key: TimerKey::CancelGrace } => self.grace = None,
            Effect::SetTimer { key, at } => {
                let timer = flux_store::Timer { name: TimerName::Machine(key), due: at };
                self.shared.timers.changed(self.facts.tenant, self.facts.id, vec![timer], &[]);
            }
            Effect::Respond(response) => self.shared.waiters.responded(self.facts.id, &response),
            // Part of the commit, or told in `conclude`.
            Effect::ClearTimer { .. }
            | Effect::OpenReview(_)
            | Effect::CloseReview { .. }
            | Effect::Record(_)
            | Effect::Finish(_) => {}
        }
    }

    fn run_task(&mut self, call: TaskCall) {
        let place = (call.path.clone(), call.attempt);
        let cancel = CancellationToken::new();
        let due = self.shared.lasting.clock.monotonic() + call.timeout;
        let work = work::attempt(&self.shared, &self.facts, call, cancel.clone());
        self.flight.begin(place, cancel, Some(due), work);
    }

    /// The execution is over, durably: whoever waits for that is told.
    async fn conclude(&mut self) {
        let left = self.shared.owners.remove(&self.slot);
        if let Some(result) = self.session.state().result().cloned() {
            self.shared.over(&self.facts, result).await;
        }
        for message in left {
            if let Some(reply) = message.reply {
                let _ = reply.send(Ok(Taken::Ignored(self.stored)));
            }
        }
    }

    /// Waits until there is something to take in.
    async fn idle(&mut self) {
        self.arm();
        let alarm = async {
            match &mut self.alarm {
                Some(alarm) => (&mut alarm.sleep).await,
                None => futures::future::pending().await,
            }
        };
        let rang = tokio::select! {
            () = self.slot.woken() => Rang::No,
            () = self.flight.land() => Rang::No,
            () = alarm => Rang::Yes,
        };
        if rang == Rang::Yes {
            self.alarm = None;
        }
    }

    fn arm(&mut self) {
        let Some(due) = self.flight.next_due().into_iter().chain(self.grace).min() else { return };
        if self.alarm.as_ref().is_none_or(|alarm| alarm.due > due) {
            let clock = &self.shared.lasting.clock;
            let sleep = clock.sleep(due.saturating_sub(clock.monotonic()));
            self.alarm = Some(Alarm { due, sleep });
        }
    }
}

/// Whether an execution has to be read again.
#[derive(PartialEq, Eq)]
enum Look {
    Done,
    Again,
}

#[derive(PartialEq, Eq)]
enum Rang {
    Yes,
    No,
}

fn check_size(bytes: usize) -> Result<(), Lost> {
    if bytes <= BLOB_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "one step gave {bytes} bytes of journal, at most {BLOB_BYTES_MAX} are allowed (BLOB_BYTES_MAX)"
    );
    Err(Lost::TooLarge(Failure::permanent(ErrorCode::ExecutionLimit, message)))
}

async fn put_taken(
    shared: &Shared,
    tenant: flux_model::Tenant,
    taken: Vec<(String, String)>,
) -> Result<(), Lost> {
    if taken.is_empty() {
        return Ok(());
    }
    values::put(&shared.lasting.objects, tenant, taken).await.map_err(|error| match error {
        flux_objects::ObjectError::TooLarge { .. } => {
            Lost::TooLarge(Failure::permanent(ErrorCode::ExecutionLimit, error.to_string()))
        }
        error => Lost::Storage(values::unavailable("storing an object", &error)),
    })
}

impl Shared {
    /// An execution is over, durably.
    pub(crate) async fn over(self: &Arc<Self>, facts: &Facts, result: ExecutionResult) {
        self.lasting.counters.ended.add(1);
        self.timers.forget(facts.id);
        self.waiters.ended(facts.id, &result);
        if let Some(parent) = &facts.parent {
            children::tell_parent(self, facts, parent, result).await;
        }
    }
}
