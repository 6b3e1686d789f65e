//! Answers that are read piece by piece: exact bytes, redirects in each mode, bounds, records.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use flux_egress::{Body, BodyStream, Limits, RECORDED_BODY_BYTES_MAX, Redirects, Request};
use flux_model::journal::object_name;
use flux_model::{ErrorCode, Value};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::world::{PUBLIC, Stage, Then, World, echo, get, raw, redirect, rest, serve};

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

async fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    encoder.write_all(plain).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

fn stream(content: &[&'static [u8]]) -> Body {
    let pieces: Vec<_> = content.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
    Body::Stream { content: BodyStream::new(futures::stream::iter(pieces)), content_type: None }
}

/// An answer with `body` arrives as it is, and is recorded as `expect` says.
async fn check_exact(media: &str, body: &[u8], expect: &str) {
    let world = World::new(&[PUBLIC]);
    let source = raw(answer(&format!("content-type: {media}\r\n"), body), Then::Close).await;
    let (opened, mut record) = world.open(get(format!("http://{source}/x?token=t&a=b"))).await;
    let mut opened = opened.unwrap();
    assert_eq!(opened.length, Some(body.len() as u64));
    assert_eq!(rest(&mut opened).await.unwrap(), body);
    let record = record.now();
    let result = record.result.unwrap();
    assert_eq!(result.get("body").unwrap().to_json(), expect, "{media}");
    assert_eq!((result.get("partial"), result.get("status")), (None, Some(&Value::from(200_u64))));
    assert_eq!(
        record.request.get("url"),
        Some(&Value::from(format!("http://{source}/x?token=[masked]&a=b")))
    );
}

#[tokio::test]
async fn bytes_arrive_as_they_are_and_are_recorded_as_what_they_are() {
    let json = "application/json; charset=utf-8";
    check_exact(json, br#"{"a" : 1.0}"#, r#"{"a":1.0}"#).await;
    check_exact(json, b"\xef\xbb\xbf[1]", "[1]").await;
    check_exact(json, b"<html>", "\"<html>\"").await;
    check_exact("image/svg+xml", "ä\r\n".as_bytes(), "\"ä\\r\\n\"").await;
    check_exact("text/plain", b"", "null").await;
    let binary = b"\x89PNG\r\n\xff\x00";
    let summary = format!(r#"{{"$bytes":{{"hash":"{}","bytes":{}}}}}"#, object_name(binary), binary.len());
    check_exact(json, binary, &summary).await;
    let long = "ab".repeat(RECORDED_BODY_BYTES_MAX);
    let note = "… [cut: RECORDED_BODY_BYTES_MAX = 262144 of 524288 bytes]";
    check_exact("text/plain", long.as_bytes(), &format!("\"{}{note}\"", &long[..RECORDED_BODY_BYTES_MAX]))
        .await;
}

#[tokio::test]
async fn the_head_is_given_as_it_is_and_recorded_without_credentials() {
    let world = World::new(&[PUBLIC]);
    let head = "set-cookie: a=1\r\nSet-Cookie: b=2\r\nX-Auth-Token: t0ken\r\nx-other: y\r\n";
    let source = raw(answer(head, b"ok"), Then::Close).await;
    let mut request = get(format!("http://{source}/"));
    request.headers = vec![("authorization".into(), "Bearer t0ken".into())];
    let (opened, mut record) = world.open(request).await;
    let mut opened = opened.unwrap();
    for (name, value) in [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-auth-token", "t0ken")] {
        assert!(opened.headers.contains(&(name.to_owned(), value.to_owned())), "{:?}", opened.headers);
    }
    assert_eq!((opened.url.clone(), opened.redirects), (format!("http://{source}/"), 0));
    assert!(record.is_open(), "recorded before the end");
    rest(&mut opened).await.unwrap();
    let record = serde_json::to_string(&record.now()).unwrap();
    assert!(
        !record.contains("t0ken") && !record.contains("a=1") && record.contains(r#""x-other":"y""#),
        "{record}"
    );
}

#[tokio::test]
async fn a_call_without_a_body_is_over_at_once() {
    let world = World::new(&[PUBLIC]);
    let (server, _) = echo("127.0.0.1:0").await;
    let (opened, mut record) = world.open(Request::new("HEAD", format!("http://{server}/"))).await;
    let mut opened = opened.unwrap();
    assert_eq!(opened.length, Some(0));
    assert_eq!(record.now().result.unwrap().get("partial"), None);
    assert!(opened.body.next().await.is_none() && opened.body.next().await.is_none());
}

#[tokio::test]
async fn compressed_answers_arrive_as_far_as_they_were_flushed() {
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    encoder.write_all(b"first").await.unwrap();
    encoder.flush().await.unwrap();
    let first = encoder.get_ref().clone();
    encoder.write_all(b"second").await.unwrap();
    encoder.shutdown().await.unwrap();
    let second = encoder.into_inner()[first.len()..].to_vec();
    let open = world.open(get(stage.url()));
    let play = async {
        let mut server = stage.request().await;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            first.len() + second.len()
        );
        server.write_all(&[head.as_bytes(), &first].concat()).await.unwrap();
        server
    };
    let ((opened, mut record), mut server) = tokio::join!(open, play);
    let mut opened = opened.unwrap();
    assert_eq!(opened.length, None);
    let names: Vec<&str> = opened.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!names.contains(&"content-encoding") && !names.contains(&"content-length"), "{names:?}");
    assert_eq!(opened.body.next().await.unwrap().unwrap(), "first");
    server.write_all(&second).await.unwrap();
    assert_eq!(rest(&mut opened).await.unwrap(), b"second");
    assert_eq!(record.now().result.unwrap().get("body"), Some(&Value::from("firstsecond")));
}

#[tokio::test]
async fn bodies_over_their_bounds_end_with_a_failure() {
    let limits = Limits { file_bytes_max: 1 << 20, request_bytes_max: 1_000, ..Limits::default() };
    let world = World::with(&[PUBLIC], limits, Vec::new());
    let bomb = answer("content-encoding: gzip\r\n", &gzipped(&vec![0_u8; 64 << 20]).await);
    let broken = answer("content-encoding: gzip\r\n", b"no gzip");
    let other = answer("content-encoding: br\r\n", b"br");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab";
    let cases = [
        (
            raw("HTTP/1.1 200 OK\r\n\r\n", Then::Repeat).await,
            ErrorCode::EgressLimit,
            "response_bytes_max = 1048576",
        ),
        (raw(bomb, Then::Hang).await, ErrorCode::EgressLimit, "response_bytes_max = 1048576"),
        (raw(broken, Then::Hang).await, ErrorCode::HttpResponse, "gzip data"),
        (raw(other, Then::Hang).await, ErrorCode::HttpResponse, "content-encoding `br`"),
        (raw(cut, Then::Close).await, ErrorCode::EgressConnection, "broke"),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", Then::Hang).await,
            ErrorCode::EgressLimit,
            "announces 9999999 bytes",
        ),
    ];
    for (source, code, says) in cases {
        let (opened, mut record) = world.open(get(format!("http://{source}/"))).await;
        let failure = match opened {
            Ok(mut opened) => {
                let failure = rest(&mut opened).await.unwrap_err();
                assert!(opened.body.next().await.is_none(), "a failure is the last item");
                failure
            }
            Err(failure) => failure,
        };
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(says), "{}", failure.message);
        assert_eq!(record.now().result, Err(failure));
    }
    let mut small = get(format!("http://{}/", echo("127.0.0.1:0").await.0));
    small.response_bytes_max = Some(10);
    assert_eq!(world.open(small).await.0.unwrap_err().code, ErrorCode::EgressLimit);
}

