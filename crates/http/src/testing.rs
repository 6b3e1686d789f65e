//! A small world for tests: both listeners over an engine and a store in memory, a clock that is
//! set by hand, two projects, and requests that read like their request line.

pub(crate) mod issuer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use flux_egress::files::{FileContent, FileError, FileSink, FileStore};
use flux_egress::{Egress, Policy, SecretError, SecretPlain, SecretSource, vault::NoSecrets};
use flux_engine::{Clock, Engine, EngineParts, EngineSettings, SystemRandom};
use flux_model::{OrganizationId, ProjectId, Tenant, Timestamp};
use flux_nodes::Registry;
use flux_objects::Objects;
use flux_store::access::{ProjectRow, SecretRow};
use flux_store::{Command, MemoryStore};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::access::jwt::Issuer;
use crate::access::key::NewKey;
use crate::access::scope::Scope;
use crate::app::{App, AppParts, FunctionSettings, HttpLimits};
use crate::gateway::project::Projects;
use crate::serve::Peer;
use crate::vault::{Vault, VaultFailure};

/// How long a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) tenant: Tenant,
    pub(crate) clock: Arc<HandClock>,
    key: String,
    /// A key with every scope of another project.
    pub(crate) stranger: String,
    gateway: Router,
    console: Router,
    _folder: tempfile::TempDir,
}

/// What some tests want differently.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) functions: FunctionSettings,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Arc::new(HandClock::default());
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::standard());
        let engine = Engine::start(EngineParts {
            store: Arc::new(MemoryStore::new()),
            objects: Objects::local(folder.path()).unwrap(),
            registry: Arc::clone(&registry),
            egress: egress(),
            functions: None,
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            settings: EngineSettings::default(),
        });
        let engine = engine.await.unwrap();
        let (tenant, other) = (tenant(1), tenant(2));
        let key = issue(&engine, tenant, "test", &[Scope::Admin], clock.now()).await;
        let stranger = issue(&engine, other, "stranger", &[Scope::Admin], clock.now()).await;
        for tenant in [tenant, other] {
            let project = ProjectRow { tenant, name: "project".into(), created_at: clock.now() };
            engine.submit(Command::EnsureProject(project)).await.unwrap();
        }
        let vault = Arc::new(OpenVault { engine: engine.clone(), values: Mutex::default() });
        let app = App::start(AppParts {
            engine,
            registry,
            vault,
            clock: clock.clone(),
            egress: egress(),
            projects: Projects::only(tenant).named("other", other),
            issuers: [(tenant, options.issuers)].into(),
            functions: options.functions,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            console_url: "http://console".into(),
            limits: HttpLimits::default(),
            shutdown: CancellationToken::new(),
        });
        let app = app.await.unwrap();
        let gateway = crate::gateway_router(app.clone());
        let console = crate::console_router(app.clone());
        Self { app, tenant, clock, key, stranger, gateway, console, _folder: folder }
    }

    /// A request to the gateway: `POST /hooks/x`.
    pub(crate) fn gateway(&self, line: &str) -> Call {
        Call::new(self.gateway.clone(), line, "")
    }

    /// A request to the console, with a key that may do everything: `GET /flows`.
    pub(crate) fn console(&self, line: &str) -> Call {
        Call::new(self.console.clone(), line, "/api/v1").key(&self.key)
    }

    /// A key of the project with these scopes.
    pub(crate) async fn key(&self, name: &str, scopes: &[Scope]) -> String {
        issue(&self.app.engine, self.tenant, name, scopes, self.clock.now()).await
    }

    /// Saves and publishes a flow; gives its hash.
    pub(crate) async fn publish(&self, flow: Json) -> String {
        let name = flow["name"].as_str().unwrap().to_owned();
        let saved = self.console("POST /flows").json(flow).send().await;
        assert!(saved.status.is_success(), "{}", saved.text());
        let published = self.console(&format!("POST /flows/{name}/publish")).send().await.is(200);
        published.at("/hash").as_str().unwrap().to_owned()
    }

    /// Starts an execution with the input `{"n": 1}` and waits until it has ended or waits.
    pub(crate) async fn run(&self, flow: &str) -> String {
        let request = json!({"input": {"n": 1}});
        let started =
            self.console(&format!("POST /flows/{flow}/executions")).json(request).send().await.is(202);
        let id = started.at("/id").as_str().unwrap().to_owned();
        self.until(&id, |status| !matches!(status, "queued" | "running")).await;
        id
    }

    /// The execution, once it has ended.
    pub(crate) async fn settled(&self, id: &str) -> Answer {
        self.until(id, |status| matches!(status, "succeeded" | "failed" | "cancelled")).await
    }

    async fn until(&self, id: &str, reached: impl Fn(&str) -> bool) -> Answer {
        let started = Instant::now();
        loop {
            let found = self.console(&format!("GET /executions/{id}")).send().await.is(200);
            if reached(found.at("/status").as_str().unwrap()) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "still {}", found.at("/status"));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The review that an execution waits for.
    pub(crate) async fn review_of(&self, execution: &str) -> String {
        let list = self.console(&format!("GET /reviews?execution={execution}")).send().await.is(200);
        list.at("/items/0/id").as_str().unwrap().to_owned()
    }
}

