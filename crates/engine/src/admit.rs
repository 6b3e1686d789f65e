//! Admission: the one way in, whatever starts an execution.
//!
//! The first step is computed before the execution is accepted and written together with it, so a
//! flow that answers at once costs one commit. Whether the flow's limits allow it is decided by the
//! store, in the same transaction.

use std::sync::Arc;

use flux_core::admission::{Terms, terms};
use flux_core::session::Session;
use flux_model::Timestamp;
use flux_model::admission::DebounceRule;
use flux_model::effect::Effect;
use flux_model::event::Event;
use flux_model::execution::ExecutionStatus;
use flux_model::flow::Overflow;
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::limits::CALL_DEPTH_MAX;
use flux_store::{Accept, Command, Health, NewExecution, Outcome, Refusal, Timer, TimerName, WriteError};
use tokio::sync::oneshot;

use crate::admission::{Admission, Admitted, AdmittedAs, FlowRef, TriggerKind, Until};
use crate::children;
use crate::commit::{Prepared, prepare, summary};
use crate::error::AdmissionError;
use crate::events::Change;
use crate::journal::hold;
use crate::load::replaced;
use crate::owner::{Begun, own_begun};
use crate::owners::{Released, Slot};
use crate::plans::Version;
use crate::pure::{settle, too_large};
use crate::shared::{Facts, Phase, Shared};
use crate::values::{self, PutError};
use crate::waiters::Waiter;

/// Accepts an execution; durable when it returns. With `until`, the caller is registered to wait
/// before anything can happen to it.
pub(crate) async fn admit(
    shared: &Arc<Shared>,
    admission: Admission,
    until: Option<Until>,
) -> Result<(Admitted, Option<Waiter>), AdmissionError> {
    let admitted = try_admit(shared, admission, until).await;
    let counters = &shared.lasting.counters;
    match &admitted {
        Ok(_) => counters.admitted.add(1),
        Err(_) => counters.refused.add(1),
    }
    admitted
}

async fn try_admit(
    shared: &Arc<Shared>,
    admission: Admission,
    until: Option<Until>,
) -> Result<(Admitted, Option<Waiter>), AdmissionError> {
    // Who cancels a child must find it, even before it is stored.
    let mut place = Place::new(shared);
    if let Some(call) = &admission.call {
        place.take(admission.tenant, call.child);
    }
    let request = Request::of(shared, &admission).await?;
    let id = request.id;
    let waiter = until.map(|until| shared.waiters.register(id, until));
    let (reply, answer) = oneshot::channel();
    // In a task of its own, which becomes the owner: a caller who goes away must not take along an
    // execution that is accepted already.
    shared.tasks.spawn(async move {
        let (admitted, begun) = match request.submit(admission, place).await {
            Ok((admitted, begun)) => (Ok(admitted), begun),
            Err(error) => (Err(error), None),
        };
        // Nobody waits any more if the receiver is gone.
        let _ = reply.send(admitted);
        if let Some(took) = begun {
            took.run().await;
        }
    });
    let gone = |_| Err(AdmissionError::Internal { reason: "the task that accepts it ended".to_owned() });
    let admitted = answer.await.unwrap_or_else(gone)?;
    Ok((admitted, waiter.filter(|_| admitted.id == id)))
}

impl Shared {
    /// Whether there is room for one more. What running executions ask for is never refused: it
    /// belongs to work that was accepted.
    fn check_open(&self, admission: &Admission) -> Result<(), AdmissionError> {
        let settings = &self.lasting.settings;
        let retry_after = settings.retry_after;
        if self.phase() != Phase::Working {
            return Err(AdmissionError::Stopping { retry_after });
        }
        if let Health::Failed(error) = self.writer.health() {
            return Err(error.into());
        }
        let overloaded = |what, measured, max, setting| {
            Err(AdmissionError::Overloaded { what, measured, max, setting, retry_after })
        };
        match &admission.call {
            Some(call) if call.depth > CALL_DEPTH_MAX => {
                Err(AdmissionError::CallDepth { depth: call.depth, max: CALL_DEPTH_MAX })
            }
            Some(_) => Ok(()),
            None if self.owners.len() >= settings.running_max => {
                overloaded("executions run", self.owners.len(), settings.running_max, "running_max")
            }
            None if self.writer.waiting() >= settings.admission_pending_max => overloaded(
                "writes are pending",
                self.writer.waiting(),
                settings.admission_pending_max,
                "admission_pending_max",
            ),
            None => Ok(()),
        }
    }
}

