//! One engine with everything around it, that a test can stop, kill and start again.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flux_egress::files::{FileContent, FileError, FileSink};
use flux_egress::vault::NoSecrets;
use flux_egress::{Egress, FileStore, Policy, Setup};
use flux_engine::reading::LogLine;
use flux_engine::{
    Admission, AdmissionError, Admitted, Answer, Engine, EngineParts, EngineSettings, LogQuery, TriggerKind,
    Until, Waiting,
};
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_model::ids::{ExecutionId, OrganizationId, ProjectId, Tenant};
use flux_model::journal::LogLevel;
use flux_model::{Flow, Value};
use flux_nodes::Registry;
use flux_objects::Objects;
use flux_store::access::ProjectRow;
use flux_store::flows::{PublishFlow, SaveDraft};
use flux_store::reviews::{ReviewFilter, ReviewRow};
use flux_store::{Command, ExecutionRow, MemoryStore, Outcome, PageRequest, Store};
use flux_store_sqlite::{Options, SqliteStore};
use futures::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::clock::{Counting, VirtualClock};
use crate::probe::{Probe, ProbeNode};
use crate::stores::TestStore;

/// Longest real time that anything in a test takes.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Sqlite,
}

/// Runs a test on every backend.
pub(crate) fn on_each(test: impl Fn(World)) {
    for backend in [Backend::Memory, Backend::Sqlite] {
        test(World::new(backend));
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) probe: Arc<Probe>,
    pub(crate) store: Arc<TestStore>,
    engine: Option<Engine>,
    runtime: Option<Runtime>,
    settings: EngineSettings,
    backend: Backend,
    memory: Arc<MemoryStore>,
    folder: tempfile::TempDir,
    name: String,
    random: Arc<Counting>,
    /// What the sweeper is expected to have found at the end.
    pub(crate) violations: Cell<u64>,
}

impl World {
    pub(crate) fn new(backend: Backend) -> Self {
        Self::with(backend, |_| {})
    }

    pub(crate) fn with(backend: Backend, change: impl FnOnce(&mut EngineSettings)) -> Self {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let name = format!("world{}", WORLDS.fetch_add(1, Ordering::SeqCst));
        let mut settings = EngineSettings::default();
        change(&mut settings);
        let folder = tempfile::tempdir().unwrap();
        let memory = Arc::new(MemoryStore::new());
        let mut world = Self {
            clock: VirtualClock::new(),
            probe: Probe::of(&name),
            store: TestStore::new(memory.clone()),
            engine: None,
            runtime: None,
            settings,
            backend,
            memory,
            folder,
            name,
            random: Arc::default(),
            violations: Cell::new(0),
        };
        world.start();
        world
    }

