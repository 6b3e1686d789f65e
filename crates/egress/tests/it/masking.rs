//! Secrets that user code was given in plain: exact in what it sends and gets, masked in the record.

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use flux_egress::{Body, BodyStream, ContentMasker, Request, SecretScope};
use flux_model::value::Object;
use flux_model::{ErrorCode, Value};

use crate::world::{PUBLIC, Stage, World, echo, get, recording, redirect, rest, serve, tenant, text};

/// A plaintext that every encoding changes.
const PLAIN: &str = "t0p/s\"1 ö+";
/// As the URL parser of browsers leaves it in a query.
const IN_URL: &str = "t0p/s%221%20%C3%B6+";

fn known() -> ContentMasker {
    let known = ContentMasker::default();
    known.add("crm", PLAIN);
    known.add("pin", "123");
    known
}

fn check_hidden(record: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(record).unwrap();
    for hidden in [PLAIN, IN_URL, "t0p/", "t0p%2F", "s\\\"1"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(text.contains("[secret:crm]"), "{text}");
    text
}

#[tokio::test]
async fn what_is_sent_and_received_is_exact_and_the_record_is_masked() {
    let world = World::new(&[PUBLIC]);
    let (server, _) = echo("127.0.0.1:0").await;
    let json = serde_json::to_string(&serde_json::json!({ PLAIN: ["123", PLAIN] })).unwrap();
    let stream = BodyStream::new(futures::stream::iter(
        json.clone().into_bytes().into_iter().map(|byte| Ok(Bytes::from(vec![byte]))),
    ));
    let bodies = [
        Body::Bytes { content: json.clone().into(), content_type: Some("application/json".into()) },
        Body::Bytes { content: format!("text {PLAIN}").into(), content_type: None },
        Body::Stream { content: stream, content_type: Some("application/json".into()) },
    ];
    for body in bodies {
        let mut request = Request::new("POST", format!("http://{server}/{IN_URL}/x?k={IN_URL}&pin=123"));
        request.headers =
            vec![("x-custom".into(), format!("a {PLAIN}")), ("x-api-key".into(), "by name".into())];
        let expect = if matches!(body, Body::Bytes { content_type: None, .. }) {
            format!("text {PLAIN}")
        } else {
            json.clone()
        };
        request.body = body;
        let (opened, mut record) = world.open_knowing(&known(), request).await;
        let mut opened = opened.unwrap();
        assert!(opened.url.ends_with(&format!("?k={IN_URL}&pin=123")), "{}", opened.url);
        let echo = Value::from_json(&rest(&mut opened).await.unwrap()).unwrap();
        assert_eq!(text(&echo, "body"), expect);
        assert_eq!(text(echo.get("headers").unwrap(), "x-custom"), format!("a {PLAIN}"));
        let record = record.now();
        assert_eq!(record.target, format!("POST http://{server}/[secret:crm]/x"));
        let shown = check_hidden(&record);
        assert!(shown.contains("pin=123"), "too short to be masked: {shown}");
        assert_eq!(text(record.request.get("headers").unwrap(), "x-api-key"), "[masked]");
    }
}

#[tokio::test]
async fn failures_are_masked_in_the_record_and_for_the_caller() {
    let world = World::new(&[PUBLIC]);
    let closed = serve("127.0.0.1:0", Router::new()).await.port();
    let broken = crate::world::raw("SSH-2.0-OpenSSH_9.6\r\n", crate::world::Then::Close).await;
    for (url, code) in [
        (format!("http://127.0.0.9:{closed}/{IN_URL}"), ErrorCode::EgressConnection),
        (format!("http://{broken}/{IN_URL}"), ErrorCode::EgressConnection),
        (format!("http://10.0.0.1/{IN_URL}"), ErrorCode::EgressRefused),
    ] {
        let (opened, mut record) = world.open_knowing(&known(), get(url)).await;
        let failure = opened.unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        let record = record.now();
        check_hidden(&record);
        assert_eq!(record.result, Err(failure));
    }
}

#[tokio::test]
async fn a_secret_that_is_learned_during_a_call_is_masked_in_its_record() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::new(&[PUBLIC]);
    let stage = Stage::new().await;
    let known = ContentMasker::default();
    let play = async {
        let mut server = stage.request().await;
        let head = "HTTP/1.1 200 OK\r\nx-echo: t0p/s3cret\r\ncontent-length: 99\r\n\r\n";
        server.write_all(format!("{head}a t0p/s3cret b t0p/s3c").as_bytes()).await.unwrap();
        server
    };
    let ((opened, mut record), _server) = tokio::join!(world.open_knowing(&known, get(stage.url())), play);
    let mut opened = opened.unwrap();
    let mut read = 0;
    while read < 22 {
        read += futures::StreamExt::next(&mut opened.body).await.unwrap().unwrap().len();
    }
    known.add("late", "t0p/s3cret");
    drop(opened);
    let recorded = record.now().result.unwrap();
    // A body that was left in the middle may end in the middle of a secret.
    assert_eq!(recorded.get("body"), Some(&Value::from("a [secret:late] b ")));
    assert_eq!(text(recorded.get("headers").unwrap(), "x-echo"), "[secret:late]");
}

