//! Reading an execution back, to go on with it: from its journal, or from the input that was held
//! while it was queued.

use std::collections::VecDeque;
use std::sync::Arc;

use flux_core::session::{Session, WAITS_LISTED_MAX};
use flux_model::effect::Effect;
use flux_model::error::{Failure, NodeError};
use flux_model::execution::{ExecutionResult, ExecutionStatus, WaitOn};
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::journal::{Entry, JournalEvent};
use flux_model::{ErrorCode, Event, NodePath, Wait};
use flux_store::executions::ErrorSummary;
use flux_store::{Append, Command, ExecutionRow, Outcome, StatusChange, Step, Timer, TimerName};

use crate::children;
use crate::commit::encode;
use crate::error::{AdmissionError, EngineError};
use crate::journal::Journal;
use crate::owner::Begun;
use crate::owners::{Message, Released, Slot, Taken};
use crate::pure::settle;
use crate::shared::{Facts, Retry, Shared};

/// An execution as it was found.
pub(crate) enum Loaded {
    /// It goes on, with these events first.
    Open(Box<Begun>, VecDeque<Message>),
    /// It is over.
    Over(ExecutionStatus),
}

/// Reads an execution. At most `loads_max` are read at the same time.
pub(crate) async fn load(shared: &Arc<Shared>, slot: &Slot) -> Result<Loaded, EngineError> {
    let (tenant, id) = (slot.tenant, slot.id);
    let _permit = shared.loads.acquire().await.map_err(|_| EngineError::Stopped)?;
    slot.looked();
    let row = shared.reader.query(move |store| store.execution(tenant, id)).await?;
    let row = row.ok_or(EngineError::NotFound(id))?;
    if row.status.is_terminal() {
        return Ok(Loaded::Over(row.status));
    }
    shared.lasting.counters.loaded.add(1);
    match open(shared, row).await {
        Ok((begun, events)) => Ok(Loaded::Open(Box::new(begun), events)),
        Err(EngineError::Corrupt { execution, reason }) => {
            shared.park(id, reason.clone(), Retry::Never);
            let failure = Failure::permanent(ErrorCode::JournalCorrupt, reason.clone());
            shared.fail_outright(tenant, id, &failure).await;
            Err(EngineError::Corrupt { execution, reason })
        }
        Err(error @ (EngineError::Newer { .. } | EngineError::Admission(_))) => {
            shared.park(id, error.to_string(), Retry::Never);
            Err(error)
        }
        Err(error) => {
            shared.park(id, error.to_string(), Retry::Later);
            Err(error)
        }
    }
}

async fn open(shared: &Arc<Shared>, row: ExecutionRow) -> Result<(Begun, VecDeque<Message>), EngineError> {
    let (mut session, journal_bytes) = fold(shared, &row).await?;
    let mut events = VecDeque::new();
    let mut then = Vec::new();
    if let Some(by) = row.replaced_by {
        // Whoever was to say so may be gone.
        let reason = replaced(by);
        settle(&mut session, &shared.lasting.registry, shared.now(), Event::CancelRequested { reason });
    }
    let status = session.state().status();
    if status == ExecutionStatus::Running {
        (events, then) = interrupted(shared, row.tenant, &mut session).await;
    } else if status == ExecutionStatus::Queued && row.status == ExecutionStatus::Running {
        let journal = Journal { shared, tenant: row.tenant, id: row.id };
        events.push_back(Message::event(journal.held().await?));
    }
    let facts = Arc::new(Facts::of(&row));
    let begun = Begun { facts, session, stored: row.status, journal_bytes, then };
    Ok((begun, events))
}

/// The session that the journal leads to, and how many bytes the journal has.
async fn fold(shared: &Arc<Shared>, row: &ExecutionRow) -> Result<(Session, u64), EngineError> {
    let journal = Journal { shared, tenant: row.tenant, id: row.id };
    let version = shared.plans.version(&shared.reader, row.tenant, &row.flow, &row.version).await;
    let version = version.map_err(|error| {
        let gone = matches!(error, AdmissionError::FlowNotFound { .. });
        if gone { journal.corrupt("the flow version it runs is not there") } else { error.into() }
    })?;
    let mut session = Session::new(Arc::clone(&version.plan), row.id);
    if row.next_seq == 0 {
        return Ok((session, 0));
    }
    let bytes = journal.fold(&mut session).await?;
    if session.next_seq() != row.next_seq {
        let reason = format!("it ends at entry {}, not at {}", session.next_seq(), row.next_seq);
        return Err(journal.corrupt(&reason));
    }
    Ok((session, bytes))
}

/// Everything that an execution waits for; its row lists only some of many waits.
pub(crate) async fn all_waits(shared: &Arc<Shared>, row: &ExecutionRow) -> Result<Vec<Wait>, EngineError> {
    if row.waits.len() < WAITS_LISTED_MAX {
        return Ok(row.waits.clone());
    }
    let _permit = shared.loads.acquire().await.map_err(|_| EngineError::Stopped)?;
    Ok(fold(shared, row).await?.0.state().waits(usize::MAX))
}

/// Why an execution is cancelled whose slot another one has.
pub(crate) fn replaced(by: ExecutionId) -> String {
    format!("replaced by execution {by} (overflow: cancel_oldest)")
}