async fn find(shared: &Shared, admission: &Admission) -> Result<Arc<Version>, AdmissionError> {
    let (plans, reader, tenant) = (&shared.plans, &shared.reader, admission.tenant);
    match &admission.flow {
        FlowRef::Active(name) => plans.active(reader, tenant, name).await,
        FlowRef::Version { name, hash } => plans.version(reader, tenant, name, hash).await,
    }
}

fn check_input(version: &Version, admission: &Admission) -> Result<(), AdmissionError> {
    if let Some(message) = too_large("the input", &admission.input) {
        return Err(AdmissionError::InputInvalid { message });
    }
    // A rerun repeats an input that was accepted before.
    if admission.trigger == TriggerKind::Rerun {
        return Ok(());
    }
    let Some(manual) = &version.manual else { return Ok(()) };
    manual.check(&admission.input).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        AdmissionError::InputInvalid { message: errors.join("; ") }
    })
}

/// An admission whose flow, id and terms are known.
pub(crate) struct Request {
    pub(crate) shared: Arc<Shared>,
    pub(crate) version: Arc<Version>,
    rules: Terms,
    pub(crate) id: ExecutionId,
    pub(crate) now: Timestamp,
}

/// The first step, computed as if the execution ran at once.
pub(crate) struct First {
    pub(crate) session: Session,
    pub(crate) prepared: Prepared,
}

/// An execution that goes on, with the place of its owner.
pub(crate) struct Took {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    begun: Begun,
}

impl Took {
    pub(crate) async fn run(self) {
        own_begun(self.shared, self.slot, self.begun).await;
    }
}

impl Request {
    /// Looks up what is asked for, and whether it may be.
    pub(crate) async fn of(shared: &Arc<Shared>, admission: &Admission) -> Result<Self, AdmissionError> {
        shared.check_open(admission)?;
        let version = find(shared, admission).await?;
        check_input(&version, admission)?;
        let now = shared.now();
        let rules = terms(&version.plan, now, &admission.input).map_err(AdmissionError::Terms)?;
        let id = admission.call.as_ref().map_or_else(|| shared.new_id(), |call| call.child);
        Ok(Self { shared: Arc::clone(shared), version, rules, id, now })
    }

    async fn submit(
        self,
        admission: Admission,
        place: Place,
    ) -> Result<(Admitted, Option<Took>), AdmissionError> {
        let source = if admission.call.is_some() { Source::Inside } else { Source::Outside };
        let facts = Arc::new(self.facts(&admission));
        let mut accept = self.accept(&admission);
        let started = Event::Started { input: admission.input, recorded: admission.recorded };
        let mut taken = Vec::new();
        let concurrency = accept.concurrency.as_ref();
        let queues = concurrency.is_some_and(|rule| rule.overflow == Overflow::Queue);
        if queues || accept.debounce.is_some() {
            let (held, objects) = hold(started.clone(), self.now);
            accept.held = Some(held);
            taken = objects;
        }
        let first = accept.debounce.is_none().then(|| self.first(started));
        self.store(accept, first, taken, (facts, place, source)).await
    }