#[tokio::test]
async fn a_known_secret_does_not_follow_a_redirect_to_another_host() {
    let world = World::new(&[PUBLIC]);
    let (other, hits) = echo("127.0.0.2:0").await;
    let to_other = move |request: axum::extract::Request| async move {
        let status = request.uri().path()[1..].parse().unwrap();
        redirect(status, &format!("http://{other}/"))
    };
    let server = serve("127.0.0.1:0", Router::new().fallback(any(to_other))).await;
    let known = ContentMasker::default();
    known.add("crm", "t0p/s3cret");
    let mut request = get(format!("http://{server}/302"));
    request.headers = vec![("x-custom".into(), "a t0p/s3cret".into()), ("x-harmless".into(), "yes".into())];
    let (opened, _) = world.open_knowing(&known, request).await;
    let echo = Value::from_json(&rest(&mut opened.unwrap()).await.unwrap()).unwrap();
    let headers = echo.get("headers").unwrap();
    assert_eq!((headers.get("x-custom"), text(headers, "x-harmless")), (None, "yes".to_owned()));
    let mut request = Request::new("POST", format!("http://{server}/307"));
    request.body = Body::Bytes { content: "{\"key\":\"t0p/s3cret\"}".into(), content_type: None };
    let (opened, _) = world.open_knowing(&known, request).await;
    assert_eq!(opened.unwrap_err().code, ErrorCode::SecretHost);
    assert_eq!(hits.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn secrets_of_the_scope_that_nobody_was_given_are_masked_in_the_answer_too() {
    let world = World::new(&[PUBLIC]);
    world.secrets.set("s", "t0p/s3cret", &[]);
    let (server, _) = echo("127.0.0.1:0").await;
    let config = Value::Object(std::sync::Arc::new(Object::from_iter([("s".into(), Value::secret("s"))])));
    let (scope, opened) = SecretScope::open(&config).unwrap();
    let mut request = get(format!("http://{server}/{}", text(&opened, "s")));
    request.headers = vec![("x-custom".into(), text(&opened, "s"))];
    let (recording, mut record) = recording(&ContentMasker::default());
    let mut answer = world.egress.open(tenant(), &scope, &request, recording).await.unwrap();
    assert_eq!(answer.url, format!("http://{server}/[secret:s]"));
    let echo = Value::from_json(&rest(&mut answer).await.unwrap()).unwrap();
    assert_eq!(text(&echo, "path"), "/[secret:s]");
    assert_eq!(text(echo.get("headers").unwrap(), "x-custom"), "[secret:s]");
    let record = serde_json::to_string(&record.now()).unwrap();
    assert!(!record.contains("s3cret") && record.contains("[secret:s]"), "{record}");
}
