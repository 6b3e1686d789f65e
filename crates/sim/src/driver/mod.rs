//! The virtual driver: what the engine does with sessions, in one thread and virtual time.
//!
//! It follows the same rule as the engine, because both go through
//! [`flux_core::session::Session`]: what a commit asks for is done once the commit is durable, and
//! nobody is told anything before. Between any two of its actions the process may die.

mod admit;
mod deliver;
mod perform;
mod recover;
mod wheel;

use std::collections::{BTreeMap, BTreeSet};

use flux_core::session::{Commit, Session, TimerChange};
use flux_model::effect::Effect;
use flux_model::error::Failure;
use flux_model::event::Event;
use flux_model::execution::ExecutionResult;
use flux_model::{ExecutionId, NodePath, Value};

use crate::checks::acknowledged::Told;

pub(crate) use admit::Admission;
pub(crate) use wheel::Wheel;

/// The memory of one process; a crash drops it.
#[derive(Default)]
pub(crate) struct Process {
    live: BTreeMap<ExecutionId, Live>,
    /// Executions whose admission is being written.
    admitting: BTreeSet<ExecutionId>,
    wheel: Wheel,
    /// The virtual time at which the wheel is looked at next.
    woken_at_ms: Option<u64>,
}

/// An execution that the process has in memory.
struct Live {
    session: Session,
    in_flight: Option<Tail>,
    /// Who is to be told once the events applied so far are durable.
    acks: Vec<Ack>,
    /// What to ask for again, once the recovery is durable.
    resume: Vec<Effect>,
}

/// What to do once a commit is durable.
pub(crate) struct Tail {
    then: Vec<Effect>,
    timers: Vec<TimerChange>,
    acks: Vec<Ack>,
}

impl Tail {
    fn of(commit: Commit, acks: Vec<Ack>) -> Self {
        Self { then: commit.then, timers: commit.timers, acks }
    }
}

/// What a command was for.
pub(crate) enum Receipt {
    /// A commit of this execution.
    Append(ExecutionId),
    /// An admission.
    Accept(Box<admit::Admitting>),
    /// The end of a debounce.
    Release(ExecutionId),
}

/// Who waits to hear that an event counts.
#[derive(Debug, Clone)]
pub(crate) enum Ack {
    Nobody,
    /// A request from outside, and what it is told.
    Client {
        request: usize,
        told: Told,
    },
    /// The node that sent a signal.
    Sender {
        from: ExecutionId,
        path: NodePath,
        attempt: u32,
    },
    /// The admission of a child that is waited for: if nobody wants it any more, it must stop.
    Child {
        child: ExecutionId,
    },
}

/// Who asked for an execution.
#[derive(Debug, Clone)]
pub(crate) enum Applicant {
    Client { request: usize },
    Node { from: ExecutionId, path: NodePath, attempt: u32, wait: bool },
}

/// Something on its way to an execution.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) to: ExecutionId,
    pub(crate) event: Event,
    pub(crate) ack: Ack,
}

impl Message {
    pub(crate) fn new(to: ExecutionId, event: Event) -> Self {
        Self { to, event, ack: Ack::Nobody }
    }

    fn failed(to: ExecutionId, path: NodePath, attempt: u32, failure: Failure) -> Self {
        Self::new(to, Event::Completed { path, attempt, result: Err(failure) })
    }

    fn ended(to: ExecutionId, path: NodePath, child: ExecutionId, result: ExecutionResult) -> Self {
        Self::new(to, Event::ChildEnded { path, child, result })
    }
}

/// The input that was kept for an execution that did not start at once.
fn held_input(bytes: &[u8]) -> Option<Event> {
    serde_json::from_slice(bytes).ok()
}

fn input_of(event: &Event) -> Value {
    match event {
        Event::Started { input, .. } => input.clone(),
        Event::Completed { .. }
        | Event::TimerFired { .. }
        | Event::Decided { .. }
        | Event::Signalled { .. }
        | Event::ChildStarted { .. }
        | Event::ChildEnded { .. }
        | Event::CancelRequested { .. }
        | Event::LimitExceeded { .. }
        | Event::Recovered => Value::Null,
    }
}
