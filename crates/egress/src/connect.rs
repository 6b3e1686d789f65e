//! The only code that opens a socket: resolve, check every address, connect to one of them.
//!
//! It sits below TLS and the connection pool, so nothing above can reach an address that was not
//! checked: not a literal address, not a redirect, not a name that resolves differently the
//! second time. What it connects to is the checked address itself, never the name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::policy::{Policy, Refusal};
use crate::resolve::Resolver;

/// Addresses of one host that are tried, each for an equal share of the connect timeout.
const ADDRESSES_TRIED_MAX: usize = 4;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// The policy does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name has no address.
    #[error("{host} cannot be resolved: {message}")]
    Dns { host: String, message: String },
    /// No address answered.
    #[error("{host}:{port} cannot be reached: {message}")]
    Connect { host: String, port: u16, message: String },
    /// Connecting took too long.
    #[error("connecting took longer than connect_timeout = {} ms", limit.as_millis())]
    Timeout { limit: Duration },
}

/// Opens TCP connections to checked addresses.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) policy: Arc<Policy>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) connect_timeout: Duration,
}

impl Guard {
    /// The addresses of `host` (as a parsed URL writes it), if all of them may be reached.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectFailure> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addresses = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await.map_err(|error| dns(host, &error.to_string()))?,
        };
        if addresses.is_empty() {
            return Err(dns(host, "the name has no address"));
        }
        Ok(self.policy.admit(host, port, &addresses)?)
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectFailure> {
        let host = uri.host().unwrap_or_default();
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = self.addresses(host, port).await?;
        let tried = &addresses[..addresses.len().min(ADDRESSES_TRIED_MAX)];
        let share = self.connect_timeout / u32::try_from(tried.len()).unwrap_or(1).max(1);
        let mut message = String::new();
        for address in tried {
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.admit_stream(host, stream),
                Ok(Err(error)) => message = error.to_string(),
                Err(_) => message = "no answer".to_owned(),
            }
        }
        Err(ConnectFailure::Connect { host: host.to_owned(), port, message })
    }

    fn admit_stream(&self, host: &str, stream: TcpStream) -> Result<TokioIo<TcpStream>, ConnectFailure> {
        if let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) {
            self.policy.admit_connected(host, local, peer)?;
        }
        // Without it small requests wait for the acknowledgement of the one before. Failure to
        // set it costs speed only.
        let _ = stream.set_nodelay(true);
        Ok(TokioIo::new(stream))
    }
}

fn dns(host: &str, message: &str) -> ConnectFailure {
    ConnectFailure::Dns { host: host.to_owned(), message: message.to_owned() }
}

impl Service<Uri> for Guard {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFailure;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// TLS over [`Guard`], with one bound for resolving, connecting and the handshake together.
#[derive(Clone)]
pub(crate) struct Connector {
    https: HttpsConnector<Guard>,
    limit: Duration,
}

impl Connector {
    pub(crate) fn new(guard: Guard, tls: rustls::ClientConfig) -> Self {
        let limit = guard.connect_timeout;
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(guard);
        Self { https, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<Guard> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectFailure::Timeout { limit }.into()),
            }
        })
    }
}
