//! Secrets: in plain on the wire, masked everywhere else, and only where they are bound to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::routing::any;
use flux_egress::{Auth, Body, FileRef, Part, PartContent, Request, ResponseMode};
use flux_model::value::SecretPart;
use flux_model::{ErrorCode, Value};

use crate::world::{PUBLIC, World, echo, get, redirect, serve, text};

/// A plaintext that needs escaping in JSON, URLs, forms and HTML.
const AWKWARD: &str = "p\"w/ö &=+1";

fn joined(parts: &[&str]) -> Value {
    let parts = parts.iter().map(|part| match part.strip_prefix('$') {
        Some(name) => SecretPart::Secret(name.into()),
        None => SecretPart::Text((*part).into()),
    });
    Value::Secret(Arc::new(parts.collect()))
}

/// Sends what `build` makes of a config with the secret `s` to a server that keeps the request;
/// answers with what arrived, and checks that the plaintext is nowhere else.
async fn arrived(plain: &str, build: impl FnOnce(&Value, String) -> Request) -> serde_json::Value {
    let world = World::new(&[PUBLIC]);
    world.secrets.set("s", plain, &[]);
    let seen = Arc::new(std::sync::Mutex::new(serde_json::Value::Null));
    let keep = seen.clone();
    let server = serve(
        "127.0.0.1:0",
        Router::new().fallback(any(move |request: axum::extract::Request| async move {
            let echo = crate::world::echoed(request).await;
            *keep.lock().unwrap() = echo.0.clone();
            echo
        })),
    );
    let base = format!("http://{}", server.await);
    let config = Value::object([("s", Value::secret("s")), ("bearer", joined(&["x-", "$s"]))]);
    let called = world.call_with(&config, |config| build(config, base)).await;
    let answer = called.outcome.as_ref().unwrap();
    for (place, shown) in [
        ("record", serde_json::to_string(&called.record).unwrap()),
        ("answer", answer.to_value().to_json()),
        ("url", answer.url.clone()),
        ("debug", format!("{called:?}")),
    ] {
        let escaped = serde_json::to_string(plain).unwrap();
        let leaks = shown.contains(plain) || shown.contains(&escaped[1..escaped.len() - 1]);
        assert!(!leaks, "the {place} shows the secret: {shown}");
        assert!(!shown.contains("fluxsecret"), "the {place} shows a token: {shown}");
    }
    assert!(serde_json::to_string(&called.record).unwrap().contains("[secret:s]"));
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn secrets_arrive_wherever_they_stand() {
    let seen = arrived(AWKWARD, |config, base| {
        let mut request = get(format!("{base}/a/{}?k={}", text(config, "s"), text(config, "s")));
        request.query = vec![("q".into(), text(config, "s"))];
        request
    })
    .await;
    let encoded = "p%22w%2F%C3%B6%20%26%3D%2B1";
    assert_eq!(seen["path"], format!("/a/{encoded}?k={encoded}&q={encoded}"));

    let seen = arrived("s3cr3t", |config, base| {
        let mut request = get(base);
        request.headers = vec![("X-Custom".into(), text(config, "bearer"))];
        request.auth = Auth::Basic { username: "me".into(), password: text(config, "s") };
        request
    })
    .await;
    assert_eq!(seen["headers"]["x-custom"], "x-s3cr3t");
    assert_eq!(seen["headers"]["authorization"], "Basic bWU6czNjcjN0");

    let seen = arrived(AWKWARD, |config, base| {
        let mut request = Request::new("POST", base);
        request.body =
            Body::Json(Value::object([("a", Value::array(vec![config.get("bearer").unwrap().clone()]))]));
        request
    })
    .await;
    let sent: serde_json::Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["a"][0], format!("x-{AWKWARD}"));

    let seen = arrived(AWKWARD, |config, base| {
        let mut request = Request::new("POST", base);
        request.body = Body::Form(vec![("a".into(), text(config, "s")), ("b".into(), "1".into())]);
        request
    })
    .await;
    assert_eq!(seen["body"], "a=p%22w%2F%C3%B6+%26%3D%2B1&b=1");

    let seen = arrived(AWKWARD, |config, base| {
        let mut request = Request::new("POST", base);
        let content = PartContent::Text(text(config, "s"));
        request.body = Body::Multipart(vec![Part { name: "a".into(), content }]);
        request
    })
    .await;
    assert!(seen["body"].as_str().unwrap().contains(&format!("name=\"a\"\r\n\r\n{AWKWARD}\r\n--")));
}

