//! The loop that accepts connections and hands requests to a router, with the bounds that protect
//! it from slow, many and oversized clients.
//!
//! HTTP/1.1 only: TLS and HTTP/2 end at a proxy. Requests carry the peer's address as [`Peer`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Connections open at the same time where the configuration does not say.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Header lines of one request.
pub const HEADER_LINES_MAX: usize = 100;
/// Bytes of the head of one request (request line and headers).
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a head may take to arrive, and how long a connection may be idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests under way may take once the server is to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept a connection, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bounds of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections open at the same time; further ones wait in the system's queue.
    pub connections_max: usize,
    /// Header lines of one request.
    pub header_lines_max: usize,
    /// Bytes of the head of one request.
    pub head_bytes_max: usize,
    /// How long a head may take to arrive, and how long a connection may be idle.
    pub head_timeout: Duration,
    /// How long requests under way may take once the server is to stop.
    pub drain_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            header_lines_max: HEADER_LINES_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            head_timeout: HEAD_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// The address a request came from: the last hop, perhaps a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves `router` on `listener` until `shutdown` is cancelled and the requests under way have
/// ended, or [`ConnectionLimits::drain_timeout`] is over.
///
/// # Errors
/// The system's, if the listener has no address.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    limits: ConnectionLimits,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let protocol = protocol(limits);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    while let Some((stream, peer, slot)) = next(&listener, &slots, &shutdown).await {
        let connection = graceful.watch(serve_connection(&protocol, stream, peer, router.clone()));
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection ended with an error");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tracing::debug!(%address, open = connections.len(), "the listener is closed");
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(%address, "requests were cut off: they did not end within the drain timeout");
    }
    connections.shutdown().await;
    Ok(())
}

fn protocol(limits: ConnectionLimits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.header_lines_max)
        .max_buf_size(limits.head_bytes_max)
        .half_close(false);
    protocol
}

/// The next connection with its slot; `None` at shutdown.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let accept = async {
        let slot = slots.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, slot)),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accept => accepted,
    }
}

fn serve_connection(
    protocol: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + use<> {
    // Answers are small and written whole; waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a connection stays with Nagle's algorithm");
    }
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request.map(Body::new))
    });
    protocol.serve_connection(TokioIo::new(stream), service)
}
