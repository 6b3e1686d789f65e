//! Admission: an execution is accepted in one command that holds its terms, its first step and its
//! input in case it has to wait.

use flux_core::admission::{Terms, terms};
use flux_core::session::{Commit, Session};
use flux_model::error::Failure;
use flux_model::event::Event;
use flux_model::{ErrorCode, ExecutionId, ExecutionKind};
use flux_store::executions::Parent;
use flux_store::{Accept, Command, Held, NewExecution, Outcome, TimerName};

use super::deliver::apply_all;
use super::{Ack, Applicant, Live, Message, Receipt, Tail, input_of};
use crate::checks::acknowledged::Told;
use crate::disk::tenant;
use crate::stored;
use crate::violation::Violation;
use crate::weather::hits;
use crate::world::World;

/// Of a thousand admissions, those that come with their first step.
const FIRST_STEP_PER_MILLE: u32 = 700;

/// An execution that somebody asks for.
pub(crate) struct Admission {
    pub(crate) id: ExecutionId,
    pub(crate) flow: String,
    /// How it starts.
    pub(crate) started: Event,
    pub(crate) parent: Option<Parent>,
    pub(crate) depth: u32,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) applicant: Applicant,
}

/// An admission that is being written.
pub(crate) struct Admitting {
    admission: Admission,
    /// The session after its first step.
    session: Option<(Session, Tail)>,
    debounced: bool,
}

impl World {
    /// Asks the store to admit an execution.
    pub(crate) fn admit(&mut self, admission: Admission) {
        let now = self.timeline.wall();
        let plan = self.plans[&admission.flow].clone();
        let mut terms = match terms(&plan, now, &input_of(&admission.started)) {
            Ok(terms) => terms,
            Err(failure) => return self.turn_away(&admission.applicant, failure),
        };
        if admission.parent.is_some() {
            // A child has its own id, which its parent waits for; it cannot become another execution.
            terms.debounce = None;
        }
        let debounced = terms.debounce.is_some();
        let mut session = Session::new(plan, admission.id);
        apply_all(&mut session, now, admission.started.clone());
        let with_first = hits(&mut self.rng, FIRST_STEP_PER_MILLE);
        let first = session.flush().filter(|_| with_first);
        let accept = self.accept(&admission, terms, first.as_ref());
        let session = first.map(|commit| (session, Tail::of(commit, Vec::new())));
        if let Some(process) = &mut self.process {
            process.admitting.insert(admission.id);
        }
        let admitting = Admitting { admission, session, debounced };
        self.submit(Command::Accept(Box::new(accept)), Receipt::Accept(Box::new(admitting)));
    }

    fn accept(&mut self, admission: &Admission, terms: Terms, first: Option<&Commit>) -> Accept {
        let now = self.timeline.wall();
        let input = input_of(&admission.started);
        let execution = NewExecution {
            id: admission.id,
            tenant: tenant(),
            kind: ExecutionKind::Flow,
            flow: admission.flow.clone(),
            version: self.plans[&admission.flow].id().to_owned(),
            trigger: "api".to_owned(),
            request_id: String::new(),
            parent: admission.parent.clone(),
            depth: admission.depth,
            priority: terms.priority,
            input: stored::summary(&input.to_json()),
        };
        let bytes = serde_json::to_vec(&admission.started).unwrap_or_default();
        Accept {
            execution,
            idempotency_key: admission.idempotency_key.clone(),
            debounce: terms.debounce,
            rate: terms.rate,
            concurrency: terms.concurrency,
            first: first.map(|commit| stored::step(commit, now, &mut self.disk.objects)),
            held: Some(Held { bytes, objects: Vec::new() }),
            at: now,
        }
    }

