//! How many requests per second the gateway answers, over an engine and a store in memory: what
//! the HTTP layer costs, without a disk. `cargo run --release -p flux-http --example hook_load`.
//!
//! Server and clients share the machine's cores, so the figures are a lower bound.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends there")]
#![expect(dead_code, reason = "the world has more than a measurement needs")]

#[path = "../tests/it/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use world::{Client, World};

const CONNECTIONS: usize = 64;
const LENGTH: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let respond = r#"{"key":"next","type":"flow.respond","config":{"status":200,"body":"{{ hook.body }}"}}"#;
    let hook = "POST /hooks/x HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                content-length: 20\r\n\r\n{\"order\":7,\"total\":1}";
    for (name, mode, request) in [
        ("GET /health", "immediately", "GET /health HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("hook, answered at once", "immediately", hook),
        ("hook, answered by the flow", "node", hook),
    ] {
        let world = Arc::new(World::start().await);
        world.publish(mode, respond).await;
        measure(name, &world, request).await;
    }
}

async fn measure(name: &str, world: &Arc<World>, request: &'static str) {
    let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (world, count, stop) = (world.clone(), count.clone(), stop.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(&world.gateway).await;
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    client.send(request).await;
                    let answer = client.read_until("\r\n\r\n").await;
                    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
                    client.forget();
                    times.push(started.elapsed());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(LENGTH).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    times.sort();
    let rate = count.load(Ordering::Relaxed) as f64 / LENGTH.as_secs_f64();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{name}: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
}
