//! What is done about executions that were not over when the process last stopped.
//!
//! Those that wait cost a look at their row: their timers are loaded when they come near, and
//! everything else they wait for comes from outside. Those that ran are folded and go on. A store
//! that failed must first show that it writes again.

use std::collections::BTreeSet;
use std::sync::Arc;

use flux_core::session::WAITS_LISTED_MAX;
use flux_model::execution::WaitOn;
use flux_model::ids::{ExecutionId, OrganizationId, ProjectId, Tenant};
use flux_model::{Event, ExecutionStatus, NodePath};
use flux_store::command::Promote;
use flux_store::executions::{OpenExecution, Parent};
use flux_store::triggers::PutTriggerState;
use flux_store::writer::BATCH_BYTES_MAX;
use flux_store::{Command, ExecutionRow, Outcome, StoreError};

use crate::children;
use crate::error::StartError;
use crate::load::all_waits;
use crate::owners::{Message, Taken};
use crate::shared::Shared;

/// Open executions read at once.
const PAGE_ROWS: usize = 2_000;
/// Names the row that shows that a store writes.
const PROOF: &str = "proof";

/// What the walk over open executions found to do.
#[derive(Default)]
struct Found {
    /// What ran, or was to be cancelled.
    interrupted: Vec<(Tenant, ExecutionId)>,
    /// Who waits for which child.
    parents: Vec<(Tenant, ExecutionId, NodePath, ExecutionId)>,
    /// Who waits for more than is listed.
    crowded: Vec<ExecutionRow>,
    /// Who was called by whom, and is waited for.
    children: Vec<(Tenant, ExecutionId, Parent)>,
    /// Concurrency keys that executions are queued for.
    keys: BTreeSet<(Tenant, String, String)>,
    open: usize,
}

/// Makes as much durable as one batch of the writer has, and takes it back, so that nobody is told
/// that the store works before it does: a disk that stays full lets a store be opened and read, and
/// may still have room for a page. What is written is the state of a trigger that belongs to no
/// project, so nobody ever reads it.
pub(crate) async fn prove_writable(shared: &Shared) -> Result<(), StartError> {
    let nobody = Tenant { organization: OrganizationId::from_bits(0), project: ProjectId::from_bits(0) };
    let before = shared.reader.query(move |store| store.trigger_state(nobody, PROOF, PROOF)).await?;
    let mut version = before.map_or(0, |row| row.version);
    let full = format!("\"{}\"", "0".repeat(BATCH_BYTES_MAX));
    for state in [full, "null".to_owned()] {
        let (flow, node, at) = (PROOF.to_owned(), PROOF.to_owned(), shared.now());
        let put = PutTriggerState { tenant: nobody, flow, node, state, expected_version: version, at };
        let outcome = shared.writer.submit(Command::PutTriggerState(put)).await?;
        let Outcome::Saved { revision } = outcome else {
            let reason = format!("it answered {outcome:?}");
            return Err(StoreError::Unavailable { doing: "proving that it writes", reason }.into());
        };
        version = revision;
    }
    Ok(())
}

/// Walks over all open executions and sets going what ran. Returns when the walk is over; what it
/// found goes on in the background, as fast as there is room.
pub(crate) async fn recover(shared: &Arc<Shared>) -> Result<(), StartError> {
    let mut found = Found::default();
    let mut after = None;
    loop {
        let page = shared.reader.query(move |store| store.open_executions(after, PAGE_ROWS)).await?;
        let Some(last) = page.last() else { break };
        after = Some(flux_store::executions::OpenCursor(last.row.id));
        let full = page.len() == PAGE_ROWS;
        page.into_iter().for_each(|open| found.add(open));
        if !full {
            break;
        }
    }
    if found.open > 0 {
        let (open, interrupted) = (found.open, found.interrupted.len());
        tracing::info!(open, interrupted, "executions that were not over go on");
    }
    for (tenant, flow, key) in std::mem::take(&mut found.keys) {
        promote(shared, tenant, flow, key).await?;
    }
    let shared = Arc::clone(shared);
    shared.clone().tasks.spawn(async move { found.go_on(&shared).await });
    Ok(())
}