#[tokio::test]
async fn a_secret_may_be_the_url_itself() {
    let world = World::new(&[PUBLIC]);
    let (server, _) = echo("127.0.0.1:0").await;
    world.secrets.set("hook", &format!("http://{server}/services/T0/B0/xyzzy"), &[]);
    let config = Value::object([("url", joined(&["$hook"])), ("more", joined(&["$hook", "/x"]))]);
    let called = world.call_with(&config, |config| get(text(config, "url"))).await;
    assert_eq!(called.record.target, "GET [secret:hook]");
    let answer = called.outcome.unwrap();
    assert_eq!(text(&answer.body, "path"), "[secret:hook]");
    assert!(!serde_json::to_string(&called.record).unwrap().contains("xyzzy"));
    let called = world.call_with(&config, |config| {
        let mut request = get(text(config, "more"));
        request.query = vec![("a".into(), "b".into())];
        request
    });
    let called = called.await;
    assert_eq!(called.record.request.get("url"), Some(&Value::from("[secret:hook]/x?a=b")));
    assert_eq!(text(&called.outcome.unwrap().body, "path"), "[secret:hook]/x?a=b");
}

#[tokio::test]
async fn in_the_host_only_host_characters() {
    let world = World::new(&[PUBLIC]);
    let (server, _) = echo("127.0.0.1:0").await;
    world.names.set("acme.example", &["127.0.0.1"]);
    world.secrets.set("shop", "acme", &[]);
    world.secrets.set("evil", "x@169.254.169.254/", &[]);
    let at = |name: &str| joined(&["http://", &format!("${name}"), &format!(".example:{}/", server.port())]);
    let config = Value::object([("good", at("shop")), ("evil", at("evil"))]);
    let called = world.call_with(&config, |config| get(text(config, "good"))).await;
    assert_eq!(called.outcome.unwrap().status, 200);
    let called = world.call_with(&config, |config| get(text(config, "evil"))).await;
    assert_eq!(called.outcome.unwrap_err().code, ErrorCode::EgressUrl);
}

#[tokio::test]
async fn a_bound_secret_goes_to_its_hosts_only() {
    let world = World::new(&[PUBLIC]);
    let (server, hits) = echo("127.0.0.1:0").await;
    let port = server.port();
    for name in ["api.example", "www.api.example", "evil.example", "evilapi.example"] {
        world.names.set(name, &["127.0.0.1"]);
    }
    let cases = [
        ("api.example", "api.example", true),
        ("api.example", "www.api.example", false),
        ("api.example", "evilapi.example", false),
        ("*.api.example", "www.api.example", true),
        ("*.api.example", "api.example", false),
        ("api.example", "evil.example", false),
        ("api.example:1", "api.example", false),
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "api.example", false),
    ];
    let mut sent = 0;
    for (bound, host, allowed) in cases {
        world.secrets.set("s", "t0psecret", &[bound]);
        let config = Value::object([("s", Value::secret("s"))]);
        let called = world.call_with(&config, |config| {
            let mut request = get(format!("http://{host}:{port}/"));
            request.auth = Auth::Header { name: "X-Key".into(), value: text(config, "s") };
            request
        });
        let outcome = called.await.outcome;
        let expect = if allowed { Ok(200) } else { Err(ErrorCode::SecretHost) };
        assert_eq!(
            outcome.map(|answer| answer.status).map_err(|failure| failure.code),
            expect,
            "{bound} {host}"
        );
        sent += usize::from(allowed);
        assert_eq!(hits.load(Ordering::SeqCst), sent, "{bound} {host}");
    }
}

#[tokio::test]
async fn a_redirect_that_carries_a_bound_secret_elsewhere_is_refused() {
    let world = World::new(&[PUBLIC]);
    let (other, hits) = echo("127.0.0.2:0").await;
    let reflect = move |request: axum::extract::Request| async move {
        redirect(302, &format!("http://{other}/?stolen={}", request.uri().query().unwrap_or_default()))
    };
    let server = serve("127.0.0.1:0", Router::new().fallback(any(reflect))).await;
    world.secrets.set("s", "t0p/secret", &[&server.to_string()]);
    let config = Value::object([("s", Value::secret("s"))]);
    let called = world.call_with(&config, |config| {
        let mut request = get(format!("http://{server}/"));
        request.auth = Auth::Query { name: "key".into(), value: text(config, "s") };
        request
    });
    let called = called.await;
    assert_eq!(called.outcome.unwrap_err().code, ErrorCode::SecretHost);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
    assert!(!serde_json::to_string(&called.record).unwrap().contains("secret\""));
}

