//! Carrying out what the machine asked for.

use flux_model::effect::{Effect, TaskCall};
use flux_model::event::TimerKey;
use flux_store::{Timer, TimerName};
use tokio_util::sync::CancellationToken;

use super::Owner;
use crate::children;
use crate::shared::Phase;
use crate::work::{self, Signal};

impl Owner {
    /// Does what the machine asked for. Everything it depends on is durable.
    pub(super) fn carry_out(&mut self, effect: Effect) {
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
                children::disown(&self.shared, self.facts.tenant, child, self.facts.id);
            }
            Effect::SetTimer { key: TimerKey::CancelGrace, at } => {
                self.grace = Some(self.shared.lasting.clock.monotonic() + at.since(self.shared.now()));
            }
            Effect::ClearTimer { key: TimerKey::CancelGrace } => self.grace = None,
            Effect::SetTimer { key, at } => {
                let timer = Timer { name: TimerName::Machine(key), due: at };
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

    pub(super) fn run_task(&mut self, call: TaskCall) {
        let place = (call.path.clone(), call.attempt);
        let cancel = CancellationToken::new();
        let due = self.shared.lasting.clock.monotonic() + call.timeout;
        let work = work::attempt(&self.shared, &self.facts, call, cancel.clone());
        self.flight.begin(place, cancel, Some(due), work);
    }
}
