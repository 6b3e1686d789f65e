//! What is done about executions that were not over when the process last stopped.
//!
//! Those that wait cost a look at their row: their timers are loaded when they come near, and
//! everything else they wait for comes from outside. Those that ran are folded and go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use flux_model::execution::WaitOn;
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::{ExecutionStatus, NodePath};
use flux_store::command::Promote;
use flux_store::executions::OpenExecution;
use flux_store::{Command, Outcome};

use crate::children;
use crate::error::StartError;
use crate::owners::Message;
use crate::shared::Shared;

/// Open executions read at once.
const PAGE_ROWS: usize = 2_000;

/// What the walk over open executions found to do.
#[derive(Default)]
struct Found {
    interrupted: Vec<(Tenant, ExecutionId)>,
    /// Who waits for which child.
    parents: Vec<(Tenant, ExecutionId, NodePath, ExecutionId)>,
    /// Concurrency keys that executions are queued for.
    keys: BTreeSet<(Tenant, String, String)>,
    open: usize,
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
        match row.status {
            ExecutionStatus::Running => self.interrupted.push((row.tenant, row.id)),
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
                if let Some(event) = children::ended(shared, tenant, &path, child).await {
                    shared.owners.room(shared.lasting.settings.running_max).await;
                    shared.deliver(tenant, parent, Message::event(event));
                }
            }
            shared.recovered.cancel();
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = run => {}
        }
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
    match shared.writer.submit(Command::Promote(promote)).await? {
        Outcome::Promoted { executions } => {
            for id in &executions {
                shared.deliver(tenant, *id, Message::look());
            }
            Ok(executions.len())
        }
        other => {
            tracing::error!(?other, "the store did not promote");
            Ok(0)
        }
    }
}