/// An execution that ran when its owner was lost: what must be said to it, and what must be begun
/// again. What must not be attempted twice is put before a person by the machine, with the event
/// that is applied here.
async fn interrupted(
    shared: &Arc<Shared>,
    tenant: Tenant,
    session: &mut Session,
) -> (VecDeque<Message>, Vec<Effect>) {
    let settled = settle(session, &shared.lasting.registry, shared.now(), Event::Recovered);
    let mut events = VecDeque::new();
    for wait in session.state().waits(usize::MAX) {
        if let WaitOn::Child { execution } = wait.on
            && let Some(event) = children::ended(shared, tenant, &wait.node, execution).await
        {
            events.push_back(Message::event(event));
        }
    }
    let mut then = session.state().outstanding();
    then.extend(settled.heavy.into_iter().map(Effect::Run));
    (events, then)
}

/// Stores the timers that the machine counts on. The caller owns the execution.
pub(crate) async fn restore_timers(
    shared: &Arc<Shared>,
    tenant: Tenant,
    id: ExecutionId,
) -> Result<(), EngineError> {
    let row = shared.row(tenant, id).await?;
    let (at, next_seq) = (shared.now(), row.next_seq);
    let (session, _) = fold(shared, &row).await?;
    let timers = session.state().outstanding().into_iter().filter_map(|effect| match effect {
        Effect::SetTimer { key, at } if key.is_durable() => {
            Some(Timer { name: TimerName::Machine(key), due: at })
        }
        Effect::SetTimer { .. }
        | Effect::Record(_)
        | Effect::Run(_)
        | Effect::Abort { .. }
        | Effect::ClearTimer { .. }
        | Effect::OpenReview(_)
        | Effect::CloseReview { .. }
        | Effect::StartChild(_)
        | Effect::CancelChild { .. }
        | Effect::SendSignal { .. }
        | Effect::Respond(_)
        | Effect::Finish(_) => None,
    });
    let set_timers: Vec<Timer> = timers.collect();
    let message = "its timers were lost and are restored; this is a fault inside Flux".to_owned();
    let event = JournalEvent::Warning { path: None, code: ErrorCode::Internal, message };
    let record = encode(vec![Entry { seq: next_seq, at, event }]).record;
    let step = Step { record, entries: 1, set_timers: set_timers.clone(), ..Step::default() };
    let append = Append { tenant, execution: id, expected_next_seq: next_seq, step };
    let outcome = shared.writer.submit(Command::Append(Box::new(append))).await?;
    if matches!(outcome, Outcome::Appended { .. }) {
        shared.timers.changed(tenant, id, set_timers, &[]);
    } else {
        tracing::error!(execution = %id, ?outcome, "its timers could not be restored");
    }
    Ok(())
}

/// Answers everybody who has something to say to an execution that does not go on, and frees its
/// place.
pub(crate) fn turn_away(shared: &Shared, slot: &Slot, why: Result<ExecutionStatus, EngineError>) {
    loop {
        for message in slot.take() {
            if let Some(reply) = message.reply {
                // Nobody waits any more if the receiver is gone.
                let _ = reply.send(why.clone().map(Taken::Ignored));
            }
        }
        if shared.owners.release(slot) == Released::Yes {
            return;
        }
    }
}

impl Shared {
    /// Ends an execution that the machine cannot end, because its journal cannot be read or written
    /// any further. The record that says so has no event to fold.
    pub(crate) async fn fail_outright(self: &Arc<Self>, tenant: Tenant, id: ExecutionId, failure: &Failure) {
        match self.try_fail_outright(tenant, id, failure).await {
            Ok(()) => {}
            Err(error) => tracing::error!(execution = %id, %error, "it could not even be marked as failed"),
        }
    }

    async fn try_fail_outright(
        self: &Arc<Self>,
        tenant: Tenant,
        id: ExecutionId,
        failure: &Failure,
    ) -> Result<(), EngineError> {
        let row = self.reader.query(move |store| store.execution(tenant, id)).await?;
        let Some(row) = row.filter(|row| !row.status.is_terminal()) else { return Ok(()) };
        let at = self.now();
        let error = NodeError {
            node: NodePath::root(""),
            name: row.flow.clone(),
            node_type: String::new(),
            attempt: 1,
            code: failure.code,
            message: failure.message.clone(),
            class: failure.class,
            provider_status: None,
            stack: None,
            at,
            call: None,
            answer: None,
        };
        let summary = ErrorSummary { code: error.code, message: error.message.clone(), node: None };
        let result = ExecutionResult::Failed { error };
        let event = JournalEvent::Finished { result: result.clone() };
        let step = Step {
            record: encode(vec![Entry { seq: row.next_seq, at, event }]).record,
            entries: 1,
            change: Some(StatusChange::Failed { error: summary, at }),
            ..Step::default()
        };
        let append = Append { tenant, execution: id, expected_next_seq: row.next_seq, step };
        let outcome = self.writer.submit(Command::Append(Box::new(append))).await?;
        let Outcome::Appended { promoted } = outcome else {
            tracing::error!(execution = %id, ?outcome, "it could not be marked as failed");
            return Ok(());
        };
        for id in promoted {
            self.deliver(tenant, id, Message::look());
        }
        self.over(&Facts::of(&row), result).await;
        children::disown_all(self, tenant, id).await?;
        Ok(())
    }
}
