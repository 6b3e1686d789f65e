//! `http.request` through a real egress against a real server on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flux_model::error::ErrorClass;
use flux_model::value::SecretPart;
use flux_model::{ErrorCode, Value};
use serde_json::json;

use crate::TaskDone;
use crate::types::world::World;

/// A server, and what is needed to send nodes against it.
struct Served {
    base: String,
    world: World,
}

impl Served {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let away = base.replace("127.0.0.1", "localhost");
        tokio::spawn(async move { axum::serve(listener, server(away)).await.unwrap() });
        Self { base, world: World::new() }
    }

    /// Runs `http.request` with this config; `url` is below the server's.
    async fn run(&self, config: serde_json::Value) -> TaskDone {
        let mut config = config;
        let url = format!("{}{}", self.base, config["url"].as_str().unwrap_or_default());
        config["url"] = url.into();
        self.run_value(Value::from(config)).await
    }

    async fn run_value(&self, config: Value) -> TaskDone {
        self.world.run("http.request", config).await
    }

    /// The `body` of the output as JSON.
    async fn body(&self, config: serde_json::Value) -> serde_json::Value {
        let done = self.run(config.clone()).await;
        let output = done.result.unwrap_or_else(|failure| panic!("{config}: {failure:?}"));
        output.value.get("body").unwrap().to_serde()
    }
}

fn server(away: String) -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/status/{code}", get(status))
        .route("/pages/{kind}", get(page))
        .route(
            "/bytes",
            get(|| async { ([(header::CONTENT_TYPE, "application/octet-stream")], vec![0u8, 159, 146]) }),
        )
        .route("/text", get(|| async { "plain" }))
        .route("/broken", get(|| async { ([(header::CONTENT_TYPE, "application/json")], "{\"a\":") }))
        .route("/never", get(std::future::pending::<()>))
        .with_state(away)
}

