//! What a durable commit asks for is done, in order.

use flux_model::effect::{ChildCall, Effect};
use flux_model::error::Failure;
use flux_model::event::{Event, TaskOutput};
use flux_model::execution::ExecutionStatus;
use flux_model::limits::CALL_DEPTH_MAX;
use flux_model::{ErrorCode, ExecutionId, Value};
use flux_store::executions::Parent;

use super::deliver::brief_effect;
use super::{Ack, Admission, Applicant, Message};
use crate::checks::acknowledged::Told;
use crate::violation::Violation;
use crate::weather::hits;
use crate::world::World;

impl World {
    /// Carries out effects whose commit is durable. The process may die after any of them.
    pub(super) fn carry_out(&mut self, id: ExecutionId, effects: Vec<Effect>) {
        for effect in effects {
            if self.crashes_here() || self.process.is_none() {
                return;
            }
            self.perform(id, effect);
        }
    }

    fn perform(&mut self, id: ExecutionId, effect: Effect) {
        self.tell(format_args!("{id} effect: {}", brief_effect(&effect)));
        self.check_durable(id, &effect);
        match effect {
            Effect::Run(call) => self.start_task(id, call),
            Effect::Abort { path, attempt } => {
                if hits(&mut self.rng, 600) {
                    let failure = Failure::permanent(ErrorCode::Cancelled, "stopped as asked");
                    self.send(Message::failed(id, path, attempt, failure));
                }
            }
            Effect::SetTimer { key, at } => {
                let after = at.since(self.timeline.wall());
                let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                let message = Message::new(id, Event::TimerFired { timer: key });
                self.deliver_after(after, message);
            }
            Effect::StartChild(call) => self.start_child(id, call),
            Effect::CancelChild { child } => self.cancel_child(child),
            Effect::SendSignal { path, attempt, to, name, payload } => {
                // The same for every attempt: a repetition is one signal.
                let event = Event::Signalled { name, payload, id: format!("{id}/{path}") };
                if self.disk.row(to).is_none_or(|row| !is_begun(row.status)) {
                    let failure = Failure::permanent(ErrorCode::NotFound, "nobody is there to be signalled");
                    self.send(Message::failed(id, path, attempt, failure));
                } else {
                    self.send(Message { to, event, ack: Ack::Sender { from: id, path, attempt } });
                }
            }
            Effect::Respond(response) => self.told.push((id, Told::Answered { response })),
            Effect::Finish(result) => {
                self.told.push((id, Told::Ended { result: result.clone() }));
                if let Some(Parent { execution, path, .. }) = self.disk.row(id).and_then(|row| row.parent) {
                    self.send(Message::ended(execution, path, id, result));
                }
            }
            Effect::Record(_)
            | Effect::OpenReview(_)
            | Effect::CloseReview { .. }
            | Effect::ClearTimer { .. } => {}
        }
    }

    /// What is durable asks for what is about to be done.
    fn check_durable(&mut self, id: ExecutionId, effect: &Effect) {
        let Some(follower) = self.disk.follower(id) else {
            let what = format!("{id}: {} is done, nothing is durable", brief_effect(effect));
            return self.fail(Violation::new("effects", what));
        };
        let asked = match effect {
            // Checked where it reaches the outside.
            Effect::Run(_) => true,
            Effect::StartChild(_) | Effect::SendSignal { .. } => follower.asks_for(effect),
            Effect::Respond(response) => follower.state().response() == Some(response),
            Effect::Finish(result) => follower.state().result() == Some(result),
            Effect::Record(_)
            | Effect::Abort { .. }
            | Effect::SetTimer { .. }
            | Effect::ClearTimer { .. }
            | Effect::OpenReview(_)
            | Effect::CloseReview { .. }
            | Effect::CancelChild { .. } => true,
        };
        if !asked {
            let what = format!("{id}: {} is done before it is durable", brief_effect(effect));
            self.fail(Violation::new("effects", what));
        }
    }

    fn start_child(&mut self, id: ExecutionId, call: ChildCall) {
        let applicant =
            Applicant::Node { from: id, path: call.path.clone(), attempt: call.attempt, wait: call.wait };
        let depth = self.disk.row(id).map_or(0, |row| row.depth) + 1;
        if depth > CALL_DEPTH_MAX {
            let failure = Failure::permanent(ErrorCode::CallDepth, "calls are nested too deep");
            return self.turn_away(&applicant, failure);
        }
        if !self.plans.contains_key(&call.flow) {
            let failure = Failure::permanent(ErrorCode::FlowNotFound, "there is no such flow");
            return self.turn_away(&applicant, failure);
        }
        self.admit(Admission {
            id: call.child,
            flow: call.flow,
            started: Event::Started { input: call.input, recorded: None },
            parent: Some(Parent { execution: id, path: call.path, awaited: call.wait }),
            depth,
            idempotency_key: None,
            applicant,
        });
    }

    pub(super) fn cancel_child(&mut self, child: ExecutionId) {
        let reason = "its parent does not wait for it any more".to_owned();
        self.send(Message::new(child, Event::CancelRequested { reason }));
    }

    /// Somebody who waited is told that what they asked for is durable.
    pub(crate) fn fulfil(&mut self, id: ExecutionId, ack: Ack) {
        if self.process.is_none() {
            return;
        }
        match ack {
            Ack::Nobody | Ack::Child { .. } => {}
            Ack::Client { request, told } => {
                self.tell(format_args!("request {request} is acknowledged: {id}"));
                self.dismiss(request);
                self.told.push((id, told));
            }
            Ack::Sender { from, path, attempt } => {
                let result = Ok(TaskOutput::main(Value::Null));
                self.send(Message::new(from, Event::Completed { path, attempt, result }));
            }
        }
    }

    /// An event changed nothing, or found nobody.
    pub(super) fn refuse(&mut self, message: &Message) {
        match &message.ack {
            Ack::Nobody => {}
            Ack::Client { request, .. } => self.dismiss(*request),
            Ack::Sender { from, path, attempt } => {
                let failure = Failure::permanent(ErrorCode::NotFound, "nobody is there to be signalled");
                self.send(Message::failed(*from, path.clone(), *attempt, failure));
            }
            Ack::Child { child } => {
                // A repetition is ignored too, while the parent waits for the child.
                if !self.live(message.to).is_some_and(|live| live.session.state().awaits(*child)) {
                    self.cancel_child(*child);
                }
            }
        }
    }
}

const fn is_begun(status: ExecutionStatus) -> bool {
    match status {
        ExecutionStatus::Running | ExecutionStatus::Waiting => true,
        ExecutionStatus::Queued
        | ExecutionStatus::Succeeded
        | ExecutionStatus::Failed
        | ExecutionStatus::Cancelled => false,
    }
}
