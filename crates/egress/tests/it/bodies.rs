//! What is sent and what is made of the answer.

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use flux_egress::{Auth, Body, FileRef, Part, PartContent, Request, ResponseMode};
use flux_model::{ErrorCode, Value};

use crate::world::{PUBLIC, Then, World, echo, get, raw, serve, text};

fn header(answer: &Value, name: &str) -> String {
    text(answer.get("headers").unwrap(), name)
}

async fn sent(world: &World, change: impl FnOnce(&mut Request)) -> Value {
    let (server, _) = echo("127.0.0.1:0").await;
    let mut request = Request::new("POST", format!("http://{server}/"));
    change(&mut request);
    world.call(request).await.outcome.unwrap().body
}

#[tokio::test]
async fn every_kind_of_body_arrives_with_its_type_and_length() {
    let world = World::new(&[PUBLIC]);
    let arrived = sent(&world, |_| {}).await;
    assert_eq!((text(&arrived, "body"), header(&arrived, "content-length")), (String::new(), "0".into()));

    let json = Value::from_json(br#"{"a":[1,"x"]}"#).unwrap();
    let arrived = sent(&world, |request| request.body = Body::Json(json)).await;
    assert_eq!(text(&arrived, "body"), r#"{"a":[1,"x"]}"#);
    assert_eq!(header(&arrived, "content-type"), "application/json");

    let fields = vec![("a b".to_owned(), "c&d".to_owned())];
    let arrived = sent(&world, |request| request.body = Body::Form(fields)).await;
    assert_eq!(text(&arrived, "body"), "a+b=c%26d");
    assert_eq!(header(&arrived, "content-type"), "application/x-www-form-urlencoded");

    let content_type = Some("application/xml".to_owned());
    let arrived =
        sent(&world, |request| request.body = Body::Text { content: "<a/>".into(), content_type }).await;
    assert_eq!(
        (text(&arrived, "body"), header(&arrived, "content-type")),
        ("<a/>".into(), "application/xml".into())
    );

    let arrived = sent(&world, |request| {
        request.body = Body::Json(Value::from(1_i64));
        request.headers = vec![("Content-Type".into(), "application/vnd.api+json".into())];
    })
    .await;
    assert_eq!(header(&arrived, "content-type"), "application/vnd.api+json");
}

#[tokio::test]
async fn files_are_streamed_out_with_their_length() {
    let world = World::new(&[PUBLIC]);
    let content = b"hello, file";
    let file = |name: &str, mime: &str| FileRef {
        hash: world.files.put(content),
        name: name.into(),
        mime: mime.into(),
        bytes: content.len() as u64,
    };
    let arrived = sent(&world, |request| request.body = Body::File(file("a.txt", "text/plain"))).await;
    assert_eq!(
        (text(&arrived, "body"), header(&arrived, "content-length")),
        ("hello, file".into(), "11".into())
    );

    let arrived = sent(&world, |request| {
        let tricky = file("a\"\r\nX: y\".txt", "text/plain\r\nX: y");
        request.body = Body::Multipart(vec![
            Part { name: "no\"te".into(), content: PartContent::Text("n".into()) },
            Part { name: "f".into(), content: PartContent::File(tricky) },
        ]);
    })
    .await;
    let boundary = header(&arrived, "content-type").split_once("boundary=").unwrap().1.to_owned();
    let expect = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"no%22te\"\r\n\r\nn\r\n\
         --{boundary}\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a%22%0D%0AX: y%22.txt\"\r\n\
         content-type: application/octet-stream\r\n\r\nhello, file\r\n--{boundary}--\r\n"
    );
    assert_eq!(text(&arrived, "body"), expect);
    assert_eq!(header(&arrived, "content-length"), expect.len().to_string());

    let missing = FileRef { hash: "0".repeat(64), ..file("a", "b/c") };
    let (server, _) = echo("127.0.0.1:0").await;
    let mut request = Request::new("POST", format!("http://{server}/"));
    request.body = Body::File(missing);
    let called = world.call(request).await;
    assert_eq!(
        called.record.request.get("body").unwrap().get("$file").unwrap().get("name"),
        Some(&Value::from("a"))
    );
    assert_eq!(called.outcome.unwrap_err().code, ErrorCode::NodeInput);
}

#[tokio::test]
async fn headers_and_auth_are_what_was_asked_for() {
    let world = World::new(&[PUBLIC]);
    let arrived = sent(&world, |request| {
        request.auth = Auth::Basic { username: "Aladdin".into(), password: "open sesame".into() };
        request.idempotency_key = Some("exec_1/node".into());
        request.headers =
            vec![("Authorization".into(), "other".into()), ("Accept".into(), "text/csv".into())];
    })
    .await;
    assert_eq!(header(&arrived, "authorization"), "Basic [masked]");
    assert_eq!(header(&arrived, "idempotency-key"), "exec_1/node");
    assert_eq!(header(&arrived, "accept"), "text/csv");
    assert!(header(&arrived, "user-agent").starts_with("flux/"));
    let arrived = sent(&world, |request| {
        request.idempotency_key = Some("ours".into());
        request.headers = vec![("idempotency-key".into(), "theirs".into())];
        request.query = vec![("a b".into(), "c/d".into())];
        request.auth = Auth::Query { name: "k".into(), value: "v".into() };
    })
    .await;
    assert_eq!(header(&arrived, "idempotency-key"), "theirs");
    assert_eq!(text(&arrived, "path"), "/?a%20b=c%2Fd&k=v");
}

#[tokio::test]
async fn requests_that_cannot_be_sent_are_explained() {
    let world = World::new(&[PUBLIC]);
    let with_header = |name: &str, value: &str| {
        let mut request = get("http://127.0.0.1:9999/");
        request.headers = vec![(name.to_owned(), value.to_owned())];
        request
    };
    let mut colon = get("http://127.0.0.1:9999/");
    colon.auth = Auth::Basic { username: "a:b".into(), password: String::new() };
    let cases = [
        Request::new("get", "http://127.0.0.1:9999/"),
        Request::new("CONNECT", "http://127.0.0.1:9999/"),
        Request::new("GET /x", "http://127.0.0.1:9999/"),
        Request::new("", "http://127.0.0.1:9999/"),
        with_header("Host", "169.254.169.254"),
        with_header("Transfer-Encoding", "chunked"),
        with_header("Content-Length", "5"),
        with_header("Connection", "upgrade"),
        with_header("Proxy-Authorization", "x"),
        with_header("a b", "x"),
        with_header("", "x"),
        with_header("X", "a\r\nY: b"),
        with_header("X", "a\nb"),
        with_header("X", "a\0b"),
        colon,
    ];
    for request in cases {
        let failure = world.call(request.clone()).await.outcome.unwrap_err();
        assert_eq!(failure.code, ErrorCode::NodeConfig, "{request:?}: {}", failure.message);
    }
}

/// What `mode` makes of an answer with this type and body: its value as JSON text, or the code.
async fn made(world: &World, mode: ResponseMode, status: u16, content_type: &str, body: &[u8]) -> String {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let source = raw([head.as_bytes(), body].concat(), Then::Close).await;
    let mut request = get(format!("http://{source}/dir/data.bin"));
    request.response = mode;
    match world.call(request).await.outcome {
        Ok(answer) => match FileRef::from_value(&answer.body) {
            Some(file) => {
                assert_eq!(world.files.get(&file.hash).unwrap(), body);
                format!("file {} {} {}", file.name, file.mime, file.bytes)
            }
            None => answer.body.to_json(),
        },
        Err(failure) => failure.code.to_string(),
    }
}

#[tokio::test]
async fn answers_become_what_the_mode_says() {
    use ResponseMode::{Auto, File, Json, Text};
    let world = World::new(&[PUBLIC]);
    let json = "application/json; charset=utf-8";
    let cases: [(ResponseMode, u16, &str, &[u8], &str); 18] = [
        (Auto, 200, json, br#"{"a":1}"#, r#"{"a":1}"#),
        (Auto, 200, "application/problem+json", b"[]", "[]"),
        (Auto, 200, json, b"\xef\xbb\xbf[1]", "[1]"),
        (Auto, 200, json, b"", "null"),
        (Auto, 200, json, b"<html>", "\"<html>\""),
        (Auto, 200, "text/plain", br#"{"a":1}"#, r#""{\"a\":1}""#),
        (Auto, 200, "", "ä".as_bytes(), "\"ä\""),
        (Auto, 200, "text/plain", b"\xff\xfe\x00", "file data.bin text/plain 3"),
        (Auto, 200, "image/png", b"PNG", "file data.bin image/png 3"),
        (Auto, 200, "image/svg+xml", b"<svg/>", "\"<svg/>\""),
        (Json, 200, "text/html", b"[1]", "[1]"),
        (Json, 200, json, b"", "null"),
        (Json, 200, json, b"{", "http_response"),
        (Json, 500, "text/html", b"<h1>", "\"<h1>\""),
        (Text, 200, json, b"{", "\"{\""),
        (Text, 200, "text/plain", b"a\xffb", "\"a\u{fffd}b\""),
        (File, 200, json, b"{}", "file data.bin application/json 2"),
        (File, 404, json, br#"{"e":1}"#, r#"{"e":1}"#),
    ];
    for (mode, status, content_type, body, expect) in cases {
        let found = made(&world, mode, status, content_type, body).await;
        assert_eq!(found, expect, "{mode:?} {status} {content_type} {body:?}");
    }
    assert_eq!(made(&world, File, 200, "", b"").await, "file data.bin application/octet-stream 0");
}

#[tokio::test]
async fn compressed_answers_and_repeated_headers_are_read() {
    let world = World::new(&[PUBLIC]);
    // "hello" compressed twice: members of one gzip stream follow each other.
    let member: &[u8] =
        &[31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 203, 72, 205, 201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0, 0];
    let body = Bytes::from([member, member].concat());
    let router = Router::new().fallback(any(move || async move {
        let mut response = axum::http::Response::new(axum::body::Body::from(body));
        let headers = response.headers_mut();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        for (name, value) in
            [("link", "<a>"), ("link", "<b>"), ("set-cookie", "a=1, 2"), ("set-cookie", "b=2")]
        {
            headers.append(name, value.parse().unwrap());
        }
        response
    }));
    let server = serve("127.0.0.1:0", router).await;
    let answer = world.call(get(format!("http://{server}/"))).await.outcome.unwrap();
    assert_eq!(answer.body, Value::from("hellohello"));
    assert_eq!(answer.header("link"), Some("<a>, <b>"));
    assert_eq!(answer.header("set-cookie"), Some("a=1, 2\nb=2"));
    let mut head = Request::new("HEAD", format!("http://{server}/"));
    head.response = ResponseMode::Json;
    assert_eq!(world.call(head).await.outcome.unwrap().body, Value::Null);
}

#[tokio::test]
async fn the_record_says_what_was_asked_and_answered() {
    let world = World::new(&[PUBLIC]);
    let router = Router::new().fallback(any(|| async { axum::Json(serde_json::json!({"ok": true})) }));
    let server = serve("127.0.0.1:0", router).await;
    let mut request = Request::new("POST", format!("http://{server}/path?a=1#f"));
    request.headers = vec![("X-A".into(), "b".into())];
    request.body = Body::Json(Value::from_json(b"[1]").unwrap());
    let called = world.call(request).await;
    assert_eq!(called.record.target, format!("POST http://{server}/path"));
    let expect =
        format!(r#"{{"method":"POST","url":"http://{server}/path?a=1","headers":{{"x-a":"b"}},"body":[1]}}"#);
    assert_eq!(called.record.request.to_json(), expect);
    let result = called.record.result.unwrap();
    assert_eq!(
        (result.get("status"), result.get("body").unwrap().to_json()),
        (Some(&Value::from(200_u64)), r#"{"ok":true}"#.into())
    );
    assert!(called.record.started_at.millis() > 1_700_000_000_000 && called.record.duration_us > 0);
}
