//! What people and programs do to executions: wait for them, decide, signal, cancel, run again.

use std::sync::Arc;
use std::time::Duration;

use flux_core::bounds::check_depth;
use flux_core::session::Session;
use flux_model::event::{Event, Recorded};
use flux_model::ids::{ExecutionId, ReviewId, Tenant};
use flux_model::journal::{Entry, JournalEvent};
use flux_model::review::{Decision, ReviewStatus};
use flux_model::{ErrorCode, ExecutionStatus, Value};
use flux_store::ExecutionRow;
use flux_store::reviews::ReviewRow;

use crate::admission::{Admission, Admitted, Answer, FlowRef, TriggerKind, Until, Waiting};
use crate::admit::admit;
use crate::error::{DecideError, EngineError};
use crate::journal::Journal;
use crate::owners::Taken;
use crate::pure::too_large;
use crate::shared::Shared;
use crate::waiters::Waiter;

/// A signal for an execution.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSent {
    /// Its name.
    pub name: String,
    /// What it carries.
    pub payload: Value,
    /// Two signals with the same id are one.
    pub id: String,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// It is part of the journal.
    Delivered,
    /// One of the same id was there before.
    Duplicate,
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The execution is over, or ends within the grace period of its nodes.
    Requested,
    /// It was over before.
    AlreadyOver(ExecutionStatus),
}

/// From where, and with which version, an execution is run again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rerun {
    /// The node to start from, taking over what was before it; from the trigger if absent.
    pub from_node: Option<String>,
    /// The trace of the new execution.
    pub request_id: String,
    /// Which version runs.
    pub version: RerunVersion,
}

/// Which version of the flow a rerun runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RerunVersion {
    /// The one that the earlier execution ran.
    #[default]
    Same,
    /// The one that is active now.
    Active,
}

pub(crate) async fn run(
    shared: &Arc<Shared>,
    admission: Admission,
    waiting: Waiting,
) -> Result<(Admitted, Answer), EngineError> {
    let tenant = admission.tenant;
    let (admitted, waiter) = admit(shared, admission, Some(waiting.until)).await?;
    let answer = match waiter {
        Some(waiter) => answer(shared, tenant, admitted.id, waiter, waiting.timeout).await?,
        // It joined an earlier execution, which may have answered already.
        None => wait(shared, tenant, admitted.id, waiting).await?,
    };
    Ok((admitted, answer))
}

pub(crate) async fn wait(
    shared: &Arc<Shared>,
    tenant: Tenant,
    id: ExecutionId,
    waiting: Waiting,
) -> Result<Answer, EngineError> {
    // Registered before the store is asked, so that nothing falls between the two.
    let waiter = shared.waiters.register(id, waiting.until);
    let row = shared.row(tenant, id).await?;
    match answered(shared, &row, waiting.until).await? {
        Some(answer) => Ok(answer),
        None => answer(shared, tenant, id, waiter, waiting.timeout).await,
    }
}

/// The answer that the journal holds already.
async fn answered(shared: &Shared, row: &ExecutionRow, until: Until) -> Result<Option<Answer>, EngineError> {
    let journal = Journal { shared, tenant: row.tenant, id: row.id };
    if until == Until::Response && row.next_seq > 0 {
        let responded = |entry: Entry| {
            if let JournalEvent::Responded { response } = entry.event { Some(response) } else { None }
        };
        if let Some(response) = journal.find(responded).await? {
            return Ok(Some(Answer::Responded(response)));
        }
    }
    if !row.status.is_terminal() {
        return Ok(None);
    }
    let result = journal.result(row).await?;
    Ok(Some(Answer::Ended(result.ok_or_else(|| journal.corrupt("it has no end"))?)))
}

pub(crate) async fn answer(
    shared: &Shared,
    tenant: Tenant,
    id: ExecutionId,
    mut waiter: Waiter,
    timeout: Duration,
) -> Result<Answer, EngineError> {
    let told = tokio::select! {
        biased;
        told = waiter.answer() => Some(told),
        () = shared.lasting.clock.sleep(timeout) => None,
    };
    match told {
        Some(Some(answer)) => Ok(answer),
        Some(None) => Err(EngineError::Stopped),
        None => Ok(Answer::Pending(shared.row(tenant, id).await?.status)),
    }
}

pub(crate) async fn decide(
    shared: &Arc<Shared>,
    tenant: Tenant,
    review: ReviewId,
    decision: Decision,
) -> Result<ExecutionId, DecideError> {
    let row = review_row(shared, tenant, review).await?;
    let conflict =
        |row: &ReviewRow| DecideError::Conflict { status: row.status, version: row.request.version };
    if row.status != ReviewStatus::Pending || row.request.version != decision.expected_version {
        return Err(conflict(&row));
    }
    if let Some(content) = &decision.content {
        check_value("the content of the decision", content)?;
    }
    let event = Event::Decided { path: row.request.path.clone(), decision };
    match shared.ask(tenant, row.execution, event).await? {
        Taken::Applied => Ok(row.execution),
        // Somebody was faster: another person, the expiry, a cancellation.
        Taken::Ignored(_) => Err(conflict(&review_row(shared, tenant, review).await?)),
    }
}

