//! Slow, many, oversized and malformed clients.

use std::time::{Duration, Instant};

use flux_http::{BodyLimits, ConnectionLimits};

use super::world::{Client, SET, World};

fn impatient() -> ConnectionLimits {
    ConnectionLimits { head_timeout: Duration::from_millis(150), ..ConnectionLimits::default() }
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off() {
    let world = World::with(impatient(), BodyLimits::default()).await;
    let mut client = Client::connect(&world.gateway).await;
    let started = Instant::now();
    client.send("GET /health HTTP/1.1\r\nx-slow: ").await;
    let answer = client.read_to_end().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(140));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_in_use_is_kept() {
    let world = World::with(impatient(), BodyLimits::default()).await;
    let mut client = Client::connect(&world.gateway).await;
    for _ in 0..2 {
        client.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.read_until(r#"{"status":"ok"}"#).await;
        client.forget();
    }
    assert_eq!(client.read_to_end().await, "");
    let mut silent = Client::connect(&world.gateway).await;
    assert_eq!(silent.read_to_end().await, "");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::start().await;
    let mut client = Client::connect(&world.gateway).await;
    let one = |id: u8, path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: r{id}\r\n\r\n");
    client.send(one(1, "/health") + &one(2, "/nothing") + &one(3, "/health")).await;
    let answers = client.read_until("x-request-id: r3").await;
    let places: Vec<_> =
        ["r1", "r2", "r3"].iter().map(|id| answers.find(&format!("x-request-id: {id}"))).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{answers}");
    assert!(answers.contains("HTTP/1.1 404"), "{answers}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_comes() {
    let world = World::start().await;
    world.publish("immediately", SET).await;
    let mut announced = Client::connect(&world.gateway).await;
    announced.send("POST /hooks/x HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n").await;
    let answer = announced.read_until("body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut endless = Client::connect(&world.gateway).await;
    endless.send("POST /hooks/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..200 {
        endless.send(&chunk).await;
    }
    let answer = endless.read_to_end().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let body = BodyLimits { timeout: Duration::from_millis(150), ..BodyLimits::default() };
    let world = World::with(ConnectionLimits::default(), body).await;
    world.publish("immediately", SET).await;
    let mut client = Client::connect(&world.gateway).await;
    client.send("POST /hooks/x HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx").await;
    let answer = client.read_until("request_timeout").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn an_error_at_a_path_of_nobody_arrives_with_its_body() {
    let world = World::start().await;
    for (address, path) in [(&world.gateway, "/nothing"), (&world.console, "/api/v1/nothing")] {
        for (method, closes) in [("GET", r#""request_id":"r1"}"#), ("HEAD", "\r\n\r\n")] {
            let mut client = Client::connect(address).await;
            let head = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nx-request-id: r1\r\n");
            client.send(head + "connection: close\r\n\r\n").await;
            let answer = client.read_to_end().await;
            assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with(closes), "{answer}");
        }
    }
}

async fn check_refused(request: &[u8], status: &str) {
    let world = World::start().await;
    let mut client = Client::connect(&world.gateway).await;
    client.send(request).await;
    let answer = client.read_to_end().await;
    let shown = String::from_utf8_lossy(&request[..request.len().min(40)]);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
    let mut next = Client::connect(&world.gateway).await;
    next.send("GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(next.read_to_end().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_server_goes_on() {
    check_refused(b"nonsense\r\n\r\n", "400").await;
    check_refused(b"GET / HTTP/9.9\r\n\r\n", "400").await;
    check_refused(b"GET /\x00 HTTP/1.1\r\nhost: a\r\n\r\n", "400").await;
    check_refused(b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n", "400").await;
    check_refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400").await;
    check_refused(
        b"POST /hooks/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "400",
    )
    .await;
}

#[tokio::test]
async fn heads_are_bounded_in_lines_and_bytes() {
    let many = format!("GET /health HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    check_refused(many.as_bytes(), "431").await;
    let long = format!("GET /health HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    check_refused(long.as_bytes(), "431").await;
    let path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(200_000));
    check_refused(path.as_bytes(), "4").await;
}

#[tokio::test]
async fn connections_are_bounded_and_wait_their_turn() {
    let limits = ConnectionLimits { connections_max: 1, ..ConnectionLimits::default() };
    let world = World::with(limits, BodyLimits::default()).await;
    let mut first = Client::connect(&world.gateway).await;
    first.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    first.read_until("ok").await;
    let mut second = Client::connect(&world.gateway).await;
    second.send("GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let waits = tokio::time::timeout(Duration::from_millis(100), second.read_to_end()).await;
    assert!(waits.is_err(), "{waits:?}");
    drop(first);
    assert!(second.read_to_end().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_closes_idle_connections() {
    let mut world = World::start().await;
    world.publish("last", r#"{"key":"next","type":"logic.delay","config":{"ms":300}}"#).await;
    let mut idle = Client::connect(&world.gateway).await;
    idle.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.read_until("ok").await;
    idle.forget();
    let mut busy = Client::connect(&world.gateway).await;
    busy.send("POST /hooks/x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    // The request is under way once the execution exists.
    while !world.request("GET", "/executions?status=waiting", "").await.contains("exec_") {}
    world.shutdown.cancel();
    assert_eq!(idle.read_to_end().await, "");
    assert!(busy.read_to_end().await.starts_with("HTTP/1.1 200"));
    for served in world.served.drain(..) {
        served.await.unwrap().unwrap();
    }
    assert!(tokio::net::TcpStream::connect(&world.gateway).await.is_err());
}
