//! Bodies on the way: neither side is faster than the other, and whoever stops, stops both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flux_egress::{Body, BodyStream, Limits, Request};
use flux_model::error::Failure;
use flux_model::{ErrorCode, Value};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::world::{PUBLIC, Stage, World, get, rest, until_closed};

/// More than the buffers of two sockets hold.
const LARGE: usize = 64 << 20;
const PIECE: usize = 64 << 10;
/// Long enough for a transfer that nothing holds back.
const QUIET: Duration = Duration::from_millis(500);
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";

/// A body of `LARGE` bytes, and how many of them were taken.
fn large() -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let pieces =
        futures::stream::repeat(Bytes::from(vec![b'x'; PIECE])).take(LARGE / PIECE).map(move |piece| {
            counter.fetch_add(piece.len(), Ordering::SeqCst);
            Ok(piece)
        });
    (Body::Stream { content: BodyStream::new(pieces), content_type: None }, taken)
}

/// A body that waits for ever after its first piece; when it is dropped, the receiver knows.
fn endless() -> (Body, tokio::sync::oneshot::Receiver<()>) {
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let pieces = futures::stream::iter([Ok(Bytes::from_static(b"abc"))])
        .chain(futures::stream::pending())
        .inspect(move |_: &Result<Bytes, Failure>| assert!(!held.is_closed()));
    (Body::Stream { content: BodyStream::new(pieces), content_type: None }, dropped)
}

fn post(stage: &Stage, body: Body) -> Request {
    let mut request = Request::new("POST", stage.url());
    request.body = body;
    request
}

#[tokio::test]
async fn a_body_is_sent_as_fast_as_the_server_reads() {
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let (body, taken) = large();
    let mut open = Box::pin(world.open(post(&stage, body)));
    let server = tokio::select! {
        server = stage.request() => server,
        _ = &mut open => panic!("answered before it was asked"),
    };
    assert!(timeout(QUIET, &mut open).await.is_err());
    let before = taken.load(Ordering::SeqCst);
    assert!(before < LARGE / 2, "{before} bytes were taken that nobody reads");
    let (mut from, mut to) = server.into_split();
    let play = async {
        let (mut left, mut buffer) = (LARGE, vec![0; PIECE]);
        while left > 0 {
            let read = from.read(&mut buffer).await.unwrap();
            left -= buffer[..read].iter().filter(|byte| **byte == b'x').count();
        }
        to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        from
    };
    let ((opened, mut record), _server) = tokio::join!(open, play);
    assert_eq!(rest(&mut opened.unwrap()).await.unwrap(), b"ok");
    let recorded = record.now().request;
    let text = recorded.get("body").and_then(Value::as_str).unwrap();
    assert!(text.ends_with("x… [cut: RECORDED_BODY_BYTES_MAX = 262144 of 67108864 bytes]"));
}

#[tokio::test]
async fn a_body_is_received_as_fast_as_it_is_read() {
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let url = stage.url();
    let mut sending = tokio::spawn(async move {
        let mut server = stage.request().await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..LARGE / PIECE {
            server.write_all(&[b'x'; PIECE]).await.unwrap();
        }
        server
    });
    let (opened, mut record) = world.open(get(url)).await;
    let mut opened = opened.unwrap();
    let first = opened.body.next().await.unwrap().unwrap();
    assert!(timeout(QUIET, &mut sending).await.is_err(), "everything was sent to a reader who paused");
    assert_eq!(first.len() + rest(&mut opened).await.unwrap().len(), LARGE);
    assert!(record.now().result.is_ok());
}

