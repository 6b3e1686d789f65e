//! Deletes what is old: executions that ended long ago, and objects that nothing names any more.
//!
//! In small batches with pauses, so that nobody who runs something notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flux_model::ids::Tenant;
use flux_store::command::{RETAIN_EXECUTIONS_MAX, Retain};
use flux_store::{Command, Outcome, Store};

use crate::error::EngineError;
use crate::shared::Shared;

/// The pause between two batches of executions.
const BATCH_PAUSE: Duration = Duration::from_millis(200);
/// Executions in one batch: small, since others wait for the writer meanwhile.
const BATCH_EXECUTIONS: usize = 100;
const _: () = assert!(BATCH_EXECUTIONS <= RETAIN_EXECUTIONS_MAX);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Deletes until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let delete = async {
        loop {
            shared.lasting.clock.sleep(shared.lasting.settings.retention_pause).await;
            if let Err(error) = round(&shared).await {
                tracing::warn!(%error, "what is old cannot be deleted now");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = delete => {}
    }
}

async fn round(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let projects = shared.reader.query(|store| store.projects()).await?;
    for project in projects {
        delete_executions(shared, project.tenant).await?;
        delete_objects(shared, project.tenant).await;
    }
    Ok(())
}

async fn delete_executions(shared: &Shared, tenant: Tenant) -> Result<(), EngineError> {
    let default_days = shared.lasting.settings.retention_days;
    let mut days = flow_days(shared, tenant).await?;
    let longest = days.values().copied().max().unwrap_or(default_days).max(default_days);
    // Executions of flows that are not there any more.
    let rest = (None, longest);
    for (flow, days) in days.iter_mut().map(|(flow, days)| (Some(flow.clone()), *days)).chain([rest]) {
        let ended_before = shared.now() - DAY * days;
        loop {
            let retain = Retain { tenant, flow: flow.clone(), ended_before, limit: BATCH_EXECUTIONS };
            let outcome = shared.writer.submit(Command::Retain(retain)).await?;
            let Outcome::Deleted { executions: deleted } = outcome else {
                tracing::error!(?outcome, "the store did not delete");
                break;
            };
            shared.lasting.counters.deleted.add(deleted as u64);
            if deleted < BATCH_EXECUTIONS {
                break;
            }
            shared.lasting.clock.sleep(BATCH_PAUSE).await;
        }
    }
    Ok(())
}

/// How long each flow keeps its executions, in days.
async fn flow_days(shared: &Shared, tenant: Tenant) -> Result<BTreeMap<String, u32>, EngineError> {
    let default_days = shared.lasting.settings.retention_days;
    let flows = shared.reader.query(move |store| store.flows(tenant)).await?;
    let mut days = BTreeMap::new();
    for flow in flows {
        let kept = match &flow.active_hash {
            Some(hash) => {
                let version = shared.plans.version(&shared.reader, tenant, &flow.name, hash).await;
                version.ok().and_then(|version| version.plan.settings().retention_days)
            }
            None => None,
        };
        days.insert(flow.name, kept.unwrap_or(default_days));
    }
    Ok(days)
}

async fn delete_objects(shared: &Shared, tenant: Tenant) {
    let now = u64::try_from(shared.now().millis()).unwrap_or(0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
    let referenced = |names: Vec<String>| {
        let query = move |store: &dyn Store| store.objects_referenced(tenant, &names);
        let answer = shared.reader.query(query);
        async move { answer.await.map_err(|error| error.to_string()) }
    };
    match shared.lasting.objects.sweep(tenant, now, referenced).await {
        Ok(swept) if swept.deleted > 0 => {
            tracing::info!(
                objects = swept.deleted,
                bytes = swept.bytes,
                "objects that nothing names were deleted"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "objects cannot be swept now"),
    }
}
