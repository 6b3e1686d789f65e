//! Both listeners served on free ports over an engine in memory, and a client that sees every byte.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flux_egress::files::{FileContent, FileError, FileSink, FileStore};
use flux_egress::vault::NoSecrets;
use flux_egress::{Egress, Policy, SecretError, SecretPlain, SecretSource, Setup};
use flux_engine::{Clock, Engine, EngineParts, EngineSettings, SystemClock, SystemRandom};
use flux_http::{
    App, AppParts, BodyLimits, ConnectionLimits, FunctionSettings, HttpLimits, NewKey, Projects, Scope,
    Vault, VaultFailure, console_router, gateway_router, serve,
};
use flux_model::{OrganizationId, ProjectId, Tenant};
use flux_nodes::Registry;
use flux_objects::Objects;
use flux_store::{Command, MemoryStore};
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for bytes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) gateway: String,
    pub(crate) console: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: Vec<JoinHandle<std::io::Result<()>>>,
    key: String,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(ConnectionLimits::default(), BodyLimits::default()).await
    }

    pub(crate) async fn with(limits: ConnectionLimits, body: BodyLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::standard());
        let clock = Arc::new(SystemClock::default());
        let egress =
            Egress::new(Setup::new(Policy::default(), Arc::new(NoSecrets), Arc::new(Nothing))).unwrap();
        let engine = Engine::start(EngineParts {
            store: Arc::new(MemoryStore::new()),
            objects: Objects::local(folder.path()).unwrap(),
            registry: Arc::clone(&registry),
            egress: egress.clone(),
            functions: None,
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            settings: EngineSettings::default(),
        });
        let engine = engine.await.unwrap();
        let tenant = Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(1) };
        let new = NewKey { tenant, name: "test".into(), scopes: vec![Scope::Admin], expires_at: None };
        let issued = new.issue(clock.now()).unwrap();
        engine.submit(Command::PutKey(issued.row)).await.unwrap();
        let shutdown = CancellationToken::new();
        let app = App::start(AppParts {
            engine,
            registry,
            vault: Arc::new(Nothing),
            clock,
            egress,
            projects: Projects::only(tenant),
            issuers: HashMap::new(),
            functions: FunctionSettings::default(),
            trusted_proxies: Vec::new(),
            console_url: String::new(),
            limits: HttpLimits { body },
            shutdown: shutdown.clone(),
        });
        let app = app.await.unwrap();
        let (gateway, first) = listen(gateway_router(app.clone()), &shutdown, limits).await;
        let (console, second) = listen(console_router(app), &shutdown, limits).await;
        Self { gateway, console, shutdown, served: vec![first, second], key: issued.text, _folder: folder }
    }

    /// Publishes a webhook at `/hooks/x` whose second node is `next`.
    pub(crate) async fn publish(&self, respond: &str, next: &str) {
        let flow = format!(
            r#"{{"name":"a","nodes":[{{"key":"hook","type":"trigger.webhook",
            "config":{{"path":"x","respond":"{respond}"}}}},{next}],"edges":[{{"from":"hook","to":"next"}}]}}"#
        );
        let saved = self.request("POST", "/flows", &flow).await;
        assert!(saved.starts_with("HTTP/1.1 201"), "{saved}");
        let published = self.request("POST", "/flows/a/publish", "").await;
        assert!(published.starts_with("HTTP/1.1 200"), "{published}");
    }

    /// A request to the console API, and everything that comes back.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut client = Client::connect(&self.console).await;
        let head = self.head(method, path);
        client
            .send(&format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
            .await;
        client.read_to_end().await
    }

    /// The head of a request to the console API, without its end.
    pub(crate) fn head(&self, method: &str, path: &str) -> String {
        format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n",
            self.key
        )
    }
}

/// `data.set` as the second node.
pub(crate) const SET: &str = r#"{"key":"next","type":"data.set","config":{"values":{"n":1}}}"#;

async fn listen(
    router: axum::Router,
    shutdown: &CancellationToken,
    limits: ConnectionLimits,
) -> (String, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, tokio::spawn(serve(listener, router, shutdown.clone(), limits)))
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends bytes. A server that has closed already is not an error here.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Everything read so far, once it holds `part`.
    pub(crate) async fn read_until(&mut self, part: &str) -> String {
        while !self.text().contains(part) {
            assert!(self.read_some().await, "closed before `{part}`: {}", self.text());
        }
        self.text()
    }

    /// Everything until the server closes the connection.
    pub(crate) async fn read_to_end(&mut self) -> String {
        while self.read_some().await {}
        self.text()
    }

    /// Forgets what was read.
    pub(crate) fn forget(&mut self) {
        self.read.clear();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    async fn read_some(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let count = read.expect("the server neither answered nor closed").unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

/// No secrets and no files.
struct Nothing;

impl SecretSource for Nothing {
    fn resolve<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<SecretPlain, SecretError>> {
        NoSecrets.resolve(tenant, name)
    }
}

impl Vault for Nothing {
    fn put<'a>(&'a self, _: Tenant, _: &'a str, _: SecretPlain) -> BoxFuture<'a, Result<(), VaultFailure>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn delete<'a>(&'a self, _: Tenant, _: &'a str) -> BoxFuture<'a, Result<bool, VaultFailure>> {
        Box::pin(std::future::ready(Ok(false)))
    }
}

impl FileStore for Nothing {
    fn create(&self, _: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        Box::pin(std::future::ready(Err(FileError::Store { message: "no files here".into() })))
    }

    fn open<'a>(&'a self, _: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        Box::pin(std::future::ready(Err(FileError::Missing { hash: hash.to_owned() })))
    }
}