/// The record says that `text` was read and that there might have been more.
fn check_partial(recorded: &Value, text: &str) {
    let found = (recorded.get("body"), recorded.get("partial"), recorded.get("bytes"));
    let bytes = Value::from(text.len() as u64);
    assert_eq!(found, (Some(&Value::from(text)), Some(&Value::Bool(true)), Some(&bytes)));
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_the_connection_and_is_recorded_as_partial() {
    let world = World::new(&[PUBLIC]);
    for read in [0, 3] {
        let stage = Stage::new().await;
        let play = async {
            let mut server = stage.request().await;
            server.write_all(CHUNKED).await.unwrap();
            server
        };
        let ((opened, mut record), mut server) = tokio::join!(world.open(get(stage.url())), play);
        let mut opened = opened.unwrap();
        if read > 0 {
            assert_eq!(opened.body.next().await.unwrap().unwrap(), "abc");
            // The server is silent now, and somebody waits for it.
            assert!(futures::poll!(opened.body.next()).is_pending());
        }
        assert!(record.is_open());
        drop(opened);
        let recorded = record.now().result.unwrap();
        check_partial(&recorded, &"abc"[..read]);
        until_closed(&mut server).await;
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_the_connection_and_is_recorded() {
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let (body, dropped) = endless();
    let known = flux_egress::ContentMasker::default();
    let (recording, mut record) = crate::world::recording(&known);
    let scope = flux_egress::SecretScope::empty();
    let request = post(&stage, body);
    let mut open = Box::pin(world.egress.open(crate::world::tenant(), &scope, &request, recording));
    let mut server = tokio::select! {
        server = stage.request() => server,
        _ = &mut open => panic!("answered before it was asked"),
    };
    let mut piece = [0; 8];
    tokio::select! {
        read = server.read_exact(&mut piece) => assert_eq!((read.unwrap(), &piece), (8, b"3\r\nabc\r\n")),
        _ = &mut open => panic!("answered before it was asked"),
    }
    drop(open);
    let recorded = record.now();
    check_partial(&recorded.request, "abc");
    let failure = recorded.result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Cancelled);
    assert!(failure.message.contains("given up"), "{}", failure.message);
    assert_eq!(until_closed(&mut server).await, b"", "a part was sent as if it were the whole");
    assert!(timeout(Duration::from_secs(10), dropped).await.unwrap().is_err());
}

#[tokio::test]
async fn a_body_is_not_sent_for_longer_than_its_call() {
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let (body, dropped) = endless();
    let play = async {
        let mut server = stage.request().await;
        server.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        server
    };
    let ((opened, mut record), mut server) = tokio::join!(world.open(post(&stage, body)), play);
    let mut opened = opened.unwrap();
    assert_eq!((opened.status, rest(&mut opened).await.unwrap()), (413, b"no".to_vec()));
    let recorded = record.now();
    assert_eq!(recorded.request.get("partial"), Some(&Value::Bool(true)));
    assert_eq!(recorded.result.unwrap().get("partial"), None);
    until_closed(&mut server).await;
    assert!(timeout(Duration::from_secs(10), dropped).await.unwrap().is_err());
}

#[tokio::test]
async fn a_body_that_fails_or_is_too_large_breaks_the_request_off() {
    let limits = Limits { request_bytes_max: 5, ..Limits::default() };
    let world = World::with(&[PUBLIC], limits, Vec::new());
    let broken = || Failure::permanent(ErrorCode::FunctionFailed, "The function threw.");
    for (second, expect) in
        [(Err(broken()), broken().code), (Ok(Bytes::from_static(b"def")), ErrorCode::EgressLimit)]
    {
        let stage = Stage::new().await;
        let pieces = futures::stream::iter([Ok(Bytes::from_static(b"abc")), second]);
        let body = Body::Stream { content: BodyStream::new(pieces), content_type: None };
        let play = async { until_closed(&mut stage.connection().await).await };
        let ((opened, mut record), sent) = tokio::join!(world.open(post(&stage, body)), play);
        let failure = opened.unwrap_err();
        assert_eq!(failure.code, expect, "{}", failure.message);
        let sent = String::from_utf8(sent).unwrap();
        assert!(!sent.contains("def") && !sent.ends_with("0\r\n\r\n"), "sent as a whole: {sent}");
        let recorded = record.now();
        assert_eq!(recorded.result, Err(failure));
        check_partial(&recorded.request, "abc");
    }
}

#[tokio::test]
async fn a_body_that_fails_after_the_answer_began_is_what_the_call_fails_with() {
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let (fail, failed) = tokio::sync::oneshot::channel();
    let pieces = futures::stream::once(async move { Err(failed.await.unwrap()) });
    let body = Body::Stream { content: BodyStream::new(pieces), content_type: None };
    let play = async {
        let mut server = stage.request().await;
        server.write_all(CHUNKED).await.unwrap();
        server
    };
    let ((opened, mut record), mut server) = tokio::join!(world.open(post(&stage, body)), play);
    let mut opened = opened.unwrap();
    assert_eq!(opened.body.next().await.unwrap().unwrap(), "abc");
    let threw = Failure::permanent(ErrorCode::FunctionFailed, "The function threw.");
    fail.send(threw.clone()).unwrap();
    assert_eq!(rest(&mut opened).await.unwrap_err(), threw);
    assert_eq!(record.now().result, Err(threw));
    until_closed(&mut server).await;
}
