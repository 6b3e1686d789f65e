//! How many calls per second go through egress to a server in the same process.
//!
//! `cargo run --release -p flux-egress --example loopback [calls] [connections]`
//!
//! Client and server share the machine's cores, so this is a lower bound for the client. Every
//! call takes the whole path: policy, pool, limits, JSON body out, JSON body in, record.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::routing::post;
use flux_egress::files::{FileContent, FileError, FileSink};
use flux_egress::vault::NoSecrets;
use flux_egress::{Body, Egress, FileStore, Policy, Request, SecretScope, Setup};
use flux_model::{OrganizationId, ProjectId, Tenant, Value};
use futures::future::BoxFuture;

struct NoFiles;

impl FileStore for NoFiles {
    fn create(&self, _: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        Box::pin(std::future::ready(Err(FileError::Store { message: "no files here".to_owned() })))
    }

    fn open<'a>(&'a self, _: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        Box::pin(std::future::ready(Err(FileError::Missing { hash: hash.to_owned() })))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map_while(|argument| argument.parse::<usize>().ok());
    let calls = arguments.next().unwrap_or(100_000);
    let connections = arguments.next().unwrap_or(64);
    let address = serve().await?;
    let egress = Egress::new(Setup::new(Policy::with_loopback(), Arc::new(NoSecrets), Arc::new(NoFiles)))?;
    let left = Arc::new(AtomicUsize::new(calls));
    let started = Instant::now();
    let workers: Vec<_> =
        (0..connections).map(|_| tokio::spawn(work(egress.clone(), address, left.clone()))).collect();
    let mut failed = 0;
    for worker in workers {
        failed += worker.await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = calls as f64 / seconds;
    println!("{calls} calls on {connections} connections in {seconds:.2} s: {rate:.0}/s, {failed} failed");
    Ok(())
}

async fn serve() -> std::io::Result<SocketAddr> {
    let answer = || async { axum::Json(serde_json::json!({"id": 7, "name": "an order", "total": 12.5})) };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/orders", post(answer))).await });
    Ok(address)
}

/// Calls until none is left; answers how many failed.
async fn work(egress: Egress, address: SocketAddr, left: Arc<AtomicUsize>) -> usize {
    let tenant = Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(1) };
    let scope = SecretScope::empty();
    let mut request = Request::new("POST", format!("http://{address}/orders"));
    request.headers = vec![("x-trace".to_owned(), "loopback".to_owned())];
    request.body =
        Body::Json(Value::object([("customer", Value::from("7")), ("total", Value::from(12_i64))]));
    let mut failed = 0;
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let called = egress.call(tenant, &scope, &request).await;
        failed += usize::from(called.outcome.is_err());
    }
    failed
}
