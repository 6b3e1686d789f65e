//! Bounds: sizes, times, redirect counts, concurrency; and what is retryable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::any;
use flux_egress::{Body, Egress, Limits, Request, ResponseMode, Setup};
use flux_model::error::{ErrorClass, Failure};
use flux_model::{ErrorCode, Value};
use tokio::io::AsyncWriteExt as _;

use crate::world::{PUBLIC, Then, World, echo, get, raw, serve};

const MIB: u64 = 1024 * 1024;

fn world() -> World {
    let limits = Limits {
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_millis(500),
        response_bytes_max: MIB,
        file_bytes_max: 2 * MIB,
        request_bytes_max: MIB,
        ..Limits::default()
    };
    World::with(&[PUBLIC], limits, Vec::new())
}

async fn failure(world: &World, request: Request) -> Failure {
    let called = world.call(request).await;
    let failure = called.outcome.unwrap_err();
    assert_eq!(called.record.result, Err(failure.clone()));
    failure
}

async fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    encoder.write_all(plain).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

fn gzip_answer(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn answers_that_are_too_large_are_cut_off() {
    let world = world();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    let bomb = gzip_answer(&gzipped(&vec![0_u8; 64 << 20]).await);
    assert!(bomb.len() < 100_000, "a small bomb: {}", bomb.len());
    let sources = [
        ("chunked", raw(chunked, Then::Repeat).await),
        ("until close", raw(until_close, Then::Repeat).await),
        ("announced", raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", Then::Hang).await),
        ("gzip", raw(bomb, Then::Hang).await),
    ];
    for (name, source) in sources {
        for (mode, limit) in [(ResponseMode::Text, MIB), (ResponseMode::File, 2 * MIB)] {
            let mut request = get(format!("http://{source}/"));
            request.response = mode;
            let failure = failure(&world, request).await;
            assert_eq!(
                (failure.code, failure.class),
                (ErrorCode::EgressLimit, ErrorClass::Permanent),
                "{name}"
            );
            assert!(
                failure.message.contains(&format!("response_bytes_max = {limit}")),
                "{}",
                failure.message
            );
        }
    }
    assert_eq!(world.files.count(), 0, "no part of a file was kept");
}

#[tokio::test]
async fn a_request_may_ask_for_less_but_not_for_more() {
    let world = world();
    let (server, _) = echo("127.0.0.1:0").await;
    let mut small = get(format!("http://{server}/"));
    small.response_bytes_max = Some(10);
    assert!(failure(&world, small).await.message.contains("response_bytes_max = 10"));
    let endless = raw("HTTP/1.1 200 OK\r\n\r\n", Then::Repeat).await;
    let mut large = get(format!("http://{endless}/"));
    large.response_bytes_max = Some(u64::MAX);
    assert!(failure(&world, large).await.message.contains(&format!("response_bytes_max = {MIB}")));
    let mut upload = Request::new("POST", format!("http://{server}/"));
    upload.body = Body::Text { content: "x".repeat(1 + MIB as usize), content_type: None };
    let failure = failure(&world, upload).await;
    assert_eq!(failure.code, ErrorCode::EgressLimit);
    assert!(
        failure.message.contains("1048577 bytes") && failure.message.contains("request_bytes_max = 1048576")
    );
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let world = world();
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    for (name, answer) in [("long", long), ("many", many)] {
        let source = raw(answer, Then::Hang).await;
        let failure = failure(&world, get(format!("http://{source}/"))).await;
        assert_eq!(failure.code, ErrorCode::EgressLimit, "{name}: {}", failure.message);
    }
}

#[tokio::test]
async fn slow_servers_are_left_in_time() {
    let world = world();
    let sources = [
        raw("", Then::Hang).await,
        raw("HTTP/1.1 200 OK\r\nx:", Then::Hang).await,
        raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", Then::Hang).await,
        raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f", Then::Hang).await,
    ];
    for source in sources {
        let started = Instant::now();
        let mut request = get(format!("http://{source}/"));
        request.timeout = Some(Duration::from_millis(200));
        let failure = failure(&world, request).await;
        assert_eq!((failure.code, failure.class), (ErrorCode::EgressTimeout, ErrorClass::Retryable));
        assert!(failure.message.contains("timeout = 200 ms"), "{}", failure.message);
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    // A server that accepts and never shakes hands.
    let mute = raw("", Then::Hang).await;
    let failure = failure(&world, get(format!("https://{mute}/"))).await;
    assert_eq!(failure.code, ErrorCode::EgressTimeout);
    assert!(failure.message.contains("connect_timeout = 500 ms"), "{}", failure.message);
}

#[tokio::test]
async fn broken_answers_are_classed() {
    let world = world();
    let retryable = (ErrorCode::EgressConnection, ErrorClass::Retryable);
    let permanent = (ErrorCode::EgressConnection, ErrorClass::Permanent);
    let response = (ErrorCode::HttpResponse, ErrorClass::Permanent);
    let truncated = &gzip_answer(&gzipped(b"hello").await[..12]);
    let cases: [(&[u8], _); 7] = [
        (b"", retryable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", retryable),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", retryable),
        (b"SSH-2.0-OpenSSH_9.6\r\n", permanent),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nab", response),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab", response),
        (truncated, response),
    ];
    for (bytes, expect) in cases {
        let source = raw(bytes, Then::Close).await;
        let failure = failure(&world, get(format!("http://{source}/"))).await;
        assert_eq!((failure.code, failure.class), expect, "{}", failure.message);
    }
    let closed = serve("127.0.0.1:0", Router::new()).await.port();
    let nobody = format!("http://127.0.0.9:{closed}/");
    let found = failure(&world, get(nobody)).await;
    assert_eq!((found.code, found.class), retryable, "{}", found.message);
    let found = failure(&world, get("http://unknown.example/")).await;
    assert_eq!((found.code, found.class), (ErrorCode::EgressDns, ErrorClass::Retryable));
}

#[tokio::test]
async fn what_a_busy_server_asks_for_is_passed_on() {
    let world = world();
    let far = "Tue, 31 Dec 2999 23:59:59 GMT";
    for (status, asked, class, expect) in [
        (429, "7", ErrorClass::Retryable, Some(7_000)),
        (503, far, ErrorClass::Retryable, Some(24 * 3600 * 1000)),
        (503, "soon", ErrorClass::Retryable, None),
        (404, "1", ErrorClass::Permanent, Some(1_000)),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\nretry-after: {asked}\r\ncontent-length: 0\r\n\r\n");
        let source = raw(answer, Then::Close).await;
        let called = world.call(get(format!("http://{source}/"))).await;
        assert!(called.record.result.is_ok(), "a status is an answer");
        let failure = called.outcome.unwrap().failure();
        assert_eq!(failure.code, ErrorCode::HttpStatus);
        assert_eq!((failure.provider_status, failure.class), (Some(status), class));
        assert_eq!(failure.retry_after_ms, expect, "{asked}");
    }
}

#[tokio::test]
async fn calls_to_one_host_wait_for_each_other() {
    let limits = Limits { calls_per_host_max: 2, queue_timeout: Duration::from_secs(5), ..Limits::default() };
    let world = World::with(&[PUBLIC], limits, Vec::new());
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counters = running.clone();
    let router = Router::new().fallback(any(move || async move {
        let now = counters.0.fetch_add(1, Ordering::SeqCst) + 1;
        counters.1.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        counters.0.fetch_sub(1, Ordering::SeqCst);
        "ok"
    }));
    let server = serve("127.0.0.1:0", router).await;
    let calls = (0..50).map(|_| world.call(get(format!("http://{server}/"))));
    for called in futures::future::join_all(calls).await {
        assert_eq!(called.outcome.unwrap().body, Value::from("ok"));
    }
    assert!(running.1.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_broken_authority_is_named() {
    let world = world();
    let mut setup = Setup::new(flux_egress::Policy::default(), world.secrets.clone(), world.files.clone());
    setup.extra_roots = vec![vec![1, 2, 3]];
    assert!(Egress::new(setup).err().unwrap().to_string().starts_with("TLS cannot be set up"));
}