#[tokio::test]
async fn time_is_bounded_in_all_and_per_pause_of_the_server() {
    let world = World::new(&[PUBLIC]);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab";
    for (idle, says) in [(2, "idle_timeout = 2000 ms"), (20, "longer than timeout = 5000 ms")] {
        let source = raw(head, Then::Hang).await;
        let mut request = get(format!("http://{source}/"));
        request.timeout = Some(Duration::from_secs(5));
        request.idle_timeout = Some(Duration::from_secs(idle));
        let (opened, mut record) = world.open(request).await;
        let mut opened = opened.unwrap();
        assert_eq!(opened.body.next().await.unwrap().unwrap(), "ab");
        // From here on the server is silent, and paused time runs to the next timer.
        tokio::time::pause();
        let failure = rest(&mut opened).await.unwrap_err();
        tokio::time::resume();
        assert_eq!(failure.code, ErrorCode::EgressTimeout);
        assert!(failure.message.contains(says), "{}", failure.message);
        assert_eq!(record.now().result, Err(failure));
    }
}

#[tokio::test]
async fn a_slow_reader_is_not_a_slow_server() {
    let world = World::new(&[PUBLIC]);
    let source = raw("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n", Then::Repeat).await;
    let mut request = get(format!("http://{source}/"));
    request.timeout = Some(Duration::from_secs(3_600));
    request.idle_timeout = Some(Duration::from_secs(1));
    let (opened, _record) = world.open(request).await;
    let mut opened = opened.unwrap();
    for (wait, expect) in [(600, None), (600, None), (2_400, Some(ErrorCode::EgressTimeout))] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(wait)).await;
        tokio::time::resume();
        let piece = opened.body.next().await.unwrap();
        assert_eq!(piece.err().map(|failure| failure.code), expect);
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_a_body_ends_or_is_dropped() {
    let limits =
        Limits { calls_per_host_max: 1, queue_timeout: Duration::from_millis(100), ..Limits::default() };
    let world = World::with(&[PUBLIC], limits, Vec::new());
    let (server, _) = echo("127.0.0.1:0").await;
    let open = || async { world.open(get(format!("http://{server}/"))).await.0 };
    let mut first = open().await.unwrap();
    assert_eq!(open().await.unwrap_err().code, ErrorCode::EgressLimit);
    rest(&mut first).await.unwrap();
    let second = open().await.unwrap();
    drop(second);
    assert!(open().await.is_ok());
}