    /// Stores the execution with its first step and the values that are kept in objects.
    pub(crate) async fn store(
        self,
        mut accept: Accept,
        mut first: Option<First>,
        mut taken: Vec<(String, String)>,
        (facts, mut place, source): (Arc<Facts>, Place, Source),
    ) -> Result<(Admitted, Option<Took>), AdmissionError> {
        let (shared, tenant) = (Arc::clone(&self.shared), facts.tenant);
        if let Some(first) = &mut first {
            taken.append(&mut first.prepared.taken);
            accept.first = Some(std::mem::take(&mut first.prepared.step));
        }
        let timers = accept.first.as_ref().map_or_else(Vec::new, |step| step.set_timers.clone());
        self.put(tenant, taken).await?;
        // An execution that goes on has its owner's place before anybody can see it.
        if first.as_ref().is_some_and(|first| first.prepared.status == ExecutionStatus::Running) {
            place.take(tenant, self.id);
        }
        let outcome = submit(&shared, Command::Accept(Box::new(accept)), source).await?;
        let Outcome::Started { cancel } = outcome else {
            return Ok((self.not_started(&facts, outcome)?, None));
        };
        for older in cancel {
            children::cancel(&shared, tenant, older, replaced(self.id));
        }
        shared.timers.changed(tenant, self.id, timers, &[]);
        let took = match first {
            Some(first) => go_on(facts, first, place).await,
            None => None,
        };
        Ok((Admitted { id: self.id, outcome: AdmittedAs::Started }, took))
    }

    async fn put(&self, tenant: Tenant, taken: Vec<(String, String)>) -> Result<(), AdmissionError> {
        values::put(&self.shared.lasting.objects, tenant, taken).await.map_err(|error| match error {
            PutError::TooLarge(reason) => self.too_large(reason),
            PutError::Unavailable(error) => error.into(),
        })
    }

    fn too_large(&self, reason: String) -> AdmissionError {
        AdmissionError::TooLarge { flow: self.version.name.to_string(), reason }
    }

    pub(crate) fn facts(&self, admission: &Admission) -> Facts {
        Facts {
            tenant: admission.tenant,
            id: self.id,
            flow: Arc::clone(&self.version.name),
            request_id: admission.request_id.clone(),
            parent: admission.call.as_ref().map(|call| call.parent.clone()),
            depth: admission.call.as_ref().map_or(0, |call| call.depth),
        }
    }

    pub(crate) fn accept(&self, admission: &Admission) -> Accept {
        let rules = self.rules.clone();
        Accept {
            execution: NewExecution {
                id: self.id,
                tenant: admission.tenant,
                kind: self.version.kind,
                flow: self.version.name.to_string(),
                version: self.version.hash.to_string(),
                trigger: admission.trigger.as_str().to_owned(),
                request_id: admission.request_id.clone(),
                parent: admission.call.as_ref().map(|call| call.parent.clone()),
                depth: admission.call.as_ref().map_or(0, |call| call.depth),
                priority: rules.priority,
                input: summary(&admission.input),
            },
            idempotency_key: admission.idempotency_key.clone(),
            debounce: self.start_later(admission),
            rate: rules.rate,
            concurrency: rules.concurrency.or_else(|| admission.concurrency.clone()),
            first: None,
            held: None,
            at: self.now,
        }
    }

    /// A delay is a debounce that nothing else can join.
    fn start_later(&self, admission: &Admission) -> Option<DebounceRule> {
        if let Some(period) = admission.delay {
            return Some(DebounceRule { key: format!("delay/{}", self.id), period, longest: None });
        }
        // A caller waits for the execution it asked for, not for a later one.
        self.rules.debounce.clone().filter(|_| admission.call.is_none())
    }

    fn first(&self, started: Event) -> First {
        let mut session = Session::new(Arc::clone(&self.version.plan), self.id);
        let settled = settle(&mut session, &self.shared.lasting.registry, self.now, started);
        let commit = session.flush().expect("`Started` always changes an execution that has not begun");
        let mut prepared = prepare(commit, None, self.now, self.shared.followed());
        prepared.then.extend(settled.heavy.into_iter().map(Effect::Run));
        First { session, prepared }
    }

