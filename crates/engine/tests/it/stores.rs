//! A store that a test can look into, hold up and break.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use flux_model::{ExecutionId, ReviewId, Tenant, Timestamp};
use flux_store::access::{DataKeyRow, KeyRow, ProjectRow, SecretName, SecretRow};
use flux_store::executions::{JournalPage, OpenCursor, OpenExecution, Slots, StatusCounts};
use flux_store::flows::{FlowRow, FlowVersionRow};
use flux_store::reviews::{ReviewFilter, ReviewRow};
use flux_store::store::{CheckDepth, CheckReport, StoreSize};
use flux_store::timers::TimerRow;
use flux_store::triggers::TriggerStateRow;
use flux_store::{Command, ExecutionFilter, ExecutionRow, Outcome, Page, PageRequest, Store, StoreError};

pub(crate) struct TestStore {
    inner: Arc<dyn Store>,
    /// Accepts and appends that were committed.
    steps: Mutex<Vec<ExecutionId>>,
    closed: Mutex<bool>,
    opened: Condvar,
    broken: AtomicBool,
}

impl TestStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            steps: Mutex::default(),
            closed: Mutex::default(),
            opened: Condvar::new(),
            broken: AtomicBool::new(false),
        })
    }

    /// How many steps of the execution were committed, its acceptance included.
    pub(crate) fn steps_of(&self, id: ExecutionId) -> usize {
        self.steps.lock().unwrap().iter().filter(|step| **step == id).count()
    }

    /// The store itself.
    pub(crate) fn inner(&self) -> Arc<dyn Store> {
        self.inner.clone()
    }

    /// From now on commits wait.
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    /// They go on.
    pub(crate) fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// From now on commits fail.
    pub(crate) fn fail(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

type Result<T> = std::result::Result<T, StoreError>;

macro_rules! delegate {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $name(&self, $($argument: $type),*) -> Result<$answer> {
            self.inner.$name($($argument),*)
        }
    )*};
}

impl Store for TestStore {
    fn commit_batch(&self, commands: &[Command]) -> Result<Vec<Outcome>> {
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { doing: "writing", reason: "the disk is full".to_owned() });
        }
        let outcomes = self.inner.commit_batch(commands)?;
        let mut steps = self.steps.lock().unwrap();
        for (command, outcome) in commands.iter().zip(&outcomes) {
            match (command, outcome) {
                (Command::Accept(accept), Outcome::Started { .. }) => steps.push(accept.execution.id),
                (Command::Append(append), Outcome::Appended { .. }) => steps.push(append.execution),
                _ => {}
            }
        }
        Ok(outcomes)
    }

    delegate! {
        execution(tenant: Tenant, id: ExecutionId) -> Option<ExecutionRow>;
        executions(tenant: Tenant, filter: &ExecutionFilter, page: PageRequest) -> Page<ExecutionRow>;
        status_counts(tenant: Tenant) -> StatusCounts;
        slots(tenant: Tenant, flow: &str, key: &str) -> Slots;
        held(tenant: Tenant, id: ExecutionId) -> Option<Vec<u8>>;
        journal(tenant: Tenant, id: ExecutionId, from_seq: u64) -> JournalPage;
        open_executions(after: Option<OpenCursor>, limit: usize) -> Vec<OpenExecution>;
        timers_due(until: Timestamp, limit: usize) -> Vec<TimerRow>;
        next_timer() -> Option<Timestamp>;
        timers_of(tenant: Tenant, id: ExecutionId) -> Vec<TimerRow>;
        reviews(tenant: Tenant, filter: &ReviewFilter, page: PageRequest) -> Page<ReviewRow>;
        review(tenant: Tenant, id: ReviewId) -> Option<ReviewRow>;
        flows(tenant: Tenant) -> Vec<FlowRow>;
        flow(tenant: Tenant, name: &str) -> Option<FlowRow>;
        flow_versions(tenant: Tenant, name: &str) -> Vec<FlowVersionRow>;
        flow_version(tenant: Tenant, name: &str, hash: &str) -> Option<FlowVersionRow>;
        active_flows() -> Vec<FlowVersionRow>;
        secret_names(tenant: Tenant) -> Vec<SecretName>;
        secret(tenant: Tenant, name: &str) -> Option<SecretRow>;
        secrets(tenant: Tenant) -> Vec<SecretRow>;
        data_keys(tenant: Tenant) -> Vec<DataKeyRow>;
        all_data_keys() -> Vec<DataKeyRow>;
        key_by_hash(hash: &[u8; 32]) -> Option<KeyRow>;
        keys(tenant: Tenant) -> Vec<KeyRow>;
        trigger_state(tenant: Tenant, flow: &str, node: &str) -> Option<TriggerStateRow>;
        trigger_states(tenant: Tenant) -> Vec<TriggerStateRow>;
        objects_referenced(tenant: Tenant, names: &[String]) -> BTreeSet<String>;
        projects() -> Vec<ProjectRow>;
        check(depth: CheckDepth) -> CheckReport;
        size() -> StoreSize;
    }
}
