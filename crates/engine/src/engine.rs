//! The engine as others hold it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flux_core::plan::{Catalog, Plan};
use flux_egress::Egress;
use flux_model::execution::ExecutionResult;
use flux_model::ids::{ExecutionId, ReviewId, Tenant};
use flux_model::journal::Entry;
use flux_model::review::Decision;
use flux_nodes::Registry;
use flux_objects::Objects;
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::{Command, ExecutionFilter, Health, Outcome, PageRequest, Reader, Store};
use parking_lot::RwLock;
use tokio::sync::{broadcast, watch};

use crate::admission::{Admission, Admitted, Answer, Waiting};
use crate::admit::admit;
use crate::clock::{Clock, Random};
use crate::control::{self, Cancelled, Rerun, SignalSent, Signalled};
use crate::error::{AdmissionError, DecideError, EngineError, StartError};
use crate::events::EngineEvent;
use crate::functions::FunctionParts;
use crate::health::{Counters, EngineHealth, EngineStats, HealthState, PARKED_LISTED_MAX};
use crate::journal::{JOURNAL_PART_BYTES, Journal, JournalPart, LogPart, LogQuery};
use crate::reading::{self, NodeRun, Span};
use crate::recover::{prove_writable, recover};
use crate::settings::EngineSettings;
use crate::shared::{Lasting, Phase, Shared};
use crate::{direct, retention, schedule, sweep, timers};

/// Executions in one trace.
pub const TRACE_EXECUTIONS_MAX: usize = 50;
const _: () = assert!(TRACE_EXECUTIONS_MAX <= PAGE_ROWS_MAX);

/// What an engine is made of.
pub struct EngineParts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where large values are kept.
    pub objects: Objects,
    /// The node types and their executors.
    pub registry: Arc<Registry>,
    /// The way out.
    pub egress: Egress,
    /// What runs TypeScript; without it `function.call` and `code.run` fail.
    pub functions: Option<FunctionParts>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness of ids.
    pub random: Arc<dyn Random>,
    /// How it behaves.
    pub settings: EngineSettings,
}

/// The plan of a flow that is switched on.
#[derive(Debug, Clone)]
pub struct ActivePlan {
    /// Whose flow it is.
    pub tenant: Tenant,
    /// The hash of the version.
    pub version: Arc<str>,
    /// The plan.
    pub plan: Arc<Plan>,
}

/// The embedded driver: accepts executions, runs them, and keeps them alive. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    lasting: Arc<Lasting>,
    current: RwLock<Arc<Shared>>,
}

impl Engine {
    /// Starts an engine: opens the store for writing, finds every execution that was not over,
    /// and sets timers, schedules and the sweeper going. What ran goes on in the background.
    ///
    /// # Errors
    /// [`StartError`] if the store fails meanwhile.
    pub async fn start(parts: EngineParts) -> Result<Self, StartError> {
        let EngineParts { store, objects, registry, egress, functions, clock, random, settings } = parts;
        let lasting = Arc::new(Lasting {
            catalog: Arc::new(Catalog::new(registry.catalog_types())),
            registry,
            egress,
            functions: functions.map(Arc::new),
            objects,
            clock,
            random,
            events: broadcast::channel(settings.events_max.max(1)).0,
            settings,
            flow_changes: watch::channel(0).0,
            counters: Counters::default(),
        });
        let shared = Shared::open(Arc::clone(&lasting), store)?;
        set_going(&shared).await?;
        Ok(Self { inner: Arc::new(Inner { lasting, current: RwLock::new(shared) }) })
    }