async fn echo(request: Request) -> Json<serde_json::Value> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let headers: BTreeMap<String, String> =
        parts.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap_or("?").to_owned())).collect();
    Json(json!({
        "method": parts.method.as_str(), "query": parts.uri.query(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn status(Path(code): Path<u16>) -> Response {
    (StatusCode::from_u16(code).unwrap(), [("retry-after", "7")], Json(json!({"code": code}))).into_response()
}

/// Items 1 to 5 in pages of two, by every way of asking.
async fn page(
    Path(kind): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    State(away): State<String>,
    request_headers: HeaderMap,
) -> Response {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let slice = |from: usize, count: usize| (1..=5).skip(from).take(count).collect::<Vec<usize>>();
    let page = number("page").unwrap_or(1);
    let more = page * 2 < 5;
    let items = slice((page - 1) * 2, 2);
    match kind.as_str() {
        "header" if more => {
            ([("link", format!("</pages/header?page={}>; rel=\"next\"", page + 1))], Json(json!(items)))
                .into_response()
        }
        "header" => Json(json!(items)).into_response(),
        "body" => {
            let next = more.then(|| format!("/pages/body?page={}&key={}", page + 1, query["key"]));
            Json(json!({"items": items, "next": next})).into_response()
        }
        "cursor" => {
            let from = number("after").unwrap_or(0);
            let next = (from + 2 < 5).then_some(from + 2);
            Json(json!({"data": {"rows": slice(from, 2)}, "meta": {"next": next}})).into_response()
        }
        "number" => Json(json!({"items": items})).into_response(),
        "offset" => {
            Json(json!(slice(number("skip").unwrap_or(0), number("limit").unwrap_or(1)))).into_response()
        }
        "away" => Json(json!({"items": items, "next": format!("{away}/echo")})).into_response(),
        "endless" => Json(json!({"items": [1], "next": "/pages/endless"})).into_response(),
        "flaky" if page == 2 => (StatusCode::BAD_GATEWAY, "down").into_response(),
        "flaky" => Json(json!({"items": items, "next": "/pages/flaky?page=2"})).into_response(),
        _ => Json(json!({"seen": request_headers.len()})).into_response(),
    }
}

/// Checks members of what the server saw: `headers.x-a`, `query`, `body`.
fn check_seen(seen: &serde_json::Value, expected: serde_json::Value) {
    for (place, value) in expected.as_object().unwrap() {
        let found = place.split_once('.').map_or(&seen[place.as_str()], |(first, rest)| &seen[first][rest]);
        assert_eq!(found, value, "{place} of {seen}");
    }
}

#[tokio::test]
async fn requests_are_sent_as_configured() {
    let world = Served::start().await;
    for (config, expected) in [
        (json!({"url": "/echo"}), json!({"method": "GET", "query": null, "headers.idempotency-key": null})),
        (
            json!({"url": "/echo?a=1", "query": {"b": [1, "x y"], "c": null, "d": true}, "headers": {"X-A": 5, "X-B": null}}),
            json!({"query": "a=1&b=1&b=x%20y&d=true", "headers.x-a": "5", "headers.x-b": null}),
        ),
        (
            json!({"url": "/echo", "method": "POST", "body": {"json": {"a": [1, null]}}}),
            json!({"method": "POST", "body": "{\"a\":[1,null]}", "headers.content-type": "application/json",
                "headers.idempotency-key": "exec_1/ask"}),
        ),
        (
            json!({"url": "/echo", "method": "PUT", "idempotency_key": false, "body": {"form": {"a": "x y", "b": [1, 2]}}}),
            json!({"body": "a=x+y&b=1&b=2", "headers.content-type": "application/x-www-form-urlencoded",
                "headers.idempotency-key": null}),
        ),
        (
            json!({"url": "/echo", "method": "PATCH", "headers": {"Content-Type": "text/csv"}, "body": {"text": "a;b"}}),
            json!({"body": "a;b", "headers.content-type": "text/csv"}),
        ),
        (
            json!({"url": "/echo", "method": "DELETE", "headers": {"idempotency-key": "mine"}}),
            json!({"method": "DELETE", "headers.idempotency-key": "mine", "body": ""}),
        ),
    ] {
        check_seen(&world.body(config).await, expected);
    }
}

#[tokio::test]
async fn every_kind_of_authentication_is_sent() {
    let world = Served::start().await;
    let basic = format!("Basic {}", STANDARD.encode("ada:7"));
    for (auth, expected) in [
        (json!({"kind": "none"}), json!({"headers.authorization": null})),
        (json!({"kind": "basic", "username": "ada", "password": 7}), json!({"headers.x": null})),
        (json!({"kind": "bearer", "token": "abc"}), json!({"headers.x": null})),
        (json!({"kind": "header", "name": "X-Who", "value": "ada"}), json!({"headers.x-who": "ada"})),
        (json!({"kind": "query", "name": "who", "value": "ada l"}), json!({"query": "who=ada%20l"})),
    ] {
        check_seen(&world.body(json!({"url": "/echo", "auth": auth})).await, expected);
    }
    // What is sent back is masked, so what was sent shows in what the mask replaced.
    let auth = json!({"kind": "basic", "username": "ada", "password": 7});
    let seen = world.body(json!({"url": "/echo", "auth": auth})).await;
    assert_ne!(seen["headers"]["authorization"], serde_json::Value::Null);
    assert!(!seen.to_string().contains(&basic), "{seen}");
}

#[tokio::test]
async fn secrets_reach_the_server_and_nothing_else() {
    let world = Served::start().await;
    let bearer =
        Value::Secret(Arc::new(vec![SecretPart::Text("Token ".into()), SecretPart::Secret("token".into())]));
    let config = Value::object([
        ("url", Value::from(format!("{}/echo", world.base))),
        ("method", Value::from("POST")),
        ("headers", Value::object([("x-plain", bearer)])),
        ("body", Value::object([("json", Value::object([("key", Value::secret("token"))]))])),
    ]);
    let done = world.run_value(config).await;
    let shown = format!("{done:?}");
    assert!(!shown.contains("s3cr3t-plain") && !shown.contains("fluxsecret"), "{shown}");
    let seen = done.result.unwrap().value.get("body").unwrap().to_serde();
    check_seen(
        &seen,
        json!({"headers.x-plain": "Token [secret:token]", "body": "{\"key\":\"[secret:token]\"}"}),
    );
    let length = r#"{"key":"s3cr3t-plain"}"#.len().to_string();
    check_seen(&seen, json!({"headers.content-length": length}));
    let missing = Value::object([
        ("url", Value::from(world.base.clone())),
        ("auth", { Value::object([("kind", Value::from("bearer")), ("token", Value::secret("absent"))]) }),
    ]);
    assert_eq!(world.run_value(missing).await.result.unwrap_err().code, ErrorCode::SecretMissing);
}

#[tokio::test]
async fn files_go_out_and_come_in() {
    let world = Served::start().await;
    let received = world.body(json!({"url": "/bytes", "response": "file"})).await;
    assert_eq!(
        (&received["$file"]["bytes"], &received["$file"]["mime"]),
        (&json!(3), &json!("application/octet-stream"))
    );
    assert_eq!(world.body(json!({"url": "/bytes"})).await["$file"]["hash"], received["$file"]["hash"]);
    world.world.files.0.lock().unwrap().insert("h".into(), b"file content".to_vec());
    let file = json!({"$file": {"hash": "h", "name": "a.txt", "mime": "text/plain", "bytes": 12}});
    let sent = json!({"url": "/echo", "method": "POST", "body": {"file": file}});
    check_seen(
        &world.body(sent).await,
        json!({"body": "file content", "headers.content-type": "text/plain"}),
    );
    let parts = json!({"url": "/echo", "method": "POST", "body": {"multipart": {"n": 1, "f": file}}});
    let seen = world.body(parts).await;
    let body = seen["body"].as_str().unwrap();
    for part in ["name=\"n\"\r\n\r\n1\r\n", "name=\"f\"; filename=\"a.txt\"", "file content\r\n"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}

#[tokio::test]
async fn answers_are_read_by_mode() {
    let world = Served::start().await;
    assert_eq!(world.body(json!({"url": "/text"})).await, json!("plain"));
    assert_eq!(world.body(json!({"url": "/broken", "response": "text"})).await, json!("{\"a\":"));
    for config in [json!({"url": "/broken", "response": "json"}), json!({"url": "/text", "response": "json"})]
    {
        let done = world.run(config.clone()).await;
        let failure = done.result.unwrap_err();
        assert_eq!((failure.code, failure.call), (ErrorCode::HttpResponse, Some(0)), "{config}: {failure}");
        assert_eq!(done.calls.len(), 1);
    }
}

#[tokio::test]
async fn statuses_fail_as_configured() {
    let world = Served::start().await;
    for (code, rule, expected) in [
        (200, json!(400), None),
        (404, json!(400), Some(ErrorClass::Permanent)),
        (429, json!(400), Some(ErrorClass::Retryable)),
        (503, json!(400), Some(ErrorClass::Retryable)),
        (404, json!(500), None),
        (404, json!([]), None),
        (503, json!([404]), None),
        (202, json!([202]), Some(ErrorClass::Permanent)),
    ] {
        let done = world.run(json!({"url": format!("/status/{code}"), "fail_on_status": rule})).await;
        let failure = done.result.err();
        assert_eq!(failure.as_ref().map(|failure| failure.class), expected, "{code} {rule}");
        if let Some(failure) = failure {
            let found = (failure.code, failure.provider_status, failure.call);
            assert_eq!(found, (ErrorCode::HttpStatus, Some(code), Some(0)));
            assert_eq!(failure.retry_after_ms, Some(7_000));
        }
    }
}

#[tokio::test]
async fn pages_are_gathered() {
    let world = Served::start().await;
    for (url, pagination) in [
        ("/pages/header", json!({"kind": "next_link"})),
        (
            "/pages/cursor",
            json!({"kind": "cursor", "cursor": "meta.next", "parameter": "after", "items": "data.rows"}),
        ),
        ("/pages/number", json!({"kind": "page", "items": "items"})),
        ("/pages/offset?skip=9&limit=1", json!({"kind": "offset", "parameter": "skip", "limit": 2})),
        ("/pages/offset", json!({"kind": "offset", "parameter": "skip", "limit": 5, "pages_max": 2})),
    ] {
        let body = world.body(json!({"url": url, "pagination": pagination})).await;
        assert_eq!(body, json!([1, 2, 3, 4, 5]), "{url}");
    }
}

#[tokio::test]
async fn links_keep_the_secrets_of_their_query() {
    let world = Served::start().await;
    let pagination = json!({"kind": "next_link", "link": "next", "items": "items"});
    let config = Value::object([
        ("url", Value::from(format!("{}/pages/body", world.base))),
        ("query", Value::object([("key", Value::secret("token"))])),
        ("pagination", Value::from(pagination)),
    ]);
    let done = world.run_value(config).await;
    assert!(!format!("{done:?}").contains("s3cr3t-plain"));
    assert_eq!((done.calls.len(), done.logs[0].message.as_str()), (3, "5 items on 3 pages"));
    assert_eq!(done.result.unwrap().value.get("body").unwrap().to_json(), "[1,2,3,4,5]");
}

#[tokio::test]
async fn pages_have_bounds() {
    let world = Served::start().await;
    let link = |url: &str, pages_max: u32| json!({"url": url, "pagination": {"kind": "next_link", "link": "next", "items": "items", "pages_max": pages_max}});
    for (config, code, calls, said) in [
        (link("/pages/endless", 3), ErrorCode::EgressLimit, 3, "more than 3 pages"),
        (link("/pages/away", 3), ErrorCode::EgressRefused, 1, "localhost"),
        (link("/pages/flaky", 3), ErrorCode::HttpStatus, 2, "502"),
        (link("/pages/none", 3), ErrorCode::HttpResponse, 1, "body.items"),
        (link("/pages/endless", 5_000), ErrorCode::NodeConfig, 0, "1000"),
    ] {
        let done = world.run(config.clone()).await;
        let failure = done.result.unwrap_err();
        assert_eq!((failure.code, done.calls.len()), (code, calls), "{config}: {failure}");
        assert!(failure.message.contains(said), "{failure}");
    }
}

#[tokio::test]
async fn wrong_configs_name_their_field_and_call_nobody() {
    let world = Served::start().await;
    for (config, said) in [
        (json!({"url": "/echo", "methd": "GET"}), "config.methd"),
        (json!({"url": "/echo", "method": "get"}), "config.method"),
        (json!({"url": "/echo", "query": {"a": {"b": 1}}}), "config.query.a"),
        (json!({"url": "/echo", "body": {"file": "x"}}), "config.body.file"),
        (json!({"url": "/echo", "body": {"xml": "x"}}), "config.body"),
        (json!({"url": "/echo", "auth": {"kind": "digest"}}), "config.auth"),
        (json!({"url": "/echo", "pagination": {"kind": "offset"}}), "limit"),
    ] {
        let done = world.run(config.clone()).await;
        let failure = done.result.unwrap_err();
        assert_eq!((failure.code, done.calls.len()), (ErrorCode::NodeConfig, 0), "{config}");
        assert!(failure.message.contains(said), "{config}: {failure}");
    }
}

#[tokio::test]
async fn a_cancelled_attempt_ends_at_once() {
    let world = Served::start().await;
    let cancel = world.world.context.cancel.clone();
    let run = world.run(json!({"url": "/never"}));
    let (done, ()) = tokio::join!(run, async move { cancel.cancel() });
    assert_eq!(done.result.unwrap_err().code, ErrorCode::Cancelled);
}

#[tokio::test]
async fn a_timeout_is_retryable() {
    let world = Served::start().await;
    let done = world.run(json!({"url": "/never", "timeout_ms": 50})).await;
    let failure = done.result.unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::EgressTimeout, ErrorClass::Retryable));
}
