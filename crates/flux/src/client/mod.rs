//! The client of the console API: one request, one answer, errors as problems.
//!
//! The CLI talks to the server its user named, so it does not go through egress. It follows no
//! redirects: a key is sent to nobody but that server.

pub(crate) mod answers;
mod events;
mod problem;
mod target;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use events::Events;
pub(crate) use problem::Problem;
pub(crate) use target::{DEV_FILE, DevServer, Target, TargetOptions};

use crate::error::CommandError;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to answer. Commands that wait ask again before it is over.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Where the console API begins.
const API: &str = "/api/v1";
/// What may stand in a path or query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A connection to one server.
pub(crate) struct Client {
    connections: Connections<HttpsConnector<HttpConnector>, Full<Bytes>>,
    target: Target,
}

/// The query of a list: names and values, empty ones left out.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<String>);

impl Query {
    /// Adds `name=value` if there is a value.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.push(format!("{name}={}", encode(&value.to_string())));
        }
        self
    }

    /// The path with this query.
    pub(crate) fn on(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.0.join("&")) }
    }
}

/// A text as one segment of a path, or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

impl Client {
    pub(crate) fn new(target: Target) -> Result<Self, CommandError> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&target.server)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { connections: Connections::builder(TokioExecutor::new()).build(connector), target })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CommandError> {
        self.send(Method::GET, path, None).await
    }

    /// The same, read into a type.
    pub(crate) async fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        parse(self.get(path).await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, CommandError> {
        self.send(Method::DELETE, path, None).await
    }

    /// Follows a stream of server-sent events.
    pub(crate) async fn events(&self, path: &str) -> Result<Events, CommandError> {
        let request = self.request(Method::GET, path, None)?;
        let answer = self.exchange(request).await?;
        if answer.status().is_success() {
            return Ok(Events::new(answer.into_body(), self.target.server.to_string()));
        }
        let status = answer.status().as_u16();
        let body = self.read(answer.into_body()).await?;
        Err(self.problem(status, &body))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CommandError> {
        let request = self.request(method, path, body)?;
        let exchange = async {
            let answer = self.exchange(request).await?;
            let status = answer.status();
            Ok::<_, CommandError>((status, self.read(answer.into_body()).await?))
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
        let (status, body) = answered
            .map_err(|_| self.unreachable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))??;
        if !status.is_success() {
            return Err(self.problem(status.as_u16(), &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| self.unreachable(format!("it answers, but not as Flux does ({error})")))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, CommandError> {
        let base = self.target.server.as_str().trim_end_matches('/');
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{API}{path}"))
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::USER_AGENT, concat!("flux/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = &self.target.key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", &**key))
                .map_err(|_| CommandError::usage("the key has characters that no key has"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request
            .body(Full::new(bytes))
            .map_err(|error| CommandError::usage(format!("{base} is not the address of a server: {error}")))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, CommandError> {
        self.connections.request(request).await.map_err(|error| self.unreachable(innermost(&error)))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, CommandError> {
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        read.map(|body| body.to_bytes()).map_err(|error| self.unreachable(innermost(&*error)))
    }

    fn problem(&self, status: u16, body: &[u8]) -> CommandError {
        let mut problem = Problem::from_body(status, body);
        let hint = match (status, problem.code.as_str()) {
            (401, _) if self.target.key.is_none() => Some("pass a key with --key or in FLUX_KEY"),
            (404, "flow_not_found") => Some("`flux flow list` lists the flows there are"),
            _ => None,
        };
        problem.hint = hint.map(str::to_owned);
        CommandError::Server(Box::new(problem))
    }

    fn unreachable(&self, reason: String) -> CommandError {
        let server = self.target.server.as_str().trim_end_matches('/').to_owned();
        CommandError::Unreachable { server, reason, hint: Some(self.target.way_out.to_owned()) }
    }
}

/// Reads an answer into a type.
pub(crate) fn parse<T: DeserializeOwned>(answer: Value) -> Result<T, CommandError> {
    serde_path_to_error::deserialize(answer).map_err(|error| {
        let error = anyhow::anyhow!("the server's answer is not as this version of flux knows it: {error}");
        CommandError::Other(error)
    })
}

fn tls(server: &url::Url) -> Result<rustls::ClientConfig, CommandError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if server.scheme() == "https" {
        // Beside those, whom this machine trusts: a company's own authority. What cannot be read
        // there is left out, and a server that needs it is then refused by name.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| anyhow::anyhow!("TLS cannot be set up: {error}"))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// What the last error in the chain says; the ones around it only say that sending failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
