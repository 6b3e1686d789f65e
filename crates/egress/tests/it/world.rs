//! What the tests share: a name table, secrets and files in memory, and small servers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::routing::any;
use bytes::Bytes;
use flux_egress::files::{FileContent, FileError, FileSink};
use flux_egress::vault::SecretError;
use flux_egress::{
    Called, ContentMasker, Egress, FileStore, Limits, Opened, Policy, Recording, Request, Resolver,
    SecretPlain, SecretScope, SecretSource, Setup,
};
use flux_model::error::Failure;
use flux_model::journal::object_name;
use flux_model::{BoundaryCall, OrganizationId, ProjectId, Tenant, Value};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The part of loopback that plays the public internet.
pub(crate) const PUBLIC: &str = "127.0.0.0/24";

pub(crate) fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(2) }
}

/// Names and their answers; each lookup takes the next answer, the last one stays.
#[derive(Default)]
pub(crate) struct Names {
    table: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub(crate) lookups: AtomicUsize,
}

impl Names {
    pub(crate) fn set(&self, host: &str, answers: &[&str]) {
        let parse =
            |answer: &&str| answer.split(',').map(|address| address.trim().parse().unwrap()).collect();
        self.table.lock().unwrap().insert(host.to_owned(), answers.iter().map(parse).collect());
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let mut table = self.table.lock().unwrap();
        let answer = match table.get_mut(host) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
        };
        std::future::ready(answer).boxed()
    }
}

#[derive(Default)]
pub(crate) struct Secrets(Mutex<HashMap<String, SecretPlain>>);

impl Secrets {
    pub(crate) fn set(&self, name: &str, value: &str, hosts: &[&str]) {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        self.0.lock().unwrap().insert(name.to_owned(), SecretPlain::new(value, hosts));
    }
}

impl SecretSource for Secrets {
    fn resolve<'a>(
        &'a self,
        _tenant: Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<SecretPlain, SecretError>> {
        let found = self.0.lock().unwrap().get(name).cloned();
        std::future::ready(found.ok_or_else(|| SecretError::Missing { name: name.to_owned() })).boxed()
    }
}

type Contents = Arc<Mutex<HashMap<String, Bytes>>>;

#[derive(Default)]
pub(crate) struct Files(Contents);

impl Files {
    pub(crate) fn put(&self, content: &'static [u8]) -> String {
        let hash = object_name(content);
        self.0.lock().unwrap().insert(hash.clone(), Bytes::from_static(content));
        hash
    }

    pub(crate) fn get(&self, hash: &str) -> Option<Bytes> {
        self.0.lock().unwrap().get(hash).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

struct Sink {
    contents: Contents,
    written: Vec<u8>,
}

impl FileSink for Sink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), FileError>> {
        self.written.extend_from_slice(&chunk);
        std::future::ready(Ok(())).boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<String, FileError>> {
        let hash = object_name(&self.written);
        self.contents.lock().unwrap().insert(hash.clone(), self.written.into());
        std::future::ready(Ok(hash)).boxed()
    }
}

impl FileStore for Files {
    fn create(&self, _tenant: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        let sink: Box<dyn FileSink> = Box::new(Sink { contents: self.0.clone(), written: Vec::new() });
        std::future::ready(Ok(sink)).boxed()
    }

    fn open<'a>(&'a self, _tenant: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        let found = self.get(hash).ok_or_else(|| FileError::Missing { hash: hash.to_owned() });
        let opened = found.map(|content| {
            let pieces: Vec<_> = content.chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            futures::stream::iter(pieces).boxed()
        });
        std::future::ready(opened).boxed()
    }
}

/// An egress with everything it needs in memory.
pub(crate) struct World {
    pub(crate) names: Arc<Names>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) files: Arc<Files>,
    pub(crate) egress: Egress,
}

impl World {
    /// With these rules and the default limits.
    pub(crate) fn new(rules: &[&str]) -> Self {
        Self::with(rules, Limits { timeout: Duration::from_secs(10), ..Limits::default() }, Vec::new())
    }

    pub(crate) fn with(rules: &[&str], limits: Limits, extra_roots: Vec<Vec<u8>>) -> Self {
        let allowed = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Self::with_policy(Policy { allowed, own_listeners: Vec::new() }, limits, extra_roots)
    }

    pub(crate) fn with_policy(policy: Policy, limits: Limits, extra_roots: Vec<Vec<u8>>) -> Self {
        let (names, secrets, files) = (Arc::default(), Arc::default(), Arc::default());
        let mut setup =
            Setup::new(policy, Arc::clone(&secrets) as Arc<Secrets>, Arc::clone(&files) as Arc<Files>);
        setup.limits = limits;
        setup.resolver = Arc::clone(&names) as Arc<Names>;
        setup.extra_roots = extra_roots;
        let egress = Egress::new(setup).unwrap();
        Self { names, secrets, files, egress }
    }

