//! Starting a worker: process, handshake, bundle.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::table::Table;
use super::{Keeper, Worker, read, watch};
use crate::bundle::{Bundle, Node};
use crate::error::{CallSite, ProjectFault, Thrown};
use crate::faults::code_frame_of;
use crate::link::{FrameReader, Link, ReadError, Urgency};
use crate::process::{Evidence, Plan, StartError};
use crate::protocol::heads::{self, LoadedFunction};
use crate::protocol::{Kind, PROTOCOL};
use crate::settings::Settings;

/// How long modules may take to load.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last words of a process that ended may take.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// Bytes of the randomness for what modules do while they load.
const SEED_BYTES: usize = 32;

/// What every worker of a version is made from.
#[derive(Debug)]
pub(crate) struct WorkerPlan {
    pub(crate) process: Plan,
    /// Where sockets are made.
    pub(crate) sockets: PathBuf,
    pub(crate) bundle: Bundle,
    pub(crate) settings: Arc<Settings>,
    pub(crate) keeper: Weak<dyn Keeper>,
    /// Each worker holds a sender, so that the end of all of them can be waited for.
    pub(crate) alive: tokio::sync::mpsc::WeakSender<()>,
}

impl std::fmt::Debug for dyn Keeper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a keeper of workers")
    }
}

/// What a worker says of the functions it loaded.
pub(crate) type Loaded = Vec<LoadedFunction>;

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerStartError {
    #[error(transparent)]
    Process(#[from] StartError),
    #[error("the functions did not load: {0}")]
    Broken(String),
    #[error("the functions did not load within {} ms (LOAD_TIMEOUT): a module waits at its top level", LOAD_TIMEOUT.as_millis())]
    Silent,
    #[error("the runtime is shutting down")]
    ShuttingDown,
    #[error("functions do not load")]
    Faults(Vec<ProjectFault>),
}

impl Worker {
    /// Starts a process, loads the bundle and supervises it from then on.
    pub(crate) async fn start(
        plan: Arc<WorkerPlan>,
        number: u64,
    ) -> Result<(Arc<Self>, Loaded), WorkerStartError> {
        let alive = plan.alive.upgrade().ok_or(WorkerStartError::ShuttingDown)?;
        let socket = plan.sockets.join(format!("{}-{number}", &plan.bundle.id.to_string()[..12]));
        let process = plan.process.start(&socket).await?;
        let (link, mut reader) = Link::new(process.stream);
        let writer = Arc::clone(&link);
        let writing = tokio::spawn(async move { writer.write_scheduled().await });
        let handshake = load(&link, &mut reader, &plan, &process.evidence);
        let loaded = match tokio::time::timeout(LOAD_TIMEOUT, handshake).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(error)) => {
                writing.abort();
                return Err(error);
            }
            Err(_) => {
                writing.abort();
                return Err(WorkerStartError::Silent);
            }
        };
        let worker = Arc::new(Self {
            number,
            link,
            evidence: process.evidence,
            table: parking_lot::Mutex::new(Table::default()),
            death: parking_lot::Mutex::default(),
            started: Instant::now(),
            heard_ms: AtomicU64::new(0),
            served: AtomicU64::new(0),
            places: AtomicUsize::new(0),
            busy: tokio::sync::Notify::new(),
            _alive: alive,
            plan,
        });
        watch::begin(&worker, process.child, reader, writing);
        Ok((worker, loaded))
    }
}

async fn load(
    link: &Link,
    reader: &mut FrameReader,
    plan: &WorkerPlan,
    evidence: &Evidence,
) -> Result<Loaded, WorkerStartError> {
    let bundle = &plan.bundle;
    let hello = serde_json::to_vec(&heads::Hello { protocol: PROTOCOL }).expect("a number is JSON");
    link.send(Kind::Hello, 0, (&hello, b""), Urgency::Idle);
    let ready: heads::Ready = expect(link, reader, evidence, Kind::Ready).await?;
    if ready.protocol != PROTOCOL {
        let message = format!("it speaks version {} of the protocol, not {PROTOCOL}", ready.protocol);
        return Err(WorkerStartError::Broken(message));
    }
    let mut seed = [0; SEED_BYTES];
    getrandom::fill(&mut seed).expect("the operating system gives randomness");
    let root = format!("{}/", bundle.folder.display());
    let functions = bundle.functions.iter();
    let load = heads::Load {
        root: &root,
        functions: functions
            .map(|function| heads::LoadFunction { name: &function.name, file: &function.file })
            .collect(),
        node: bundle.node == Node::Reachable,
        seed: hex::encode(seed),
    };
    let head = serde_json::to_vec(&load).expect("texts are JSON");
    link.send(Kind::Load, 0, (&head, b""), Urgency::Idle);
    let loaded: heads::Loaded = expect(link, reader, evidence, Kind::Loaded).await?;
    let faults: Vec<ProjectFault> =
        loaded.functions.iter().filter_map(|function| fault_of(function, bundle)).collect();
    if faults.is_empty() { Ok(loaded.functions) } else { Err(WorkerStartError::Faults(faults)) }
}

/// The next frame of this kind; modules may log before it.
async fn expect<T: serde::de::DeserializeOwned>(
    link: &Link,
    reader: &mut FrameReader,
    evidence: &Evidence,
    kind: Kind,
) -> Result<T, WorkerStartError> {
    loop {
        let frame = match reader.next().await {
            Ok(frame) => frame,
            Err(ReadError::Closed | ReadError::Io(_)) => return Err(ended_while_loading(evidence).await),
            Err(error @ ReadError::Malformed(_)) => return Err(WorkerStartError::Broken(error.to_string())),
        };
        if frame.kind == kind {
            return read(&frame.head).map_err(WorkerStartError::Broken);
        }
        if frame.kind == Kind::Log {
            let log: heads::Log = read(&frame.head).map_err(WorkerStartError::Broken)?;
            tracing::info!(level = ?log.level, message = log.message, "a module of a function logged while it loaded");
        } else if frame.kind == Kind::Call {
            let message = br#"{"error":{"code":"unsupported_api","message":"nothing can be asked while modules load"}}"#;
            link.send(Kind::Answer, frame.id, (message, b""), Urgency::Busy);
        } else {
            return Err(WorkerStartError::Broken(format!("{:?} came instead of {kind:?}", frame.kind)));
        }
    }
}

async fn ended_while_loading(evidence: &Evidence) -> WorkerStartError {
    // Its last words come by another way than its end.
    tokio::time::sleep(LAST_WORDS).await;
    let errors = evidence.last_errors();
    let why = if evidence.ran_out_of_memory() { "it ran out of memory" } else { "its process ended" };
    WorkerStartError::Broken(if errors.is_empty() { why.to_owned() } else { format!("{why}: {errors}") })
}

fn fault_of(function: &LoadedFunction, bundle: &Bundle) -> Option<ProjectFault> {
    let error = function.error.as_ref()?;
    let site =
        error.frames.iter().map(|frame| &frame.site).find(|site| !site.file.starts_with("node_modules/"));
    let declared = bundle.functions.iter().find(|declared| declared.name == function.name);
    let place = site.map(ToString::to_string).or_else(|| declared.map(|declared| declared.file.clone()));
    Some(ProjectFault {
        place: place.unwrap_or_else(|| function.name.clone()),
        message: message_of(error),
        suggestion: None,
        code_frame: site.and_then(|site: &CallSite| code_frame_of(bundle, site)),
    })
}

fn message_of(error: &Thrown) -> String {
    if error.code.is_some() { error.message.clone() } else { format!("{}: {}", error.name, error.message) }
}
