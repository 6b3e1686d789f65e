//! A store that a test can look into, hold up and break.

use std::collections::BTreeSet;
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
    faults: Mutex<Faults>,
    opened: Condvar,
}

/// Which commands something goes wrong with.
type Which = Box<dyn Fn(&Command) -> bool + Send>;

#[derive(Default)]
struct Faults {
    /// Commits of these wait.
    closed: Option<Which>,
    /// Whoever reads this flow waits.
    slow_flow: Option<String>,
    /// The first commit of these is durable, but reported as failed.
    unheard: Option<Which>,
    /// Commits fail.
    broken: bool,
}

impl TestStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, steps: Mutex::default(), faults: Mutex::default(), opened: Condvar::new() })
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
        self.close_for(|_| true);
    }

    /// From now on commits of such commands wait, and those behind them.
    pub(crate) fn close_for(&self, which: impl Fn(&Command) -> bool + Send + 'static) {
        self.faults.lock().unwrap().closed = Some(Box::new(which));
    }

    /// From now on whoever reads this flow waits.
    pub(crate) fn hold_flow(&self, name: &str) {
        self.faults.lock().unwrap().slow_flow = Some(name.to_owned());
    }

    /// Whoever waits goes on.
    pub(crate) fn open(&self) {
        let mut faults = self.faults.lock().unwrap();
        (faults.closed, faults.slow_flow) = (None, None);
        self.opened.notify_all();
    }

    /// From now on commits fail.
    pub(crate) fn fail(&self) {
        self.faults.lock().unwrap().broken = true;
    }

    /// The first commit of such a command is durable, but nobody hears of it, and then all fail: as
    /// if the process died before it did what the commit asks for.
    pub(crate) fn fail_after(&self, which: impl Fn(&Command) -> bool + Send + 'static) {
        self.faults.lock().unwrap().unheard = Some(Box::new(which));
    }

    /// Whether commits fail.
    pub(crate) fn is_broken(&self) -> bool {
        self.faults.lock().unwrap().broken
    }
}

fn full() -> StoreError {
    StoreError::Unavailable { doing: "writing", reason: "the disk is full".to_owned() }
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
        let has = |which: &Option<Which>| which.as_ref().is_some_and(|which| commands.iter().any(which));
        let faults = self.faults.lock().unwrap();
        let mut faults = self.opened.wait_while(faults, |faults| has(&faults.closed)).unwrap();
        if faults.broken {
            return Err(full());
        }
        let outcomes = self.inner.commit_batch(commands)?;
        if has(&faults.unheard) {
            faults.broken = true;
            return Err(full());
        }
        drop(faults);
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

    fn flow(&self, tenant: Tenant, name: &str) -> Result<Option<FlowRow>> {
        let slow = |faults: &mut Faults| faults.slow_flow.as_deref() == Some(name);
        drop(self.opened.wait_while(self.faults.lock().unwrap(), slow).unwrap());
        self.inner.flow(tenant, name)
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
