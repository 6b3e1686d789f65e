//! The life of a process: death, restart, and its timers.

use flux_model::event::{Event, TimerKey};
use flux_model::execution::{Wait, WaitOn};
use flux_model::{ExecutionId, ExecutionStatus, Timestamp};
use flux_store::command::Release;
use flux_store::{Command, ExecutionRow, TimerName};

use super::{Ack, Message, Process, Receipt};
use crate::checks::durable::{self, Durable};
use crate::checks::{acknowledged, elements, ending, graph, once, retries};
use crate::disk::tenant;
use crate::violation::Violation;
use crate::weather::hits;
use crate::world::{Occurrence, World};

/// Longest time between a death and the restart, in milliseconds.
const DOWN_MS_MAX: u64 = 3_000;

impl World {
    /// Whether the process dies at this await point.
    pub(crate) fn crashes_here(&mut self) -> bool {
        let weather = &self.weather;
        let crash = weather.crashes_left > 0 && self.rng.u32(..10_000) < weather.crash;
        if crash {
            self.crash("the process is killed");
        }
        crash
    }

    /// The process dies: its memory is gone, and what was being written may or may not be durable.
    pub(crate) fn crash(&mut self, why: &str) {
        if self.process.take().is_none() {
            return;
        }
        self.weather.crashes_left = self.weather.crashes_left.saturating_sub(1);
        self.life += 1;
        let survives = self.disk.is_writing() && self.rng.bool();
        self.tell(format_args!("CRASH: {why}{}", if survives { ", a batch was written" } else { "" }));
        if survives && let Err(violation) = self.disk.write(&self.plans) {
            self.fail(violation);
        }
        self.disk.lose();
        let down = self.rng.u64(..DOWN_MS_MAX);
        self.later(down, Occurrence::Restart);
        self.clients_lose_contact();
    }

    /// A new process recovers from what is durable.
    pub(crate) fn restart(&mut self) {
        self.tell(format_args!("RESTART"));
        let checked = self.read_and_check();
        let durable = match checked {
            Ok(durable) => durable,
            Err(violation) => return self.fail(violation),
        };
        self.process = Some(Process::default());
        self.load_timers();
        for kept in durable.values() {
            if self.crashes_here() || self.process.is_none() {
                return;
            }
            self.resume(&kept.row);
        }
        self.repair(&durable);
        self.wake();
    }

    /// What is durable, once everything that can be said of it was checked.
    pub(crate) fn read_and_check(&self) -> Result<Durable, Violation> {
        let durable = durable::read(self.disk.store(), tenant(), &self.disk.objects)?;
        acknowledged::check(&self.told, &durable)?;
        for kept in durable.values() {
            ending::check(kept)?;
            once::check(kept)?;
            let flow = self.plans[&kept.row.flow].flow();
            graph::check(kept, flow)?;
            elements::check(kept, flow)?;
            retries::check(kept, flow)?;
        }
        Ok(durable)
    }

    fn load_timers(&mut self) {
        let timers = self.disk.store().timers_due(Timestamp::MAX, usize::MAX).unwrap_or_default();
        let Some(process) = &mut self.process else { return };
        for timer in timers {
            process.wheel.set(timer.execution, timer.name, timer.due);
        }
    }

    /// An execution that ran goes on. One that waits costs nothing until something happens.
    fn resume(&mut self, row: &ExecutionRow) {
        match row.status {
            ExecutionStatus::Running if row.next_seq == 0 => self.begin(row.id),
            ExecutionStatus::Running => self.resume_running(row),
            ExecutionStatus::Waiting
            | ExecutionStatus::Queued
            | ExecutionStatus::Succeeded
            | ExecutionStatus::Failed
            | ExecutionStatus::Cancelled => {}
        }
    }

    fn resume_running(&mut self, row: &ExecutionRow) {
        let Some(session) = self.fold(row) else { return };
        let now = self.timeline.wall();
        self.adopt(row, session);
        let changed = self.apply(row.id, now, Event::Recovered);
        self.tell(format_args!("{} is recovered{}", row.id, if changed { " and takes note" } else { "" }));
        if self.apply(row.id, now, Event::Recovered) {
            let what = format!("{}: the second news of a restart changes something", row.id);
            return self.fail(Violation::new("driver", what));
        }
        let Some(live) = self.live(row.id) else { return };
        let again = live.session.state().outstanding();
        live.resume = again.into_iter().filter(|effect| !is_stored_timer(effect)).collect();
        self.pump(row.id);
    }

    /// What was on its way when the process died: ends of children, cancellations.
    fn repair(&mut self, durable: &Durable) {
        for kept in durable.values().filter(|kept| !kept.row.status.is_terminal()) {
            let row = &kept.row;
            for Wait { node, on } in self.waits_of(row) {
                let WaitOn::Child { execution } = on else { continue };
                if let Some(result) = durable.get(&execution).and_then(|child| child.result()) {
                    self.send(Message::ended(row.id, node, execution, result.clone()));
                }
            }
            if row.replaced_by.is_some() {
                self.make_room(vec![row.id]);
            }
            if let Some(parent) = row.parent.clone().filter(|parent| parent.awaited) {
                // The parent may know nothing of it yet, or want nothing of it any more.
                let event = Event::ChildStarted { path: parent.path, child: row.id };
                let ack = Ack::Child { child: row.id };
                self.send(Message { to: parent.execution, event, ack });
            }
        }
    }

    fn waits_of(&mut self, row: &ExecutionRow) -> Vec<Wait> {
        match self.live(row.id) {
            Some(live) => live.session.state().waits(usize::MAX),
            None => row.waits.clone(),
        }
    }

    /// Fires what is due by the wall clock.
    pub(crate) fn wake(&mut self) {
        if let Some(process) = &mut self.process {
            process.woken_at_ms = None;
        }
        loop {
            let now = self.timeline.wall();
            let Some((id, name)) = self.process.as_mut().and_then(|process| process.wheel.pop(now)) else {
                break;
            };
            match name {
                TimerName::Start => {
                    let release = Release { tenant: tenant(), execution: id, at: now };
                    self.submit(Command::Release(release), Receipt::Release(id));
                }
                TimerName::Machine(timer) => self.fire(id, timer),
            }
            if self.crashes_here() {
                return;
            }
        }
        self.arm();
    }

    fn fire(&mut self, id: ExecutionId, timer: TimerKey) {
        let message = Message::new(id, Event::TimerFired { timer });
        if hits(&mut self.rng, self.weather.duplicate) {
            let after = self.rng.u64(..=self.weather.late_ms_max);
            self.deliver_after(after, message.clone());
        }
        self.deliver(message);
    }

    /// Has the process woken when its first timer is due.
    pub(crate) fn arm(&mut self) {
        let (now_ms, wall) = (self.timeline.now_ms(), self.timeline.wall());
        let Some(process) = &mut self.process else { return };
        let Some(due) = process.wheel.next() else { return };
        let after = u64::try_from(due.since(wall).as_millis()).unwrap_or(u64::MAX);
        let at_ms = now_ms.saturating_add(after);
        if process.woken_at_ms.is_none_or(|earlier| at_ms < earlier) {
            process.woken_at_ms = Some(at_ms);
            self.later(after, Occurrence::Wake { life: self.life });
        }
    }
}

fn is_stored_timer(effect: &flux_model::Effect) -> bool {
    matches!(effect, flux_model::Effect::SetTimer { key, .. } if key.is_durable())
}