    /// Calls without secrets.
    pub(crate) async fn call(&self, request: Request) -> Called {
        self.egress.call(tenant(), &SecretScope::empty(), &request).await
    }

    /// Calls with the request that `build` makes of an opened config.
    pub(crate) async fn call_with(&self, config: &Value, build: impl FnOnce(&Value) -> Request) -> Called {
        let (scope, opened) = SecretScope::open(config).unwrap();
        self.egress.call(tenant(), &scope, &build(&opened)).await
    }

    /// Opens a request without secrets.
    pub(crate) async fn open(&self, request: Request) -> (Result<Opened, Failure>, Record) {
        self.open_knowing(&ContentMasker::default(), request).await
    }

    /// Opens a request of user code that knows these secrets.
    pub(crate) async fn open_knowing(
        &self,
        known: &ContentMasker,
        request: Request,
    ) -> (Result<Opened, Failure>, Record) {
        let (recording, record) = recording(known);
        (self.egress.open(tenant(), &SecretScope::empty(), &request, recording).await, record)
    }
}

/// Where the record of an opened call arrives.
pub(crate) struct Record(oneshot::Receiver<BoundaryCall>);

impl Record {
    /// The record, which is there already.
    pub(crate) fn now(&mut self) -> BoundaryCall {
        self.0.try_recv().expect("the call is not recorded")
    }

    /// Nothing is recorded yet.
    pub(crate) fn is_open(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// The record, once it is there.
    pub(crate) async fn arrived(self) -> BoundaryCall {
        self.0.await.unwrap()
    }
}

pub(crate) fn recording(known: &ContentMasker) -> (Recording, Record) {
    let (send, receive) = oneshot::channel();
    (Recording::new(known.clone(), move |call| drop(send.send(call))), Record(receive))
}

/// What is left of a body.
pub(crate) async fn rest(opened: &mut Opened) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    while let Some(piece) = opened.body.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}

pub(crate) fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// The text member of an opened config.
pub(crate) fn text(config: &Value, name: &str) -> String {
    config.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A server on a loopback address; stops with the test's runtime.
pub(crate) async fn serve(address: &str, router: Router) -> SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let bound = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    bound
}

/// A server that answers everything with what it was sent, and counts.
pub(crate) async fn echo(address: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = hits.clone();
    let router = Router::new().fallback(any(move |request: axum::extract::Request| {
        counter.fetch_add(1, Ordering::SeqCst);
        echoed(request)
    }));
    (serve(address, router).await, hits)
}

/// `{method, path, headers, body}` of a request.
pub(crate) async fn echoed(request: axum::extract::Request) -> axum::Json<serde_json::Value> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    let headers: serde_json::Map<String, serde_json::Value> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        })
        .collect();
    axum::Json(serde_json::json!({
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

pub(crate) fn redirect(status: u16, location: &str) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("location", location)
        .body(Body::empty())
        .unwrap()
}

/// A server played by the test itself.
pub(crate) struct Stage(TcpListener);

impl Stage {
    pub(crate) async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }

    /// The next connection.
    pub(crate) async fn connection(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }

    /// The next connection, when the head of its request was read.
    pub(crate) async fn request(&self) -> TcpStream {
        use tokio::io::AsyncReadExt as _;
        let mut stream = self.connection().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream
    }
}

/// Reads until the other side closes; answers what came.
pub(crate) async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    // A reset closes a connection, too.
    let reading = async { while let Ok(1..) = stream.read_buf(&mut bytes).await {} };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the connection stays open");
    bytes
}

/// A server that sends these bytes to every connection after its first read, then `then`.
pub(crate) async fn raw(bytes: impl Into<Vec<u8>>, then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = bytes.into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(raw_connection(stream, bytes.clone(), then));
        }
    });
    address
}

/// What a raw server does after its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    Hang,
    Repeat,
}

async fn raw_connection(mut stream: tokio::net::TcpStream, bytes: Vec<u8>, then: Then) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = [0_u8; 8192];
    let _ = stream.read(&mut buffer).await;
    let _ = stream.write_all(&bytes).await;
    match then {
        Then::Close => drop(stream),
        Then::Hang => {
            let _ = stream.read(&mut buffer).await;
        }
        Then::Repeat => {
            while stream.write_all(b"10000\r\n").await.is_ok()
                && stream.write_all(&[b'a'; 0x10000]).await.is_ok()
                && stream.write_all(b"\r\n").await.is_ok()
            {}
        }
    }
}