impl Found {
    fn add(&mut self, open: OpenExecution) {
        self.open += 1;
        let row = open.row;
        let caller = row.parent.as_ref().filter(|parent| parent.awaited).cloned();
        self.children.extend(caller.map(|parent| (row.tenant, row.id, parent)));
        match row.status {
            ExecutionStatus::Running | ExecutionStatus::Waiting if row.replaced_by.is_some() => {
                self.interrupted.push((row.tenant, row.id));
            }
            ExecutionStatus::Running => self.interrupted.push((row.tenant, row.id)),
            ExecutionStatus::Waiting if row.waits.len() >= WAITS_LISTED_MAX => self.crowded.push(row),
            ExecutionStatus::Waiting => {
                for wait in row.waits {
                    if let WaitOn::Child { execution } = wait.on {
                        self.parents.push((row.tenant, row.id, wait.node, execution));
                    }
                }
            }
            ExecutionStatus::Queued => {
                if let (Some(key), false) = (row.concurrency_key, open.debounced) {
                    self.keys.insert((row.tenant, row.flow, key));
                }
            }
            // Not open.
            ExecutionStatus::Succeeded | ExecutionStatus::Failed | ExecutionStatus::Cancelled => {}
        }
    }

    async fn go_on(self, shared: &Arc<Shared>) {
        let run = async {
            for (tenant, id) in self.interrupted {
                shared.owners.room(shared.lasting.settings.running_max).await;
                shared.deliver(tenant, id, Message::look());
            }
            for (tenant, parent, path, child) in self.parents {
                tell_end(shared, tenant, parent, (path, child)).await;
            }
            for row in self.crowded {
                look_through(shared, &row).await;
            }
            for (tenant, child, parent) in self.children {
                check_child(shared, tenant, child, parent).await;
            }
            shared.recovered.cancel();
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = run => {}
        }
    }
}

/// Tells an execution that a child it waits for is over, if it is.
async fn tell_end(
    shared: &Arc<Shared>,
    tenant: Tenant,
    parent: ExecutionId,
    (path, child): (NodePath, ExecutionId),
) {
    if let Some(event) = children::ended(shared, tenant, &path, child).await {
        shared.owners.room(shared.lasting.settings.running_max).await;
        shared.deliver(tenant, parent, Message::event(event));
    }
}

/// Looks through all that an execution waits for.
async fn look_through(shared: &Arc<Shared>, row: &ExecutionRow) {
    match all_waits(shared, row).await {
        Ok(waits) => {
            for wait in waits {
                if let WaitOn::Child { execution } = wait.on {
                    tell_end(shared, row.tenant, row.id, (wait.node, execution)).await;
                }
            }
        }
        // Whoever owns it next says what is wrong with it.
        Err(_) => shared.deliver(row.tenant, row.id, Message::look()),
    }
}

/// Whether a child is still waited for: if not, it was to be cancelled, and the process stopped
/// before that was done.
async fn check_child(shared: &Arc<Shared>, tenant: Tenant, child: ExecutionId, parent: Parent) {
    let Parent { execution: caller, path, .. } = parent;
    match shared.reader.query(move |store| store.execution(tenant, caller)).await {
        Ok(Some(row)) if row.status.is_terminal() => children::disown(shared, tenant, child, caller),
        Ok(Some(row)) if children::lists(&row, child) => {}
        Ok(Some(_)) => {
            // Only the caller itself knows. It cancels a child that it does not want.
            shared.owners.room(shared.lasting.settings.running_max).await;
            let told = shared.ask(tenant, caller, Event::ChildStarted { path, child }).await;
            if matches!(told, Ok(Taken::Ignored(status)) if status.is_terminal()) {
                children::disown(shared, tenant, child, caller);
            }
        }
        Ok(None) => children::disown(shared, tenant, child, caller),
        Err(error) => tracing::warn!(execution = %child, %error, "its caller cannot be read"),
    }
}

/// Gives free slots of a key to queued executions; says how many got one.
pub(crate) async fn promote(
    shared: &Arc<Shared>,
    tenant: Tenant,
    flow: String,
    key: String,
) -> Result<usize, flux_store::WriteError> {
    let promote = Promote { tenant, flow, key, at: shared.now() };
    let outcome = shared.writer.submit(Command::Promote(promote)).await?;
    let Outcome::Promoted { executions } = outcome else {
        tracing::error!(?outcome, "the store did not promote");
        return Ok(0);
    };
    for id in &executions {
        shared.deliver(tenant, *id, Message::look());
    }
    Ok(executions.len())
}
