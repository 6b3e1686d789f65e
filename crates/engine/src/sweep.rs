//! The sweeper: proves, page by page and for ever, that every execution that is not over has an
//! owner, a timer or a listed wait (`ARCHITECTURE.md`, rule 4).
//!
//! What it finds without one it sets going again and counts. Each count is a fault of ours; the
//! sweeper is there so that nobody's execution pays for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flux_model::execution::WaitOn;
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::review::ReviewStatus;
use flux_model::{ExecutionStatus, Wait};
use flux_store::StoreError;
use flux_store::executions::{OpenCursor, OpenExecution};

use crate::children;
use crate::load::{all_waits, restore_timers};
use crate::owners::{Message, Released};
use crate::recover::promote;
use crate::shared::{Retry, Shared};
use crate::timers;

/// A timer that is this late was lost on its way.
const LATE: Duration = Duration::from_secs(30);
/// Journals of executions that wait for more than is listed are read this often.
const THOROUGH_EVERY: Duration = Duration::from_secs(600);

/// Something that looks wrong, to be looked at again before it counts.
struct Suspect {
    tenant: Tenant,
    id: ExecutionId,
    /// How long its journal was.
    next_seq: u64,
    what: Missing,
    cause: Cause,
}

/// Why something is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Nobody knows: a fault.
    Unknown,
    /// It could not go on before, and is tried again.
    Parked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It runs, or is to be cancelled, but nobody owns it.
    Owner,
    /// It waits for a time, but has no timer, or one that was lost.
    Timer,
    /// It waits for something that is over, and was not told.
    Event,
}

/// How much of what an execution waits for is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// What its row lists.
    Listed,
    /// Everything, for which the journal is read if its row does not list all.
    All,
}

/// Sweeps until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let sweep = async {
        // What recovery has not come to yet is not lost.
        shared.recovered.cancelled().await;
        let clock = &shared.lasting.clock;
        let (mut after, mut depth, mut thorough_at) =
            (None, Depth::Listed, clock.monotonic() + THOROUGH_EVERY);
        loop {
            clock.sleep(shared.lasting.settings.sweep_pause).await;
            if after.is_none() {
                depth = Depth::Listed;
                if clock.monotonic() >= thorough_at {
                    depth = Depth::All;
                    thorough_at = clock.monotonic() + THOROUGH_EVERY;
                }
            }
            match page(&shared, after, depth).await {
                Ok(next) => {
                    if next.is_none() {
                        shared.lasting.counters.sweeps.add(1);
                    }
                    after = next;
                }
                Err(error) => tracing::warn!(%error, "the sweeper cannot read; trying again"),
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sweep => {}
    }
}

/// Looks at one page of open executions; gives where the next one begins.
async fn page(
    shared: &Arc<Shared>,
    after: Option<OpenCursor>,
    depth: Depth,
) -> Result<Option<OpenCursor>, StoreError> {
    let rows = shared.lasting.settings.sweep_rows.max(1);
    let open = shared.reader.query(move |store| store.open_executions(after, rows)).await?;
    let next = open.last().filter(|_| open.len() == rows).map(|last| OpenCursor(last.row.id));
    let mut suspects = Vec::new();
    let mut keys = BTreeSet::new();
    for one in open {
        let Some(cause) = cause(shared, one.row.id).filter(|_| !shared.owners.is_owned(one.row.id)) else {
            continue;
        };
        if one.row.status == ExecutionStatus::Queued
            && !one.debounced
            && let Some(key) = &one.row.concurrency_key
        {
            keys.insert((one.row.tenant, one.row.flow.clone(), key.clone()));
        }
        if let Some(what) = missing(shared, &one, depth).await? {
            let (tenant, id, next_seq) = (one.row.tenant, one.row.id, one.row.next_seq);
            suspects.push(Suspect { tenant, id, next_seq, what, cause });
        }
    }
    for key in keys {
        check_queue(shared, key).await?;
    }
    if !suspects.is_empty() {
        // A row may have been read while its owner was about to write it.
        shared.lasting.clock.sleep(shared.lasting.settings.sweep_pause).await;
        for suspect in suspects {
            check(shared, suspect).await?;
        }
    }
    Ok(next)
}

