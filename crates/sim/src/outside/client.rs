//! Requests from outside. A client that loses contact asks again, as real ones do: with the same
//! idempotency key, signal id or review version.

use flux_core::session::Session;
use flux_model::event::{Event, Recorded};
use flux_model::review::{Decision, ReviewStatus};
use flux_model::{ExecutionId, NodePath, ReviewId, Value};

use crate::checks::acknowledged::Told;
use crate::disk::tenant;
use crate::driver::{Ack, Admission, Applicant, Message};
use crate::weather::hits;
use crate::world::{Occurrence, World};

/// How often a client asks before it gives up.
const TRIES_MAX: u32 = 6;
/// Longest pause before a client asks again, in milliseconds.
const PAUSE_MS_MAX: u64 = 2_000;

/// A request and how far it came.
pub(crate) struct Request {
    ask: Ask,
    tries: u32,
    state: RequestState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RequestState {
    /// Not sent, or the contact was lost.
    Open,
    /// Sent, not answered.
    Sent,
    /// Answered, or given up.
    Closed,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Start { flow: String, input: Value, recorded: Option<Recorded>, idempotency_key: Option<String> },
    Decide { review: ReviewId, decision: Decision },
    Signal { to: ExecutionId, name: String, payload: Value, signal: String },
    Cancel { id: ExecutionId },
}

impl World {
    /// Has somebody ask for something, some time from now; perhaps twice.
    pub(crate) fn plan_request(&mut self, after_ms: u64, ask: Ask) {
        let number = self.requests.len();
        self.requests.push(Request { ask, tries: 0, state: RequestState::Open });
        self.later(after_ms, Occurrence::Ask(number));
        if hits(&mut self.rng, self.weather.duplicate) {
            let again = after_ms + self.rng.u64(..100);
            self.later(again, Occurrence::Ask(number));
        }
    }

    /// A client asks.
    pub(crate) fn ask(&mut self, number: usize) {
        let request = &mut self.requests[number];
        if request.state == RequestState::Closed {
            return;
        }
        request.tries += 1;
        if request.tries > TRIES_MAX {
            request.state = RequestState::Closed;
            return;
        }
        if self.process.is_none() {
            self.ask_again(number);
            return;
        }
        request.state = RequestState::Sent;
        let ask = request.ask.clone();
        match ask {
            Ask::Start { flow, input, recorded, idempotency_key } => {
                let id = ExecutionId::new(self.timeline.wall(), self.rng.u128(..));
                self.admit(Admission {
                    id,
                    flow,
                    started: Event::Started { input, recorded },
                    parent: None,
                    depth: 0,
                    idempotency_key,
                    applicant: Applicant::Client { request: number },
                });
            }
            Ask::Decide { review, decision } => self.ask_decision(number, review, decision),
            Ask::Signal { to, name, payload, signal } => {
                let told = Told::Signalled { signal: signal.clone() };
                let event = Event::Signalled { name, payload, id: signal };
                self.deliver(Message { to, event, ack: Ack::Client { request: number, told } });
            }
            Ask::Cancel { id } => {
                let event = Event::CancelRequested { reason: "somebody asked".to_owned() };
                let ack = Ack::Client { request: number, told: Told::Cancelled };
                self.deliver(Message { to: id, event, ack });
            }
        }
    }

    fn ask_decision(&mut self, number: usize, review: ReviewId, decision: Decision) {
        let row = self.disk.store().review(tenant(), review).ok().flatten();
        match row {
            Some(row) if row.status == ReviewStatus::Pending => {
                let path: NodePath = row.request.path;
                let told = Told::Decided { path: path.clone(), decision: decision.clone() };
                let event = Event::Decided { path, decision };
                self.deliver(Message {
                    to: row.execution,
                    event,
                    ack: Ack::Client { request: number, told },
                });
            }
            Some(row) if row.decision.as_ref() == Some(&decision) => {
                let told = Told::Decided { path: row.request.path, decision };
                self.fulfil(row.execution, Ack::Client { request: number, told });
            }
            Some(_) | None => self.dismiss(number),
        }
    }

    /// The request is answered, whatever the answer is.
    pub(crate) fn dismiss(&mut self, number: usize) {
        if self.process.is_some() {
            self.requests[number].state = RequestState::Closed;
        }
    }

    /// The process died: whoever waits for an answer asks again later, or gives up.
    pub(crate) fn clients_lose_contact(&mut self) {
        for number in 0..self.requests.len() {
            if self.requests[number].state == RequestState::Sent {
                self.requests[number].state = RequestState::Open;
                if hits(&mut self.rng, 900) {
                    self.ask_again(number);
                } else {
                    self.requests[number].state = RequestState::Closed;
                }
            }
        }
    }

    fn ask_again(&mut self, number: usize) {
        let after = self.rng.u64(..PAUSE_MS_MAX);
        self.later(after, Occurrence::Ask(number));
    }

    /// What a rerun of an execution from a node of its flow takes over.
    pub(crate) fn recorded(&mut self, session: &Session, from_node: &str) -> Recorded {
        let state = session.state();
        Recorded {
            execution: state.id(),
            from_node: from_node.to_owned(),
            outputs: state.outputs_before(from_node).into_iter().collect(),
        }
    }
}