/// A server that redirects `/{status}` to `/done` and echoes everything else.
async fn redirecting() -> std::net::SocketAddr {
    let handler = |request: axum::extract::Request| async move {
        use axum::response::IntoResponse as _;
        match request.uri().path().trim_start_matches('/').parse::<u16>() {
            Ok(status) => redirect(status, "/done").into_response(),
            Err(_) => crate::world::echoed(request).await.into_response(),
        }
    };
    serve("127.0.0.1:0", Router::new().fallback(any(handler))).await
}

#[tokio::test]
async fn redirects_are_followed_refused_or_returned() {
    let world = World::new(&[PUBLIC]);
    let server = redirecting().await;
    for (mode, status, expect) in [
        (Redirects::Follow, 302, Ok((200, 1))),
        (Redirects::Manual, 302, Ok((302, 0))),
        (Redirects::Manual, 200, Ok((200, 0))),
        (Redirects::Error, 302, Err(ErrorCode::HttpResponse)),
        (Redirects::Error, 308, Err(ErrorCode::HttpResponse)),
        (Redirects::Error, 200, Ok((200, 0))),
        (Redirects::Error, 304, Ok((304, 0))),
    ] {
        let mut request = get(format!("http://{server}/{status}"));
        request.redirects = mode;
        let (opened, record) = world.open(request).await;
        let found = opened.map(|opened| (opened.status, opened.redirects, opened.url));
        if let Ok((_, followed, url)) = &found {
            let path = if *followed == 1 { "done".to_owned() } else { status.to_string() };
            assert_eq!(*url, format!("http://{server}/{path}"));
        }
        let found = found.map(|found| (found.0, found.1)).map_err(|failure| failure.code);
        assert_eq!(found, expect, "{mode:?} {status}");
        let recorded = record.arrived().await;
        assert_eq!(recorded.result.map(|_| ()).map_err(|failure| failure.code), expect.map(|_| ()));
    }
    let internal = redirect(302, "http://127.1.0.1/");
    let location = internal.headers()["location"].to_str().unwrap().to_owned();
    let evil =
        serve("127.0.0.1:0", Router::new().fallback(any(move || async move { redirect(302, &location) })));
    let (opened, _) = world.open(get(format!("http://{}/", evil.await))).await;
    assert_eq!(opened.unwrap_err().code, ErrorCode::EgressRefused);
}