#[tokio::test]
async fn missing_secrets_and_misplaced_tokens_send_nothing() {
    let world = World::new(&[PUBLIC]);
    let (server, hits) = echo("127.0.0.1:0").await;
    let url = format!("http://{server}/");
    world.secrets.set("s", "value", &[]);
    let config = Value::object([("gone", Value::secret("gone")), ("s", Value::secret("s"))]);
    type Build<'b> = Box<dyn Fn(&Value) -> Request + 'b>;
    let with = |change: fn(&mut Request, String)| -> Build<'_> {
        let url = url.clone();
        Box::new(move |config| {
            let mut request = Request::new("POST", url.clone());
            change(&mut request, text(config, "s"));
            request
        })
    };
    let gone = |config: &Value| get(format!("{url}?{}", text(config, "gone")));
    let cases: [(&str, Build<'_>, ErrorCode); 10] = [
        ("missing", Box::new(gone), ErrorCode::SecretMissing),
        ("header name", with(|request, s| request.headers = vec![(s, "v".into())]), ErrorCode::NodeConfig),
        ("method", with(|request, s| request.method = s), ErrorCode::NodeConfig),
        (
            "cut",
            with(|request, s| {
                request.headers = vec![("a".into(), s[..20].into()), ("b".into(), s[..44].into())]
            }),
            ErrorCode::NodeConfig,
        ),
        (
            "part name",
            with(|request, name| {
                let content = PartContent::Text(String::new());
                request.body = Body::Multipart(vec![Part { name, content }]);
            }),
            ErrorCode::NodeConfig,
        ),
        ("idempotency key", with(|request, s| request.idempotency_key = Some(s)), ErrorCode::NodeConfig),
        (
            "content type",
            with(|request, s| request.body = Body::Text { content: String::new(), content_type: Some(s) }),
            ErrorCode::NodeConfig,
        ),
        (
            "file name",
            with(|request, name| {
                let file = FileRef { hash: "0".repeat(64), name, mime: "a/b".into(), bytes: 1 };
                request.body =
                    Body::Multipart(vec![Part { name: "f".into(), content: PartContent::File(file) }]);
            }),
            ErrorCode::NodeConfig,
        ),
        (
            "auth query name",
            with(|request, name| request.auth = Auth::Query { name, value: "v".into() }),
            ErrorCode::NodeConfig,
        ),
        (
            "line break",
            with(|request, s| request.headers = vec![("a".into(), s + "\r\nX: y")]),
            ErrorCode::NodeConfig,
        ),
    ];
    for (name, build, expect) in cases {
        let called = world.call_with(&config, |config| build(config)).await;
        let failure = called.outcome.unwrap_err();
        assert_eq!(failure.code, expect, "{name}: {}", failure.message);
        assert!(!format!("{:?}{}", called.record, failure.message).contains("fluxsecret"), "{name}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn echoes_are_masked_in_headers_texts_files_and_errors() {
    let world = World::new(&[PUBLIC]);
    world.secrets.set("s", "t0p/secret\"", &[]);
    let echo = |request: axum::extract::Request| async move {
        let key = request.headers()["x-key"].clone();
        let text = String::from_utf8_lossy(key.as_bytes()).into_owned().repeat(3);
        let status = if request.uri().path() == "/bad" { 500 } else { 200 };
        (axum::http::StatusCode::from_u16(status).unwrap(), [("x-echo", key)], text)
    };
    let server = serve("127.0.0.1:0", Router::new().fallback(any(echo))).await;
    let config = Value::object([("s", Value::secret("s"))]);
    for (path, mode) in [("/", ResponseMode::Text), ("/bad", ResponseMode::Auto), ("/", ResponseMode::File)] {
        let called = world.call_with(&config, |config| {
            let mut request = get(format!("http://{server}{path}"));
            request.headers = vec![("X-Key".into(), text(config, "s"))];
            request.response = mode;
            request
        });
        let called = called.await;
        let answer = called.outcome.unwrap();
        assert_eq!(answer.header("x-echo"), Some("[secret:s]"));
        match answer.body.as_str() {
            Some(text) => assert_eq!(text, "[secret:s]".repeat(3)),
            None => {
                let hash = answer.body.get("$file").and_then(|file| file.get("hash")).and_then(Value::as_str);
                let content = world.files.get(hash.unwrap()).unwrap();
                assert_eq!(content, "[secret:s]".repeat(3));
            }
        }
        assert!(!answer.failure().message.contains("t0p"), "{}", answer.failure().message);
        assert!(!serde_json::to_string(&called.record).unwrap().contains("t0p"));
    }
}

#[tokio::test]
async fn credentials_in_the_record_are_masked_even_in_plain_configs() {
    let world = World::new(&[PUBLIC]);
    let router = Router::new().fallback(any(|| async {
        ([("set-cookie", "session=abc"), ("x-auth-token", "def"), ("x-other", "ghi")], "ok")
    }));
    let server = serve("127.0.0.1:0", router).await;
    let mut request = get(format!("http://{server}/?api_key=plain1&page=2"));
    request.headers =
        vec![("Authorization".into(), "Bearer plain2".into()), ("X-Trace".into(), "seen".into())];
    let called = world.call(request).await;
    let record = serde_json::to_string(&called.record).unwrap();
    for hidden in ["plain1", "plain2", "abc", "def"] {
        assert!(!record.contains(hidden), "{hidden} in {record}");
    }
    for shown in ["seen", "page=2", "ghi", "api_key=[masked]"] {
        assert!(record.contains(shown), "{shown} not in {record}");
    }
    assert_eq!(called.record.target, format!("GET http://{server}/"));
    assert_eq!(called.outcome.unwrap().header("set-cookie"), Some("session=abc"));
}
