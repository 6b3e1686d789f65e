//! How much the engine does on SQLite, without HTTP:
//! `cargo run --release -p flux-engine --example engine_bench`.
//!
//! Prints executions per second and latencies of a flow of pure nodes and of one with three
//! effects, and how long it takes to start with many waiting executions.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has no result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_egress::files::{FileContent, FileError, FileSink};
use flux_egress::vault::NoSecrets;
use flux_egress::{Egress, FileStore, Policy, Setup};
use flux_engine::{
    Admission, Engine, EngineParts, EngineSettings, SystemClock, SystemRandom, TriggerKind, Until, Waiting,
};
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::ids::{OrganizationId, ProjectId, Tenant};
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Flow, Purity, Shape, Timestamp, Value};
use flux_nodes::{Attempt, Executor, NodeDefinition, Registry};
use flux_objects::Objects;
use flux_store::Command;
use flux_store::flows::{PublishFlow, SaveDraft};
use flux_store_sqlite::{Options, SqliteStore};
use futures::future::BoxFuture;

const CONNECTIONS: usize = 64;
const MEASURED: Duration = Duration::from_secs(5);
const WAITING: usize = 100_000;

const PURE: &str = r#"{"name":"pure","nodes":[{"key":"start","type":"trigger.manual"},
    {"key":"a","type":"data.set","config":{"values":{"n":"{{ start.n + 1 }}"}}},
    {"key":"b","type":"logic.if","config":{"condition":"{{ a.n > 0 }}"}},
    {"key":"c","type":"data.transform","config":{"expression":"{{ a.n * 2 }}"}},
    {"key":"reply","type":"flow.respond","config":{"body":"{{ c }}"}}],
    "edges":[{"from":"start","to":"a"},{"from":"a","to":"b"},{"from":"b.true","to":"c"},{"from":"c","to":"reply"}]}"#;
const EFFECTS: &str = r#"{"name":"effects","nodes":[{"key":"start","type":"trigger.manual"},
    {"key":"a","type":"bench.effect"},{"key":"b","type":"bench.effect"},{"key":"c","type":"bench.effect"}],
    "edges":[{"from":"start","to":"a"},{"from":"a","to":"b"},{"from":"b","to":"c"}]}"#;
const WAITS: &str = r#"{"name":"waits","nodes":[{"key":"start","type":"trigger.manual"},
    {"key":"wait","type":"human.review","config":{"title":"t","content":"{{ start }}"}}],
    "edges":[{"from":"start","to":"wait"}]}"#;

fn main() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = start(folder.path()).await;
        for flow in [PURE, EFFECTS, WAITS] {
            publish(&engine, flow).await;
        }
        for connections in [1, CONNECTIONS] {
            measure(&engine, "pure", connections).await;
            measure(&engine, "effects", connections).await;
        }
        fill(&engine).await;
        engine.shutdown(Duration::from_secs(1)).await;
    });
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let before = resident_mib();
        let started = Instant::now();
        let engine = start(folder.path()).await;
        let (length, grown) = (started.elapsed(), resident_mib() - before);
        println!("start with {WAITING} waiting: {length:?}, {grown} MiB more resident, {:?}", engine.stats());
    });
}

async fn start(folder: &Path) -> Engine {
    let mut registry = Registry::standard();
    registry.register::<Nothing>();
    let setup = Setup::new(Policy::with_loopback(), Arc::new(NoSecrets), Arc::new(NoFiles));
    let parts = EngineParts {
        store: Arc::new(SqliteStore::open(&folder.join("store"), &Options::default()).unwrap()),
        objects: Objects::local(&folder.join("objects")).unwrap(),
        registry: Arc::new(registry),
        egress: Egress::new(setup).unwrap(),
        functions: None,
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom),
        settings: EngineSettings::default(),
    };
    Engine::start(parts).await.unwrap()
}

async fn publish(engine: &Engine, flow: &str) {
    let flow: Flow = serde_json::from_str(flow).unwrap();
    let draft = SaveDraft {
        tenant: tenant(),
        name: flow.name.clone(),
        definition: serde_json::to_string(&flow).unwrap(),
        hash: flow.content_hash(),
        expected_revision: None,
        at: Timestamp::default(),
    };
    let publish = PublishFlow { draft, author: "bench".to_owned() };
    engine.submit(Command::PublishFlow(publish)).await.unwrap();
}

fn admission(flow: &str) -> Admission {
    let mut admission =
        Admission::new(tenant(), flow, TriggerKind::Api, Value::object([("n", Value::from(7_i64))]));
    admission.request_id = format!("request-{flow}");
    admission
}

async fn measure(engine: &Engine, flow: &'static str, connections: usize) {
    let end = Instant::now() + MEASURED;
    let waiting = Waiting { until: Until::End, timeout: Duration::from_secs(60) };
    let callers = (0..connections).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let started = Instant::now();
                engine.run(admission(flow), waiting).await.unwrap();
                latencies.push(started.elapsed());
            }
            latencies
        })
    });
    let mut latencies = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        latencies.extend(caller.await.unwrap());
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let per_second = latencies.len() as f64 / MEASURED.as_secs_f64();
    println!("{flow}, {connections} callers: {per_second:.0}/s, p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}

/// Makes executions that wait.
async fn fill(engine: &Engine) {
    let started = Instant::now();
    let callers = (0..CONNECTIONS).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for _ in 0..WAITING / CONNECTIONS {
                engine.admit(admission("waits")).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    println!("{WAITING} reviews opened in {:?}", started.elapsed());
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(2) }
}

/// An effect that ends at once.
struct Nothing;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoConfig {}

impl NodeDefinition for Nothing {
    const NAME: &'static str = "bench.effect";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Ends at once.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(nothing);

    type Config = NoConfig;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}

fn nothing<'a>(_: NoConfig, _: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    Box::pin(async { Ok(TaskOutput::main(Value::Null)) })
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