    /// Starts a process on what the last one left.
    pub(crate) fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        self.store = TestStore::new(self.open_store());
        let parts = self.parts();
        let tenant = tenant();
        let engine = runtime.block_on(async {
            let engine = Engine::start(parts).await.unwrap();
            let project = ProjectRow { tenant, name: "test".to_owned(), created_at: Default::default() };
            engine.submit(Command::EnsureProject(project)).await.unwrap();
            engine
        });
        (self.engine, self.runtime) = (Some(engine), Some(runtime));
    }

    pub(crate) fn open_store(&self) -> Arc<dyn Store> {
        match self.backend {
            Backend::Memory => self.memory.clone(),
            Backend::Sqlite => {
                let started = Instant::now();
                loop {
                    match SqliteStore::open(&self.folder.path().join("store"), &Options::default()) {
                        Ok(store) => return Arc::new(store),
                        // The process before still closes it.
                        Err(error) => assert!(started.elapsed() < DEADLINE, "{error}"),
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// What is stored, through a store that works again.
    pub(crate) fn same_store(&self) -> Arc<dyn Store> {
        self.store.inner()
    }

    fn parts(&self) -> EngineParts {
        let mut registry = Registry::standard();
        registry.register::<ProbeNode>();
        let setup = Setup::new(Policy::with_loopback(), Arc::new(NoSecrets), Arc::new(NoFiles));
        EngineParts {
            store: self.store.clone(),
            objects: Objects::local(&self.folder.path().join("objects")).unwrap(),
            registry: Arc::new(registry),
            egress: Egress::new(setup).unwrap(),
            functions: None,
            clock: self.clock.clone(),
            random: self.random.clone(),
            settings: self.settings.clone(),
        }
    }

    /// The process is killed: whatever it was at is gone.
    pub(crate) fn crash(&mut self) {
        self.engine = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(DEADLINE);
        }
        self.store = TestStore::new(Arc::new(MemoryStore::new()));
    }

    /// How many may run after the next start.
    pub(crate) fn set_running_max(&mut self, running_max: usize) {
        self.settings.running_max = running_max;
    }

    /// How much of a journal one answer holds after the next start.
    pub(crate) fn set_journal_read_bytes_max(&mut self, bytes: usize) {
        self.settings.journal_read_bytes_max = bytes;
    }

    pub(crate) fn restart(&mut self) {
        self.crash();
        self.start();
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub(crate) fn on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(async {
            tokio::time::timeout(DEADLINE, work).await.expect("it takes longer than DEADLINE")
        })
    }

    /// Begins something that goes on beside the test.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.as_ref().unwrap().spawn(work)
    }

    /// Publishes a flow. `$world` in it becomes the name of this world.
    pub(crate) fn publish(&self, flow: &str) {
        let flow: Flow = serde_json::from_str(&flow.replace("$world", &self.name)).unwrap();
        let draft = SaveDraft {
            tenant: tenant(),
            name: flow.name.clone(),
            definition: serde_json::to_string(&flow).unwrap(),
            hash: flow.content_hash(),
            expected_revision: None,
            at: Default::default(),
        };
        let planned = flux_core::plan::plan(&flow, &self.engine().catalog());
        assert!(planned.plan.is_some(), "{:?}", planned.diagnostics);
        let publish = Command::PublishFlow(PublishFlow { draft, author: "test".to_owned() });
        let outcome = self.on(self.engine().submit(publish)).unwrap();
        assert!(matches!(outcome, Outcome::Published { .. }), "{outcome:?}");
    }

    pub(crate) fn try_admit(&self, flow: &str, input: &str) -> Result<Admitted, AdmissionError> {
        self.on(self.engine().admit(admission(flow, input)))
    }

    pub(crate) fn admit(&self, flow: &str, input: &str) -> ExecutionId {
        self.try_admit(flow, input).unwrap().id
    }

    /// Admits a flow and waits for its end.
    pub(crate) fn run(&self, flow: &str, input: &str) -> ExecutionResult {
        let waiting = Waiting { until: Until::End, timeout: Duration::from_secs(3_600) };
        let answer = self.on(self.engine().run(admission(flow, input), waiting)).unwrap().1;
        let Answer::Ended(result) = answer else { panic!("{answer:?}") };
        result
    }

    /// Admits a flow that must succeed; gives its output.
    pub(crate) fn output(&self, flow: &str, input: &str) -> Value {
        let result = self.run(flow, input);
        let ExecutionResult::Succeeded { output } = result else { panic!("{result:?}") };
        output
    }

    pub(crate) fn row(&self, id: ExecutionId) -> ExecutionRow {
        self.store.execution(tenant(), id).unwrap().expect("the execution is there")
    }

    /// How many executions of this status are stored.
    pub(crate) fn stored(&self, status: ExecutionStatus) -> u64 {
        *self.store.status_counts(tenant()).unwrap().of(status)
    }

    /// Waits until the execution has the status.
    pub(crate) fn reaches(&self, id: ExecutionId, status: ExecutionStatus) -> ExecutionRow {
        self.until(&format!("{id} is {}", status.as_str()), || self.row(id).status == status);
        self.row(id)
    }

    /// The first lines of its log.
    pub(crate) fn log(&self, id: ExecutionId) -> Vec<LogLine> {
        let query = LogQuery { from_seq: 0, level: LogLevel::Debug, lines_max: 100 };
        self.on(self.engine().log_part(tenant(), id, query)).unwrap().lines
    }

    /// Waits until nobody owns an execution.
    pub(crate) fn is_idle(&self) {
        self.is_owned(0);
    }

    /// Waits until this many executions are owned.
    pub(crate) fn is_owned(&self, owned: usize) {
        self.until(&format!("{owned} are owned"), || self.engine().stats().owned == owned);
    }

    /// Waits for something. Meanwhile the process runs, but the time of day stands still.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
            self.clock.run(Duration::from_millis(20));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Gives the engine the chance to do what it must not do.
    pub(crate) fn settle(&self) {
        for _ in 0..60 {
            self.clock.run(Duration::from_millis(50));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn pending_review(&self, execution: ExecutionId) -> ReviewRow {
        let filter = ReviewFilter { execution: Some(execution), ..ReviewFilter::default() };
        let page = self.store.reviews(tenant(), &filter, PageRequest::first(10)).unwrap();
        page.items.into_iter().next().expect("there is a review")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take()
            && !std::thread::panicking()
        {
            assert_eq!(engine.stats().violations, self.violations.get(), "what the sweeper found");
        }
        self.probe.release_all();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(2) }
}

pub(crate) fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

pub(crate) fn admission(flow: &str, input: &str) -> Admission {
    let mut admission = Admission::new(tenant(), flow, TriggerKind::Api, json(input));
    admission.request_id = "request-1".to_owned();
    admission
}

/// A flow of these nodes in sequence after a manual trigger; each is `(key, type, rest of the node)`.
pub(crate) fn sequence(name: &str, settings: &str, nodes: &[(&str, &str, &str)]) -> String {
    let mut flow_nodes = vec![r#"{"key":"start","type":"trigger.manual"}"#.to_owned()];
    let mut edges = Vec::new();
    let mut before = "start";
    for (key, node_type, rest) in nodes {
        let comma = if rest.is_empty() { "" } else { "," };
        flow_nodes.push(format!(r#"{{"key":"{key}","type":"{node_type}"{comma}{rest}}}"#));
        edges.push(format!(r#"{{"from":"{before}","to":"{key}"}}"#));
        before = key;
    }
    format!(
        r#"{{"name":"{name}","nodes":[{}],"edges":[{}],"settings":{settings}}}"#,
        flow_nodes.join(","),
        edges.join(",")
    )
}

/// A probe node of [`sequence`] that may take ten hours; `config` are further members of its config.
pub(crate) fn probe(config: &str) -> String {
    format!(r#"{},"timeout_ms":36000000"#, impatient_probe(config))
}

/// A probe node with the default timeout.
pub(crate) fn impatient_probe(config: &str) -> String {
    let comma = if config.is_empty() { "" } else { "," };
    format!(r#""config":{{"world":"$world"{comma}{config}}}"#)
}

struct NoFiles;

impl FileStore for NoFiles {
    fn create(&self, _: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        Box::pin(async { Err(FileError::Store { message: "there are no files here".to_owned() }) })
    }

    fn open<'a>(&'a self, _: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        Box::pin(async move { Err(FileError::Missing { hash: hash.to_owned() }) })
    }
}
