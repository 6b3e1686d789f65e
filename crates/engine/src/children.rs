//! Executions that call executions: admitting children, telling parents, cancelling.

use std::sync::Arc;

use flux_model::call::CallKind;
use flux_model::effect::ChildCall;
use flux_model::error::Failure;
use flux_model::event::Event;
use flux_model::execution::{ExecutionResult, WaitOn};
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::journal::JournalEvent;
use flux_model::{ExecutionStatus, NodePath, Value};
use flux_store::executions::Parent;
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::{ExecutionFilter, ExecutionRow, PageRequest, StoreError};
use futures::future::{BoxFuture, FutureExt};

use crate::admission::{Admission, AdmittedAs, Call, TriggerKind};
use crate::admit::admit;
use crate::error::{AdmissionError, EngineError};
use crate::flight::Finished;
use crate::journal::Journal;
use crate::owners::Message;
use crate::shared::{Facts, Shared};
use crate::work::Timed;

/// Admits a child execution. Asking twice starts one: the child's id is derived from the call.
pub(crate) fn start_child(
    shared: &Arc<Shared>,
    facts: &Facts,
    call: ChildCall,
) -> BoxFuture<'static, Finished> {
    let shared = Arc::clone(shared);
    let input = call.input.clone();
    let mut admission = Admission::new(facts.tenant, call.flow.as_str(), TriggerKind::Call, input);
    admission.request_id.clone_from(&facts.request_id);
    admission.call = Some(Call {
        parent: Parent { execution: facts.id, path: call.path.clone(), awaited: call.wait },
        child: call.child,
        depth: facts.depth + 1,
    });
    async move {
        let timed = Timed::start(&shared);
        let tenant = admission.tenant;
        let admitted = admit(&shared, admission, None).await;
        let result = match &admitted {
            Ok(_) => Ok(Value::object([("execution", Value::text(call.child.to_string()))])),
            Err(error) => Err(refused(error)),
        };
        let ChildCall { path, attempt, child, flow, input, wait } = call;
        let event = match (&admitted, result.clone()) {
            (_, Err(failure)) => Event::Completed { path: path.clone(), attempt, result: Err(failure) },
            // After a restart the child may be over already, and nobody will say so again.
            (Ok((admitted, _)), Ok(_)) if admitted.outcome == AdmittedAs::Duplicate && wait => {
                let started = Event::ChildStarted { path: path.clone(), child };
                ended(&shared, tenant, &path, child).await.unwrap_or(started)
            }
            (_, Ok(_)) => Event::ChildStarted { path: path.clone(), child },
        };
        let call = timed.call(CallKind::Execution, flow, input, result);
        let observed = vec![JournalEvent::Called { path: path.clone(), attempt, call }];
        Finished { path, attempt, observed, event }
    }
    .boxed()
}

fn refused(error: &AdmissionError) -> Failure {
    let mut failure = match error {
        AdmissionError::RateLimited { .. }
        | AdmissionError::ConcurrencyDropped { .. }
        | AdmissionError::Overloaded { .. }
        | AdmissionError::Stopping { .. }
        | AdmissionError::Storage { .. } => Failure::retryable(error.code(), error.to_string()),
        AdmissionError::FlowNotFound { .. }
        | AdmissionError::FlowInactive { .. }
        | AdmissionError::FlowInvalid { .. }
        | AdmissionError::InputInvalid { .. }
        | AdmissionError::TooLarge { .. }
        | AdmissionError::Terms(_)
        | AdmissionError::CallDepth { .. }
        | AdmissionError::Internal { .. } => Failure::permanent(error.code(), error.to_string()),
    };
    let wait = error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    failure.retry_after_ms = wait;
    failure
}

/// The news that a child is over, if it is.
pub(crate) async fn ended(
    shared: &Arc<Shared>,
    tenant: Tenant,
    path: &NodePath,
    child: ExecutionId,
) -> Option<Event> {
    match result_of(shared, tenant, child).await {
        Ok(result) => result.map(|result| Event::ChildEnded { path: path.clone(), child, result }),
        Err(error) => {
            tracing::warn!(execution = %child, %error, "the result of a child execution cannot be read");
            None
        }
    }
}