#[tokio::test]
async fn bytes_are_sent_again_and_streams_are_not() {
    let world = World::new(&[PUBLIC]);
    let server = redirecting().await;
    let bytes =
        || Body::Bytes { content: Bytes::from_static(b"\x00fluxsecret"), content_type: Some("a/b".into()) };
    for (status, body, expect) in [
        (307, bytes(), Ok("\0fluxsecret")),
        (303, bytes(), Ok("")),
        (200, stream(&[b"ab", b"", b"c"]), Ok("abc")),
        (303, stream(&[b"abc"]), Ok("")),
        (302, stream(&[b"abc"]), Ok("")),
        (307, stream(&[b"abc"]), Err("a streamed body can be sent once")),
        (308, stream(&[b"abc"]), Err("a streamed body can be sent once")),
    ] {
        let path = if status == 200 { "done".to_owned() } else { status.to_string() };
        let mut request = Request::new("POST", format!("http://{server}/{path}"));
        request.body = body;
        let (opened, mut record) = world.open(request).await;
        match (opened, expect) {
            (Ok(mut opened), Ok(expect)) => {
                let echo = Value::from_json(&rest(&mut opened).await.unwrap()).unwrap();
                assert_eq!(echo.get("body"), Some(&Value::from(expect)), "{status}");
            }
            (Err(failure), Err(says)) => {
                assert_eq!(failure.code, ErrorCode::HttpResponse);
                assert!(failure.message.contains(says), "{}", failure.message);
            }
            (found, expect) => panic!("{status}: {:?}, not {expect:?}", found.map(|_| ())),
        }
        assert!(record.now().request.get("body").is_some());
    }
}

#[tokio::test]
async fn exact_bodies_arrive_with_their_type_and_are_recorded() {
    let world = World::new(&[PUBLIC]);
    let (server, hits) = echo("127.0.0.1:0").await;
    let json = Some("application/json".to_owned());
    let exact = |content: &'static [u8], content_type: &Option<String>| Body::Bytes {
        content: Bytes::from_static(content),
        content_type: content_type.clone(),
    };
    for (body, header, expect) in [
        (exact(b"{\"a\": 1}", &json), None, (Some("application/json"), Some("8"), r#"{"a":1}"#)),
        (exact(b"[ 1 ]", &None), Some("application/json"), (Some("application/json"), Some("5"), "[1]")),
        (exact(b"[1]", &json), Some("text/plain"), (Some("text/plain"), Some("3"), "\"[1]\"")),
        (exact(b"x", &None), None, (None, Some("1"), "\"x\"")),
        (exact(b"", &None), None, (None, Some("0"), "null")),
        (stream(&[b"[1,", b"2]"]), Some("application/json"), (Some("application/json"), None, "[1,2]")),
    ] {
        let mut request = Request::new("POST", format!("http://{server}/"));
        request.headers =
            header.map(|value| ("Content-Type".to_owned(), value.to_owned())).into_iter().collect();
        request.body = body;
        let called = world.call(request).await;
        let echo = called.outcome.unwrap().body;
        let arrived =
            |name| echo.get("headers").and_then(|headers| headers.get(name)).and_then(Value::as_str);
        let recorded = called.record.request;
        assert_eq!(
            (arrived("content-type"), arrived("content-length"), &*recorded.get("body").unwrap().to_json()),
            expect
        );
        assert_eq!(recorded.get("partial"), None);
    }
    let mut request = get(format!("http://{server}/"));
    request.body = stream(&[b"x"]);
    let sent = hits.load(Ordering::SeqCst);
    assert_eq!(world.open(request).await.0.unwrap_err().code, ErrorCode::NodeConfig);
    assert_eq!(hits.load(Ordering::SeqCst), sent);
}