    /// Goes on with the store opened anew, after [`Engine::failed`]: writes to it, then recovers as
    /// at the start. Everybody who holds this engine goes on with it.
    ///
    /// # Errors
    /// [`StartError`] if the store fails again; the engine stays as it was.
    pub async fn reopen(&self, store: Arc<dyn Store>) -> Result<(), StartError> {
        let failed = self.shared();
        // Whatever is still under way began before the failure and is begun anew.
        failed.enter(Phase::Halted);
        failed.waiters.give_up();
        failed.writer.close().await;
        failed.tasks.close();
        failed.tasks.wait().await;
        let fresh = Shared::open(Arc::clone(&self.inner.lasting), store)?;
        prove_writable(&fresh).await?;
        set_going(&fresh).await?;
        *self.inner.current.write() = fresh;
        self.inner.lasting.flow_changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Ends when the store has failed; gives the reason. The way on is [`Engine::reopen`].
    pub async fn failed(&self) -> String {
        let shared = self.shared();
        let mut health = shared.writer.watch_health();
        let reason = match health.wait_for(|health| matches!(health, Health::Failed(_))).await.as_deref() {
            Ok(Health::Failed(error)) => Some(error.to_string()),
            // The engine was shut down in good order: there is nothing to reopen.
            Ok(Health::Working | Health::Closed) | Err(_) => None,
        };
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Accepts an execution, whatever starts it. Durable when it returns.
    ///
    /// # Errors
    /// [`AdmissionError`] if it is refused.
    pub async fn admit(&self, admission: Admission) -> Result<Admitted, AdmissionError> {
        Ok(admit(&self.shared(), admission, None).await?.0)
    }

    /// Accepts an execution and waits for its answer; [`Answer::Pending`] if it takes longer.
    ///
    /// # Errors
    /// [`EngineError::Admission`] if it is refused, others if the engine fails meanwhile.
    pub async fn run(
        &self,
        admission: Admission,
        waiting: Waiting,
    ) -> Result<(Admitted, Answer), EngineError> {
        control::run(&self.shared(), admission, waiting).await
    }

    /// Runs an execution whose caller needs its output and not its record: what happened is written
    /// when it is over, off the caller's way. A crash in the meantime leaves nothing of it behind.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn call(
        &self,
        admission: Admission,
        timeout: Duration,
    ) -> Result<(Admitted, Answer), EngineError> {
        direct::call(&self.shared(), admission, timeout).await
    }

    /// Waits for the answer of an execution that was accepted before.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if there is none, others if the engine fails meanwhile.
    pub async fn wait(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        waiting: Waiting,
    ) -> Result<Answer, EngineError> {
        control::wait(&self.shared(), tenant, id, waiting).await
    }

    /// Takes a person's decision on a review; gives the execution it belongs to.
    ///
    /// # Errors
    /// [`DecideError::Conflict`] if the review is over or has another version.
    pub async fn decide(
        &self,
        tenant: Tenant,
        review: ReviewId,
        decision: Decision,
    ) -> Result<ExecutionId, DecideError> {
        control::decide(&self.shared(), tenant, review, decision).await
    }

    /// Delivers a signal.
    ///
    /// # Errors
    /// [`EngineError::WrongStatus`] if the execution is over or has not started.
    pub async fn signal(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        signal: SignalSent,
    ) -> Result<Signalled, EngineError> {
        control::signal(&self.shared(), tenant, id, signal).await
    }

    /// Asks an execution to stop.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if there is none.
    pub async fn cancel(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        reason: &str,
    ) -> Result<Cancelled, EngineError> {
        control::cancel(&self.shared(), tenant, id, reason).await
    }

    /// Runs an execution that is over again, as a new one.
    ///
    /// # Errors
    /// [`EngineError::WrongStatus`] if it is not over, [`EngineError::UnknownNode`] if the flow has
    /// no such node.
    pub async fn rerun(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        rerun: Rerun,
    ) -> Result<Admitted, EngineError> {
        control::rerun(&self.shared(), tenant, id, rerun).await
    }

    /// Writes anything that is not an execution: flows, secrets, keys, projects. The only way to
    /// do so beside an engine, since it keeps what the engine remembers true.
    ///
    /// # Errors
    /// [`EngineError::Write`] if it was not written.
    pub async fn submit(&self, command: Command) -> Result<Outcome, EngineError> {
        let shared = self.shared();
        let changed = changes_flows_of(&command);
        let outcome = shared.writer.submit(command).await?;
        if let Some(tenant) = changed {
            shared.plans.changed(tenant);
            shared.lasting.flow_changes.send_modify(|changes| *changes += 1);
        }
        Ok(outcome)
    }

    /// For queries.
    pub fn reader(&self) -> Reader {
        self.shared().reader.clone()
    }

    /// The node types, for planning.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.lasting.catalog)
    }

    /// The plan of the active version of every flow that is switched on: what trigger adapters
    /// build their routes of. Versions that do not plan are left out and logged.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store fails.
    pub async fn active_plans(&self) -> Result<Vec<ActivePlan>, EngineError> {
        active_plans(&self.shared()).await
    }

