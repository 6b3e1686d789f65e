//! `GET /status`: how the server is, and where the project's executions stand.

use axum::extract::State;
use flux_engine::{EngineHealth, EngineStats, HealthState};
use flux_store::executions::StatusCounts;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::refusal::ReadError;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The version of Flux.
    version: &'static str,
    /// Whether executions are accepted.
    state: ServerState,
    /// Where the project's executions stand.
    executions: Counts,
    /// What the engine holds, over all projects.
    engine: EngineNumbers,
}

/// Whether executions are accepted.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ServerState {
    /// They are.
    Working,
    /// The store failed.
    StorageUnavailable,
    /// The server is stopping.
    Stopping,
}

/// How many executions have each status.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatusCounts)]
struct Counts {
    queued: u64,
    running: u64,
    waiting: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
}

/// What the engine holds now and has counted since it started.
#[derive(Debug, Serialize, ToSchema)]
struct EngineNumbers {
    /// Executions in memory.
    owned: usize,
    /// Commands that wait for the disk.
    pending_commands: usize,
    /// Timers in memory.
    timers: usize,
    /// Executions that cannot go on because their journal cannot be read.
    parked: usize,
    /// Executions accepted.
    admitted: u64,
    /// Executions refused.
    refused: u64,
    /// Executions that ended.
    ended: u64,
    /// Executions found without owner, timer or wait. Each is a fault.
    violations: u64,
}

/// Says how the server is, and where the project's executions stand.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = Status)))]
pub(crate) async fn get_status(caller: Caller, State(app): State<Shared>) -> Result<Json<Status>, ReadError> {
    let counts = app.reader().query(move |store| store.status_counts(caller.tenant)).await?;
    let health = app.engine.health();
    let state = match health.state {
        HealthState::Working => ServerState::Working,
        HealthState::StorageUnavailable { .. } => ServerState::StorageUnavailable,
        HealthState::Stopping => ServerState::Stopping,
    };
    let engine = EngineNumbers::of(&health, app.engine.stats());
    let version = env!("CARGO_PKG_VERSION");
    Ok(Json(Status { version, state, executions: counts.into(), engine }))
}

impl From<StatusCounts> for Counts {
    fn from(counts: StatusCounts) -> Self {
        let StatusCounts { queued, running, waiting, succeeded, failed, cancelled } = counts;
        Self { queued, running, waiting, succeeded, failed, cancelled }
    }
}

impl EngineNumbers {
    fn of(health: &EngineHealth, stats: EngineStats) -> Self {
        Self {
            owned: stats.owned,
            pending_commands: stats.pending_commands,
            timers: stats.timers,
            parked: health.parked.len(),
            admitted: stats.admitted,
            refused: stats.refused,
            ended: stats.ended,
            violations: stats.violations,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, flow};

    #[tokio::test]
    async fn it_counts() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        world.run("a").await;
        let status = world.console("GET /status").send().await.is(200);
        assert_eq!((status.at("/state"), status.at("/executions/succeeded")), ("working".into(), 1.into()));
        assert_eq!((status.at("/engine/admitted"), status.at("/engine/violations")), (1.into(), 0.into()));
    }
}