pub(crate) fn tenant(number: u128) -> Tenant {
    Tenant { organization: OrganizationId::from_bits(number), project: ProjectId::from_bits(number) }
}

pub(crate) fn egress() -> Egress {
    let setup = flux_egress::Setup::new(Policy::with_loopback(), Arc::new(NoSecrets), Arc::new(NoFiles));
    Egress::new(setup).unwrap()
}

async fn issue(engine: &Engine, tenant: Tenant, name: &str, scopes: &[Scope], now: Timestamp) -> String {
    let new = NewKey { tenant, name: name.to_owned(), scopes: scopes.to_vec(), expires_at: None };
    let issued = new.issue(now).unwrap();
    engine.submit(Command::PutKey(issued.row)).await.unwrap();
    issued.text
}

/// `trigger.manual`, then `data.set` with `n` of the input.
pub(crate) fn flow(name: &str) -> Json {
    let next = json!({"key": "next", "type": "data.set", "config": {"values": {"n": "{{ start.n }}"}}});
    two_nodes(name, json!({"key": "start", "type": "trigger.manual"}), next)
}

/// A flow whose second node fails.
pub(crate) fn failing_flow(name: &str) -> Json {
    let next =
        json!({"key": "next", "type": "data.transform", "config": {"expression": "{{ parse_json('{') }}"}});
    two_nodes(name, json!({"key": "start", "type": "trigger.manual"}), next)
}

/// A flow that waits for a review of its input.
pub(crate) fn review_flow(name: &str) -> Json {
    let config = json!({"title": "Good?", "content": "{{ start }}"});
    let next = json!({"key": "next", "type": "human.review", "config": config});
    two_nodes(name, json!({"key": "start", "type": "trigger.manual"}), next)
}

/// A flow that waits for the signal `go`.
pub(crate) fn signal_flow(name: &str) -> Json {
    let next = json!({"key": "next", "type": "flow.signal", "config": {"name": "go"}});
    two_nodes(name, json!({"key": "start", "type": "trigger.manual"}), next)
}

/// A webhook with this config, then `data.set` with what came.
pub(crate) fn hook_flow(name: &str, config: Json) -> Json {
    let values =
        json!({"body": "{{ hook.body }}", "params": "{{ hook.params }}", "query": "{{ hook.query }}"});
    let next = json!({"key": "next", "type": "data.set", "config": {"values": values}});
    two_nodes(name, json!({"key": "hook", "type": "trigger.webhook", "config": config}), next)
}

/// A function with this trigger config, then `data.transform` to what `function.call` would give: an
/// object with the trigger's output as the output.
pub(crate) fn function_flow(name: &str, config: Json) -> Json {
    function_giving(name, config, "{{ {output: call} }}")
}

/// A function with this trigger config whose execution ends with this value.
pub(crate) fn function_giving(name: &str, config: Json, expression: &str) -> Json {
    let next = json!({"key": "next", "type": "data.transform", "config": {"expression": expression}});
    two_nodes(name, json!({"key": "call", "type": "trigger.function", "config": config}), next)
}

fn two_nodes(name: &str, first: Json, second: Json) -> Json {
    let edges = json!([{"from": first["key"], "to": second["key"]}]);
    json!({"flux": 1, "name": name, "nodes": [first, second], "edges": edges})
}

/// A request that is being put together.
pub(crate) struct Call {
    router: Router,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    peer: String,
}

impl Call {
    fn new(router: Router, line: &str, prefix: &str) -> Self {
        let (method, path) = line.split_once(' ').unwrap();
        let path = format!("{prefix}{path}");
        let peer = "192.0.2.1".to_owned();
        Self { router, method: method.to_owned(), path, headers: Vec::new(), body: None, peer }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self
    }