    /// Counts the changes of flows; whoever keeps something that is built from
    /// [`Engine::active_plans`] builds it anew when this changes.
    pub fn flow_changes(&self) -> watch::Receiver<u64> {
        self.inner.lasting.flow_changes.subscribe()
    }

    /// The journal of an execution, with its stored values put back.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] if it is more than one answer holds, [`EngineError::Corrupt`] if
    /// it cannot be read.
    pub async fn journal(&self, tenant: Tenant, id: ExecutionId) -> Result<Vec<Entry>, EngineError> {
        let shared = self.shared();
        shared.row(tenant, id).await?;
        entries(&shared, tenant, id).await
    }

    /// A part of the journal of an execution from this entry on, with its stored values put back. It
    /// ends with the record that reaches [`crate::JOURNAL_PART_BYTES`].
    ///
    /// # Errors
    /// As [`Engine::journal`], but never [`EngineError::TooLarge`].
    pub async fn journal_part(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        from_seq: u64,
    ) -> Result<JournalPart, EngineError> {
        let shared = self.shared();
        shared.row(tenant, id).await?;
        Journal { shared: &shared, tenant, id }.part(from_seq, JOURNAL_PART_BYTES).await
    }

    /// How an execution ended, with its whole output; `None` while it has not.
    ///
    /// # Errors
    /// As [`Engine::journal`].
    pub async fn result(
        &self,
        tenant: Tenant,
        id: ExecutionId,
    ) -> Result<Option<ExecutionResult>, EngineError> {
        let shared = self.shared();
        let row = shared.row(tenant, id).await?;
        if !row.status.is_terminal() {
            return Ok(None);
        }
        Journal { shared: &shared, tenant, id }.result(&row).await
    }

    /// The node runs of an execution.
    ///
    /// # Errors
    /// As [`Engine::journal`].
    pub async fn node_runs(&self, tenant: Tenant, id: ExecutionId) -> Result<Vec<NodeRun>, EngineError> {
        let shared = self.shared();
        let row = shared.row(tenant, id).await?;
        let version = shared.plans.version(&shared.reader, tenant, &row.flow, &row.version).await?;
        Ok(reading::node_runs(&entries(&shared, tenant, id).await?, version.plan.flow()))
    }

    /// Some lines of the log of an execution, whatever the length of its journal.
    ///
    /// # Errors
    /// As [`Engine::journal_part`].
    pub async fn log_part(
        &self,
        tenant: Tenant,
        id: ExecutionId,
        query: LogQuery,
    ) -> Result<LogPart, EngineError> {
        let shared = self.shared();
        shared.row(tenant, id).await?;
        Journal { shared: &shared, tenant, id }.log(&query).await
    }

    /// The spans of all executions that share a request id, oldest first; of the newest
    /// [`TRACE_EXECUTIONS_MAX`] if there are more.
    ///
    /// # Errors
    /// As [`Engine::journal`].
    pub async fn trace(&self, tenant: Tenant, request_id: &str) -> Result<Vec<Span>, EngineError> {
        let filter =
            ExecutionFilter { request_id: Some(request_id.to_owned()), ..ExecutionFilter::default() };
        let page = PageRequest::first(TRACE_EXECUTIONS_MAX);
        let rows = self.reader().query(move |store| store.executions(tenant, &filter, page)).await?;
        let members: BTreeSet<ExecutionId> = rows.items.iter().map(|row| row.id).collect();
        let mut spans = Vec::new();
        for row in rows.items.iter().rev() {
            // One journal at a time is in memory: spans have none of its values.
            let runs = self.node_runs(tenant, row.id).await?;
            spans.append(&mut reading::spans(row, &runs, &members));
        }
        Ok(spans)
    }

    /// Follows changes of executions, nodes and reviews of all tenants.
    pub fn events(&self) -> broadcast::Receiver<EngineEvent> {
        self.inner.lasting.events.subscribe()
    }

    /// What it can do at the moment.
    pub fn health(&self) -> EngineHealth {
        let shared = self.shared();
        let state = match (shared.writer.health(), shared.phase()) {
            (Health::Failed(error), _) => HealthState::StorageUnavailable { reason: error.to_string() },
            (Health::Working, Phase::Working) => HealthState::Working,
            (Health::Closed, _) | (Health::Working, Phase::Stopping | Phase::Halted) => HealthState::Stopping,
        };
        let parked = shared.parked.lock();
        let parked = parked.iter().take(PARKED_LISTED_MAX).map(|(id, parked)| (*id, parked.reason.clone()));
        EngineHealth { state, parked: parked.collect() }
    }