    /// The store decided on an admission.
    pub(super) fn accepted(&mut self, admitting: Admitting, outcome: Outcome) {
        let Admitting { admission, session, debounced } = admitting;
        let id = admission.id;
        if let Some(process) = &mut self.process {
            process.admitting.remove(&id);
        }
        self.tell(format_args!("{id} ({}) is asked for: {outcome:?}", admission.flow));
        let input = (!debounced).then(|| input_of(&admission.started));
        match outcome {
            Outcome::Started { cancel } => {
                self.welcome(&admission.applicant, id, input);
                self.start_admitted(id, session);
                self.make_room(cancel);
            }
            Outcome::Queued { starts_at } => {
                self.expect_start(id, starts_at);
                self.welcome(&admission.applicant, id, input);
            }
            Outcome::Debounced { execution, starts_at } => {
                self.expect_start(execution, Some(starts_at));
                self.welcome(&admission.applicant, execution, None);
            }
            Outcome::Duplicate { execution } => {
                self.welcome(&admission.applicant, execution, None);
                self.tell_of_end(&admission.applicant, execution);
            }
            Outcome::RateLimited { retry_after } => {
                let mut failure = Failure::retryable(ErrorCode::RateLimited, "too many");
                failure.retry_after_ms = u64::try_from(retry_after.as_millis()).ok();
                self.turn_away(&admission.applicant, failure);
            }
            Outcome::Dropped => {
                let failure = Failure::retryable(ErrorCode::ConcurrencyDropped, "too many at once");
                self.turn_away(&admission.applicant, failure);
            }
            other @ (Outcome::Appended { .. }
            | Outcome::Conflict { .. }
            | Outcome::WrongStatus { .. }
            | Outcome::ReviewConflict { .. }
            | Outcome::NotDue { .. }
            | Outcome::Promoted { .. }
            | Outcome::Deleted { .. }
            | Outcome::Saved { .. }
            | Outcome::Published { .. }
            | Outcome::Stale { .. }
            | Outcome::Done
            | Outcome::NotFound
            | Outcome::Exists
            | Outcome::Refused(_)) => {
                self.fail(Violation::new("driver", format!("{id}: the admission gave {other:?}")));
            }
        }
    }

    fn start_admitted(&mut self, id: ExecutionId, session: Option<(Session, Tail)>) {
        let Some((session, tail)) = session else { return self.begin(id) };
        let live = Live { session, in_flight: Some(tail), acks: Vec::new(), resume: Vec::new() };
        if let Some(process) = &mut self.process {
            process.live.insert(id, live);
        }
        self.committed(id);
    }

    /// The end of a debounce was written.
    pub(super) fn released(&mut self, id: ExecutionId, outcome: Outcome) {
        self.tell(format_args!("{id} is released: {outcome:?}"));
        // What else can come says that the execution began or ended already.
        if let Outcome::Started { cancel } = outcome {
            self.begin(id);
            self.make_room(cancel);
        } else if let Outcome::NotDue { starts_at } = outcome {
            self.expect_start(id, Some(starts_at));
        } else if outcome == Outcome::Dropped {
            let reason = "the concurrency limit is reached".to_owned();
            self.send(Message::new(id, Event::CancelRequested { reason }));
        }
    }

    fn expect_start(&mut self, id: ExecutionId, starts_at: Option<flux_model::Timestamp>) {
        if let (Some(due), Some(process)) = (starts_at, &mut self.process) {
            process.wheel.set(id, TimerName::Start, due);
        }
        self.arm();
    }

    /// The oldest executions of a key make room for a new one.
    pub(super) fn make_room(&mut self, cancel: Vec<ExecutionId>) {
        for id in cancel {
            let reason = "a newer execution takes its place".to_owned();
            self.send(Message::new(id, Event::CancelRequested { reason }));
        }
    }

    /// Tells the applicant that the execution is accepted.
    fn welcome(&mut self, applicant: &Applicant, id: ExecutionId, input: Option<flux_model::Value>) {
        match applicant {
            Applicant::Client { request } => {
                self.fulfil(id, Ack::Client { request: *request, told: Told::Started { input } });
            }
            Applicant::Node { from, path, wait, .. } => {
                let event = Event::ChildStarted { path: path.clone(), child: id };
                let ack = if *wait { Ack::Child { child: id } } else { Ack::Nobody };
                self.send(Message { to: *from, event, ack });
            }
        }
    }

    /// A child that was accepted before may be over already, and nobody will say so again.
    fn tell_of_end(&mut self, applicant: &Applicant, child: ExecutionId) {
        let Applicant::Node { from, path, wait: true, .. } = applicant else { return };
        let Some(row) = self.disk.row(child).filter(|row| row.status.is_terminal()) else { return };
        let result = self.fold(&row).and_then(|session| session.state().result().cloned());
        if let Some(result) = result {
            self.send(Message::ended(*from, path.clone(), child, result));
        }
    }

    /// Tells the applicant that there will be no execution.
    pub(super) fn turn_away(&mut self, applicant: &Applicant, failure: Failure) {
        match applicant {
            Applicant::Client { request } => self.dismiss(*request),
            Applicant::Node { from, path, attempt, .. } => {
                self.send(Message::failed(*from, path.clone(), *attempt, failure));
            }
        }
    }
}