async fn review_row(shared: &Shared, tenant: Tenant, review: ReviewId) -> Result<ReviewRow, DecideError> {
    let row = shared.reader.query(move |store| store.review(tenant, review)).await;
    row.map_err(EngineError::from)?.ok_or(DecideError::NotFound)
}

pub(crate) async fn signal(
    shared: &Arc<Shared>,
    tenant: Tenant,
    id: ExecutionId,
    signal: SignalSent,
) -> Result<Signalled, EngineError> {
    let SignalSent { name, payload, id: signal } = signal;
    check_value("the payload of the signal", &payload)?;
    let needs = "it takes signals while it runs or waits";
    match shared.ask(tenant, id, Event::Signalled { name, payload, id: signal }).await? {
        Taken::Applied => Ok(Signalled::Delivered),
        Taken::Ignored(ExecutionStatus::Running | ExecutionStatus::Waiting) => Ok(Signalled::Duplicate),
        Taken::Ignored(status) => Err(EngineError::WrongStatus { execution: id, status, needs }),
    }
}

/// Refuses a value that no journal could hold.
fn check_value(what: &str, value: &Value) -> Result<(), EngineError> {
    if let Some(message) = too_large(what, value) {
        return Err(EngineError::InputInvalid { message });
    }
    check_depth(what, value, ErrorCode::InputInvalid)
        .map_err(|failure| EngineError::InputInvalid { message: failure.message })
}

pub(crate) async fn cancel(
    shared: &Arc<Shared>,
    tenant: Tenant,
    id: ExecutionId,
    reason: &str,
) -> Result<Cancelled, EngineError> {
    match shared.ask(tenant, id, Event::CancelRequested { reason: reason.to_owned() }).await? {
        // Ignored while it is open means that it is ending already.
        Taken::Applied
        | Taken::Ignored(ExecutionStatus::Queued | ExecutionStatus::Running | ExecutionStatus::Waiting) => {
            Ok(Cancelled::Requested)
        }
        Taken::Ignored(status) => Ok(Cancelled::AlreadyOver(status)),
    }
}

pub(crate) async fn rerun(
    shared: &Arc<Shared>,
    tenant: Tenant,
    id: ExecutionId,
    rerun: Rerun,
) -> Result<Admitted, EngineError> {
    let row = shared.row(tenant, id).await?;
    if !row.status.is_terminal() {
        let needs = "only what is over can be run again";
        return Err(EngineError::WrongStatus { execution: id, status: row.status, needs });
    }
    let flow = match rerun.version {
        RerunVersion::Same => FlowRef::Version { name: row.flow.clone(), hash: row.version.clone() },
        RerunVersion::Active => FlowRef::Active(row.flow.clone()),
    };
    let (input, recorded) = earlier(shared, &row, &flow, rerun.from_node).await?;
    let mut admission = Admission::new(tenant, row.flow, TriggerKind::Rerun, input);
    admission.flow = flow;
    admission.request_id = rerun.request_id;
    admission.recorded = recorded;
    Ok(admit(shared, admission, None).await?.0)
}

/// The input of an earlier execution, and the outputs that a rerun from `from_node` takes over.
async fn earlier(
    shared: &Shared,
    row: &ExecutionRow,
    flow: &FlowRef,
    from_node: Option<String>,
) -> Result<(Value, Option<Recorded>), EngineError> {
    let (plans, reader) = (&shared.plans, &shared.reader);
    let journal = Journal { shared, tenant: row.tenant, id: row.id };
    let started = |entry: Entry| {
        let JournalEvent::Input { input: Event::Started { input, .. } } = entry.event else { return None };
        Some(input)
    };
    let needs = "it never started, so there is nothing to run again";
    let input = journal.find(started).await?.ok_or(EngineError::WrongStatus {
        execution: row.id,
        status: row.status,
        needs,
    })?;
    let Some(from_node) = from_node else { return Ok((input, None)) };
    let version = plans.version(reader, row.tenant, &row.flow, &row.version).await?;
    let next = match flow {
        FlowRef::Version { .. } => Arc::clone(&version),
        FlowRef::Active(name) => plans.active(reader, row.tenant, name).await?,
    };
    if !next.plan.is_root_node(&from_node) {
        return Err(EngineError::UnknownNode { flow: row.flow.clone(), node: from_node });
    }
    let mut session = Session::new(Arc::clone(&version.plan), row.id);
    journal.fold(&mut session).await?;
    let outputs = session.state().outputs_before(&from_node).into_iter().collect();
    Ok((input, Some(Recorded { execution: row.id, from_node, outputs })))
}

impl Shared {
    pub(crate) async fn row(&self, tenant: Tenant, id: ExecutionId) -> Result<ExecutionRow, EngineError> {
        let row = self.reader.query(move |store| store.execution(tenant, id)).await?;
        row.ok_or(EngineError::NotFound(id))
    }
}