/// An end gives its slot on by itself. What is left to promote is a limit that was raised, unless
/// nobody at all holds a slot: then nothing would ever have moved.
async fn check_queue(shared: &Arc<Shared>, queue: (Tenant, String, String)) -> Result<(), StoreError> {
    let (tenant, flow, key) = queue;
    let (of, by) = (flow.clone(), key.clone());
    let slots = shared.reader.query(move |store| store.slots(tenant, &of, &by)).await?;
    match promote(shared, tenant, flow, key).await {
        Ok(promoted) if promoted > 0 && slots.active == 0 => {
            shared.lasting.counters.violations.add(1);
            tracing::error!(promoted, "executions were queued although nobody held a slot");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the sweeper cannot promote; trying again"),
    }
    Ok(())
}

/// What is parked for good is not looked at again; what may have passed is tried again.
fn cause(shared: &Shared, id: ExecutionId) -> Option<Cause> {
    match shared.parked.lock().get(&id).map(|parked| parked.retry) {
        None => Some(Cause::Unknown),
        Some(Retry::Later) => Some(Cause::Parked),
        Some(Retry::Never) => None,
    }
}

async fn missing(
    shared: &Arc<Shared>,
    open: &OpenExecution,
    depth: Depth,
) -> Result<Option<Missing>, StoreError> {
    let late = open.next_due.is_some_and(|due| due + LATE < shared.now());
    match open.row.status {
        ExecutionStatus::Running => Ok(Some(Missing::Owner)),
        ExecutionStatus::Waiting if open.row.replaced_by.is_some() => Ok(Some(Missing::Owner)),
        ExecutionStatus::Queued => {
            Ok((open.debounced && (late || open.timers == 0)).then_some(Missing::Timer))
        }
        ExecutionStatus::Waiting if late => Ok(Some(Missing::Timer)),
        ExecutionStatus::Waiting => {
            let all = match depth {
                Depth::Listed => Ok(open.row.waits.clone()),
                Depth::All => all_waits(shared, &open.row).await,
            };
            // Whoever owns it next says what is wrong with a journal that cannot be read.
            let Ok(waits) = all else { return Ok(Some(Missing::Owner)) };
            for wait in &waits {
                if let Some(missing) = missing_wait(shared, open, wait).await? {
                    return Ok(Some(missing));
                }
            }
            Ok(None)
        }
        // Not open.
        ExecutionStatus::Succeeded | ExecutionStatus::Failed | ExecutionStatus::Cancelled => Ok(None),
    }
}

async fn missing_wait(
    shared: &Shared,
    open: &OpenExecution,
    wait: &Wait,
) -> Result<Option<Missing>, StoreError> {
    let tenant = open.row.tenant;
    match &wait.on {
        WaitOn::Timer { .. } => Ok((open.timers == 0).then_some(Missing::Timer)),
        WaitOn::Signal { until, .. } => Ok((until.is_some() && open.timers == 0).then_some(Missing::Timer)),
        WaitOn::Review { review, until } => {
            let review = *review;
            let row = shared.reader.query(move |store| store.review(tenant, review)).await?;
            let pending = row.is_some_and(|row| row.status == ReviewStatus::Pending);
            let timer = until.is_none() || open.timers > 0;
            Ok(match (pending, timer) {
                (true, true) => None,
                (true, false) => Some(Missing::Timer),
                (false, _) => Some(Missing::Event),
            })
        }
        WaitOn::Child { execution } => {
            let child = *execution;
            let row = shared.reader.query(move |store| store.execution(tenant, child)).await?;
            Ok(row.is_none_or(|row| row.status.is_terminal()).then_some(Missing::Event))
        }
    }
}

/// Looks again; what still looks wrong and has not moved is repaired and counted.
async fn check(shared: &Arc<Shared>, suspect: Suspect) -> Result<(), StoreError> {
    let Suspect { tenant, id, next_seq, what, cause } = suspect;
    let row = shared.reader.query(move |store| store.execution(tenant, id)).await?;
    let timers = shared.reader.query(move |store| store.timers_of(tenant, id)).await?;
    let still = row.filter(|row| !row.status.is_terminal() && row.next_seq == next_seq);
    let Some(row) = still.filter(|_| !shared.owners.is_owned(id)) else { return Ok(()) };
    let now = shared.now();
    let lost: Vec<_> =
        timers.iter().filter(|timer| timer.due <= now && shared.timers.is_lost(timer)).cloned().collect();
    if what == Missing::Timer && lost.is_empty() && !timers.is_empty() {
        // Late, because there is more to do than there is room for.
        return Ok(());
    }
    match cause {
        Cause::Parked => drop(shared.parked.lock().remove(&id)),
        Cause::Unknown => {
            shared.lasting.counters.violations.add(1);
            let status = row.status.as_str();
            tracing::error!(execution = %id, status, ?what, "found without what keeps it alive");
        }
    }
    match what {
        Missing::Owner => shared.deliver(tenant, id, Message::look()),
        Missing::Timer if timers.is_empty() => restore(shared, tenant, id).await,
        Missing::Timer => lost.into_iter().for_each(|row| timers::fire(shared, row)),
        Missing::Event => {
            for wait in all_waits(shared, &row).await.unwrap_or_default() {
                if let WaitOn::Child { execution } = wait.on
                    && let Some(event) = children::ended(shared, tenant, &wait.node, execution).await
                {
                    shared.deliver(tenant, id, Message::event(event));
                }
            }
        }
    }
    Ok(())
}

/// Stores the timers that an execution should have, as its owner for that long.
async fn restore(shared: &Arc<Shared>, tenant: Tenant, id: ExecutionId) {
    let Some(slot) = shared.owners.reserve(tenant, id) else { return };
    if let Err(error) = restore_timers(shared, tenant, id).await {
        tracing::warn!(execution = %id, %error, "its timers cannot be restored now");
    }
    if shared.owners.release(&slot) == Released::Not {
        shared.own(slot);
    }
}