/// How an execution that was accepted ended, if it did. What retention deleted counts as cancelled.
pub(crate) async fn result_of(
    shared: &Shared,
    tenant: Tenant,
    id: ExecutionId,
) -> Result<Option<ExecutionResult>, EngineError> {
    let row = shared.reader.query(move |store| store.execution(tenant, id)).await?;
    let Some(row) = row else {
        let reason = format!("execution {id} was deleted");
        return Ok(Some(ExecutionResult::Cancelled { reason }));
    };
    if !row.status.is_terminal() {
        return Ok(None);
    }
    Journal { shared, tenant, id }.result(&row).await
}

/// Tells the caller of an execution that it is over, if the caller waits for it.
pub(crate) async fn tell_parent(
    shared: &Arc<Shared>,
    facts: &Facts,
    parent: &Parent,
    result: ExecutionResult,
) {
    let (tenant, id) = (facts.tenant, parent.execution);
    if !shared.owners.is_owned(id) {
        let row = shared.reader.query(move |store| store.execution(tenant, id)).await;
        match row {
            Ok(Some(row)) if awaits(&row, facts.id) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(execution = %id, %error, "a parent cannot be told now; the sweeper will");
                return;
            }
        }
    }
    let event = Event::ChildEnded { path: parent.path.clone(), child: facts.id, result };
    shared.deliver(tenant, id, Message::event(event));
}

/// Whether an execution may wait for this child. Only some of many waits are listed.
fn awaits(row: &ExecutionRow, child: ExecutionId) -> bool {
    match row.status {
        ExecutionStatus::Running => true,
        ExecutionStatus::Waiting => {
            row.waits.len() >= flux_core::session::WAITS_LISTED_MAX || lists(row, child)
        }
        ExecutionStatus::Queued
        | ExecutionStatus::Succeeded
        | ExecutionStatus::Failed
        | ExecutionStatus::Cancelled => false,
    }
}

/// Whether a row lists that its execution waits for this child.
pub(crate) fn lists(row: &ExecutionRow, child: ExecutionId) -> bool {
    row.waits.iter().any(|wait| wait.on == WaitOn::Child { execution: child })
}

/// Cancels a child that its caller waited for and gave up.
pub(crate) fn disown(shared: &Arc<Shared>, tenant: Tenant, child: ExecutionId, caller: ExecutionId) {
    let reason = format!("execution {caller}, which called it, does not wait any more");
    cancel(shared, tenant, child, reason);
}

/// Cancels all children that an execution waited for which ended without saying so itself.
pub(crate) async fn disown_all(
    shared: &Arc<Shared>,
    tenant: Tenant,
    caller: ExecutionId,
) -> Result<(), StoreError> {
    let statuses = vec![ExecutionStatus::Queued, ExecutionStatus::Running, ExecutionStatus::Waiting];
    let filter = ExecutionFilter { parent: Some(caller), statuses, ..ExecutionFilter::default() };
    let mut request = PageRequest::first(PAGE_ROWS_MAX);
    loop {
        let filter = filter.clone();
        let page = shared.reader.query(move |store| store.executions(tenant, &filter, request)).await?;
        for row in page.items.iter().filter(|row| row.parent.as_ref().is_some_and(|parent| parent.awaited)) {
            disown(shared, tenant, row.id, caller);
        }
        request.after = page.next;
        if request.after.is_none() {
            return Ok(());
        }
    }
}

/// Cancels a child of which its caller hears although it gave it up meanwhile.
pub(crate) fn turn_down(shared: &Arc<Shared>, facts: &Facts, child: ExecutionId) {
    let (shared, tenant, caller) = (Arc::clone(shared), facts.tenant, facts.id);
    shared.clone().tasks.spawn(async move {
        match shared.row(tenant, child).await {
            Ok(row) if row.status.is_terminal() => {}
            Ok(row) if row.parent.as_ref().is_some_and(|parent| parent.awaited) => {
                disown(&shared, tenant, child, caller);
            }
            // It is to live on without its caller.
            Ok(_) => {}
            Err(error) => tracing::warn!(execution = %child, %error, "a child cannot be cancelled now"),
        }
    });
}

/// Asks an execution to stop, without waiting for it.
pub(crate) fn cancel(shared: &Arc<Shared>, tenant: Tenant, id: ExecutionId, reason: String) {
    shared.deliver(tenant, id, Message::event(Event::CancelRequested { reason }));
}