    pub(crate) fn peer(mut self, address: &str) -> Self {
        self.peer = address.to_owned();
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self.header("content-type", "application/json")
    }

    pub(crate) fn json(self, body: Json) -> Self {
        self.body(body.to_string())
    }

    pub(crate) async fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(self.body.map_or_else(Body::empty, Body::from)).unwrap();
        request.extensions_mut().insert(Peer((self.peer.parse::<std::net::IpAddr>().unwrap(), 1).into()));
        let (parts, body) = self.router.oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, bytes };
        assert!(answer.headers.contains_key("x-request-id"), "an answer without id");
        if answer.status.is_client_error() || answer.status.is_server_error() {
            answer.check_problem(&self.method);
        }
        answer
    }
}

/// What came back.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    /// Every error is a problem with its id, except where a page or a flow answers.
    fn check_problem(&self, method: &str) {
        if method == "HEAD" || self.header("content-type") != "application/problem+json" {
            return;
        }
        assert_eq!(self.at("/request_id"), self.header("x-request-id"), "{}", self.text());
        assert_eq!(self.at("/status"), self.status.as_u16(), "{}", self.text());
        assert!(self.at("/title").is_string() && self.at("/detail").is_string(), "{}", self.text());
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        let detail = self.at("/detail");
        let said = detail.as_str().is_some_and(|detail| detail.contains(part));
        assert!(said, "`{part}` is not in {}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn has_code(self, code: &str) -> Self {
        assert_eq!(self.at("/code"), code, "{}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn body_is(self, text: &str) -> Self {
        assert_eq!(self.text(), text);
        self
    }

    /// The member at a JSON pointer; `null` where there is none.
    pub(crate) fn at(&self, pointer: &str) -> Json {
        let json: Json = serde_json::from_slice(&self.bytes).unwrap_or_default();
        json.pointer(pointer).cloned().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The time of day when a world begins.
const START_MS: i64 = 1_763_000_000_000;

/// A clock whose time of day is set by hand. Lengths of time are real, and what it is set forward.
pub(crate) struct HandClock {
    advanced_ms: AtomicI64,
    started: Instant,
}

impl Default for HandClock {
    fn default() -> Self {
        Self { advanced_ms: AtomicI64::new(0), started: Instant::now() }
    }
}

impl HandClock {
    pub(crate) fn advance(&self, millis: i64) {
        self.advanced_ms.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn text(&self) -> String {
        self.now().to_string()
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START_MS + self.advanced_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let advanced_ms = self.advanced_ms.load(Ordering::SeqCst);
        self.started.elapsed() + Duration::from_millis(advanced_ms.unsigned_abs())
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(length))
    }
}

/// A vault that seals nothing.
struct OpenVault {
    engine: Engine,
    values: Mutex<HashMap<(ProjectId, String), SecretPlain>>,
}

impl SecretSource for OpenVault {
    fn resolve<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<SecretPlain, SecretError>> {
        let found = self.values.lock().get(&(tenant.project, name.to_owned())).cloned();
        let missing = SecretError::Missing { name: name.to_owned() };
        Box::pin(std::future::ready(found.ok_or(missing)))
    }
}

impl Vault for OpenVault {
    fn put<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
        secret: SecretPlain,
    ) -> BoxFuture<'a, Result<(), VaultFailure>> {
        let row = SecretRow {
            tenant,
            name: name.to_owned(),
            sealed: Vec::new(),
            hosts: secret.hosts.iter().map(ToString::to_string).collect(),
            updated_at: Timestamp::from_millis(1),
        };
        self.values.lock().insert((tenant.project, name.to_owned()), secret);
        Box::pin(async move {
            self.engine.submit(Command::PutSecret(row)).await.unwrap();
            Ok(())
        })
    }

    fn delete<'a>(&'a self, tenant: Tenant, name: &'a str) -> BoxFuture<'a, Result<bool, VaultFailure>> {
        let known = self.values.lock().remove(&(tenant.project, name.to_owned())).is_some();
        Box::pin(async move {
            let command = Command::DeleteSecret { tenant, name: name.to_owned() };
            self.engine.submit(command).await.unwrap();
            Ok(known)
        })
    }
}

struct NoFiles;

impl FileStore for NoFiles {
    fn create(&self, _: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        Box::pin(std::future::ready(Err(FileError::Store { message: "no files here".into() })))
    }

    fn open<'a>(&'a self, _: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        Box::pin(std::future::ready(Err(FileError::Missing { hash: hash.to_owned() })))
    }
}