    /// What it holds and has counted.
    pub fn stats(&self) -> EngineStats {
        let shared = self.shared();
        let counters = &shared.lasting.counters;
        EngineStats {
            owned: shared.owners.len(),
            pending_commands: shared.writer.waiting(),
            timers: shared.timers.len(),
            admitted: counters.admitted.get(),
            refused: counters.refused.get(),
            ended: counters.ended.get(),
            commits: counters.commits.get(),
            loaded: counters.loaded.get(),
            sweeps: counters.sweeps.get(),
            violations: counters.violations.get(),
            deleted: counters.deleted.get(),
        }
    }

    /// Stops: accepts nothing more, lets running steps reach a commit for at most `grace`, writes
    /// everything and closes the writer. What still runs then goes on after the next start.
    pub async fn shutdown(&self, grace: Duration) {
        let shared = self.shared();
        shared.enter(Phase::Stopping);
        shared.tasks.close();
        let ended = tokio::select! {
            biased;
            () = shared.tasks.wait() => true,
            () = shared.lasting.clock.sleep(grace) => false,
        };
        shared.enter(Phase::Halted);
        if !ended {
            shared.tasks.wait().await;
        }
        shared.waiters.give_up();
        shared.writer.close().await;
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.inner.current.read())
    }
}

/// Recovers what the store holds, and sets going what always runs.
async fn set_going(shared: &Arc<Shared>) -> Result<(), StartError> {
    recover(shared).await?;
    shared.tasks.spawn(timers::run(Arc::clone(shared)));
    shared.tasks.spawn(schedule::run(Arc::clone(shared)));
    shared.tasks.spawn(sweep::run(Arc::clone(shared)));
    shared.tasks.spawn(retention::run(Arc::clone(shared)));
    shared.tasks.spawn(give_up_on_failure(Arc::clone(shared)));
    Ok(())
}

/// When the store fails, nobody who waits will hear anything: they are told so at once.
async fn give_up_on_failure(shared: Arc<Shared>) {
    let mut health = shared.writer.watch_health();
    tokio::select! {
        () = shared.stop.cancelled() => {}
        _ = health.wait_for(|health| *health != Health::Working) => shared.waiters.give_up(),
    }
}

pub(crate) async fn active_plans(shared: &Arc<Shared>) -> Result<Vec<ActivePlan>, EngineError> {
    let rows = shared.reader.query(|store| store.active_flows()).await?;
    let mut plans = Vec::with_capacity(rows.len());
    for row in rows {
        match shared.plans.compile(&row.flow, &row.hash, &row.definition) {
            Ok(version) => plans.push(ActivePlan {
                tenant: row.tenant,
                version: Arc::clone(&version.hash),
                plan: Arc::clone(&version.plan),
            }),
            Err(error) => tracing::error!(flow = row.flow, %error, "a flow that is switched on cannot run"),
        }
    }
    Ok(plans)
}

async fn entries(shared: &Shared, tenant: Tenant, id: ExecutionId) -> Result<Vec<Entry>, EngineError> {
    Journal { shared, tenant, id }.entries(shared.lasting.settings.journal_read_bytes_max).await
}

/// Whose flows a command changes.
fn changes_flows_of(command: &Command) -> Option<Tenant> {
    match command {
        Command::PublishFlow(publish) => Some(publish.draft.tenant),
        Command::RestoreFlow(restore) => Some(restore.tenant),
        Command::SetFlowState(set) => Some(set.tenant),
        Command::DeleteFlow { tenant, .. } => Some(*tenant),
        Command::Accept(_)
        | Command::Append(_)
        | Command::Release(_)
        | Command::Promote(_)
        | Command::Retain(_)
        | Command::SaveDraft(_)
        | Command::PutSecret(_)
        | Command::DeleteSecret { .. }
        | Command::PutDataKey(_)
        | Command::PutKey(_)
        | Command::RevokeKey { .. }
        | Command::TouchKey { .. }
        | Command::PutTriggerState(_)
        | Command::EnsureProject(_) => None,
    }
}