    /// What became of an execution that does not run now.
    fn not_started(self, facts: &Facts, outcome: Outcome) -> Result<Admitted, AdmissionError> {
        let flow = || self.version.name.to_string();
        match outcome {
            Outcome::Queued { starts_at } => {
                self.start_at(facts.tenant, self.id, starts_at);
                self.shared.tell(facts, vec![Change::Execution { status: ExecutionStatus::Queued }]);
                Ok(Admitted { id: self.id, outcome: AdmittedAs::Queued { starts_at } })
            }
            Outcome::Debounced { execution, starts_at } => {
                self.start_at(facts.tenant, execution, Some(starts_at));
                Ok(Admitted { id: execution, outcome: AdmittedAs::Debounced { starts_at } })
            }
            Outcome::Duplicate { execution } => {
                Ok(Admitted { id: execution, outcome: AdmittedAs::Duplicate })
            }
            Outcome::RateLimited { retry_after } => {
                Err(AdmissionError::RateLimited { flow: flow(), retry_after })
            }
            Outcome::Dropped => Err(AdmissionError::ConcurrencyDropped { flow: flow() }),
            Outcome::Refused(refusal @ Refusal::TooLarge { .. }) => Err(self.too_large(refusal.to_string())),
            Outcome::Refused(_)
            | Outcome::Started { .. }
            | Outcome::Appended { .. }
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
            | Outcome::Exists => {
                Err(AdmissionError::Internal { reason: format!("the store answered {outcome:?}") })
            }
        }
    }

    fn start_at(&self, tenant: Tenant, id: ExecutionId, starts_at: Option<Timestamp>) {
        let timers = starts_at.map(|due| Timer { name: TimerName::Start, due }).into_iter().collect();
        self.shared.timers.changed(tenant, id, timers, &[]);
    }
}

/// The place of an owner, if it was free; free again if none comes to it.
pub(crate) struct Place {
    shared: Arc<Shared>,
    slot: Option<Arc<Slot>>,
}

impl Place {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), slot: None }
    }

    fn take(&mut self, tenant: Tenant, id: ExecutionId) {
        if self.slot.is_none() {
            self.slot = self.shared.owners.reserve(tenant, id);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take()
            && self.shared.owners.release(&slot) == Released::Not
        {
            // Somebody has something to say to the execution: an owner reads it.
            self.shared.own(slot);
        }
    }
}

/// Tells what the first step came to; gives the execution to own if it goes on.
async fn go_on(facts: Arc<Facts>, first: First, mut place: Place) -> Option<Took> {
    let First { session, prepared } = first;
    let shared = Arc::clone(&place.shared);
    shared.lasting.counters.commits.add(1);
    shared.tell(&facts, prepared.changes);
    if prepared.status == ExecutionStatus::Running
        && let Some(slot) = place.slot.take()
    {
        let (stored, journal_bytes) = (prepared.status, prepared.bytes);
        let begun = Begun { facts, session, stored, journal_bytes, then: prepared.then };
        return Some(Took { shared, slot, begun });
    }
    for effect in prepared.then {
        if let Effect::Respond(response) = effect {
            shared.waiters.responded(facts.id, &response);
        }
    }
    if let Some(result) = session.state().result().cloned() {
        shared.over(&facts, result).await;
    }
    None
}

/// Who asks for an execution.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Somebody who can be told to come back later.
    Outside,
    /// An execution that was accepted, and waits its turn.
    Inside,
}

async fn submit(shared: &Shared, command: Command, source: Source) -> Result<Outcome, AdmissionError> {
    let written = match source {
        Source::Outside => match shared.writer.try_submit(command) {
            Ok(pending) => pending.outcome().await,
            Err(error) => Err(error),
        },
        Source::Inside => shared.writer.submit(command).await,
    };
    let retry_after = shared.lasting.settings.retry_after;
    written.map_err(|error| match error {
        WriteError::Full { waiting, max } => AdmissionError::Overloaded {
            what: "writes are pending",
            measured: waiting,
            max: max as usize,
            setting: "queue_commands_max",
            retry_after,
        },
        WriteError::Closed if shared.phase() != Phase::Working => AdmissionError::Stopping { retry_after },
        WriteError::Closed | WriteError::Store(_) => AdmissionError::Storage { reason: error.to_string() },
    })
}
