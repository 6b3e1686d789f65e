//! The owner of one execution: the task that holds its session, and the only one who writes its
//! journal (`docs/adr/0004-owner-tasks.md`).
//!
//! A turn takes in everything that happened, commits it once, and only then carries out what the
//! machine asked for. An execution that waits is let go of: it costs no task and no memory.

mod carry;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flux_core::session::Session;
use flux_model::effect::Effect;
use flux_model::event::TimerKey;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_model::{Event, Timestamp};
use futures::future::BoxFuture;

use self::write::Lost;
use crate::children;
use crate::error::EngineError;
use crate::flight::Flight;
use crate::load::{Loaded, load, turn_away};
use crate::owners::{Hold, Message, Released, Reply, Slot, Taken};
use crate::pure::settle;
use crate::shared::{Facts, Phase, Retry, Shared};

/// How often in a row an execution is read anew because somebody else wrote its journal.
const CONFLICTS_MAX: u32 = 3;

/// A wait that is shorter does not make an owner let go: reading the journal back costs more.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How late a timer may come before the owner that waits for it lets go after all.
const TIMER_LATE: Duration = Duration::from_millis(50);

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

/// Owns an execution that is read from the store.
pub(crate) async fn own(shared: Arc<Shared>, slot: Arc<Slot>) {
    let _hold = Hold::new(&shared, &slot);
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
    let _hold = Hold::new(&shared, &slot);
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
            // The store is opened again through recovery, which finds every execution.
            Lost::Storage(error @ EngineError::Write(_)) => error,
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
            ExecutionStatus::Waiting => self.flight.is_empty() && self.goes_on_within().is_none(),
            ExecutionStatus::Running => false,
            // Everything that ends an execution is written at once, and then nothing is idle.
            ExecutionStatus::Succeeded | ExecutionStatus::Failed | ExecutionStatus::Cancelled => true,
        }
    }

    /// Within which time a timer comes, if that is too soon to let go of the execution.
    fn goes_on_within(&self) -> Option<Duration> {
        let due = self.shared.timers.next_of(self.facts.id)?;
        let left = (due + TIMER_LATE).since(self.shared.now());
        (!left.is_zero() && left < PAUSE_MAX).then_some(left)
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
        let child = if let Event::ChildStarted { child, .. } = &event { Some(*child) } else { None };
        let settled = settle(&mut self.session, &self.shared.lasting.registry, now, event);
        settled.heavy.into_iter().for_each(|call| self.run_task(call));
        if settled.changed {
            return Taken::Applied;
        }
        if let Some(child) = child.filter(|child| !self.session.state().awaits(*child)) {
            children::turn_down(&self.shared, &self.facts, child);
        }
        Taken::Ignored(before)
    }

    /// Tells those who asked; what they asked for is durable.
    fn answer(&mut self) {
        for (reply, taken) in self.replies.drain(..) {
            // Nobody waits any more if the receiver is gone.
            let _ = reply.send(Ok(taken));
        }
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
        let clock = &self.shared.lasting.clock;
        let pause = self.goes_on_within().filter(|_| self.flight.is_empty());
        let pause = pause.map(|left| clock.monotonic() + left);
        let Some(due) = self.flight.next_due().into_iter().chain(self.grace).chain(pause).min() else {
            return;
        };
        if self.alarm.as_ref().is_none_or(|alarm| alarm.due > due) {
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
