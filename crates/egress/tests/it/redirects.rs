//! Redirects: each hop is checked like the first, and credentials stay where they belong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request as Received;
use axum::response::IntoResponse as _;
use axum::routing::any;
use flux_egress::{Auth, Body, Request};
use flux_model::{ErrorCode, Value};

use crate::world::{PUBLIC, World, echo, echoed, get, redirect, serve, text};

/// A server at `address` that redirects `/{status}` to `location` and echoes everything else.
async fn redirecting(address: &str, location: String) -> std::net::SocketAddr {
    let handler = move |request: Received| {
        let location = location.clone();
        async move {
            let status = request.uri().path().trim_start_matches('/').parse::<u16>();
            match status {
                Ok(status) => redirect(status, &location).into_response(),
                Err(_) => echoed(request).await.into_response(),
            }
        }
    };
    serve(address, Router::new().fallback(any(handler))).await
}

async fn check_refused(location: &str, expect: ErrorCode) {
    let world = World::new(&[PUBLIC]);
    world.names.set("internal.example", &["127.1.0.1"]);
    world.names.set("meta.example", &["169.254.169.254"]);
    let server = redirecting("127.0.0.1:0", location.to_owned()).await;
    for status in [301, 302, 303, 307, 308] {
        let called = world.call(get(format!("http://{server}/{status}"))).await;
        assert_eq!(called.outcome.unwrap_err().code, expect, "{status} {location}");
        assert_eq!(called.record.result.unwrap_err().code, expect);
    }
}

#[tokio::test]
async fn a_redirect_cannot_reach_what_a_request_cannot() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = hits.clone();
    let count = move || async move { counter.fetch_add(1, Ordering::SeqCst).to_string() };
    let internal = serve("127.1.0.1:0", Router::new().fallback(any(count))).await;
    let port = internal.port();
    let refused = ErrorCode::EgressRefused;
    check_refused(&format!("http://{internal}/"), refused).await;
    check_refused(&format!("http://internal.example:{port}/"), refused).await;
    check_refused(&format!("http://[::ffff:127.1.0.1]:{port}/"), refused).await;
    check_refused("http://169.254.169.254/latest/meta-data/", refused).await;
    check_refused("http://meta.example/", refused).await;
    check_refused("//meta.example/", refused).await;
    check_refused("http://2852039166/", refused).await;
    check_refused("\\\\169.254.169.254\\", refused).await;
    check_refused("https:169.254.169.254", refused).await;
    check_refused("file:///etc/passwd", ErrorCode::EgressUrl).await;
    check_refused("gopher://127.0.0.1:6379/_x", ErrorCode::EgressUrl).await;
    check_refused("http://user:pass@127.0.0.1/", ErrorCode::EgressUrl).await;
    assert_eq!(hits.load(Ordering::SeqCst), 0, "the internal server was reached");
}

#[tokio::test]
async fn redirects_are_bounded_and_may_be_refused() {
    let world = World::new(&[PUBLIC]);
    let loops = redirecting("127.0.0.1:0", "/302".to_owned()).await;
    let endless = world.call(get(format!("http://{loops}/302"))).await;
    let failure = endless.outcome.unwrap_err();
    assert_eq!(failure.code, ErrorCode::EgressLimit);
    assert!(failure.message.contains("redirects_max = 5"), "{}", failure.message);
    let recorded = endless.record.request.get("redirects").unwrap().as_array().unwrap().len();
    assert_eq!(recorded, 5);
    let mut asked = get(format!("http://{loops}/302"));
    asked.redirects_max = Some(0);
    let answer = world.call(asked).await.outcome.unwrap();
    assert_eq!((answer.status, answer.header("location")), (302, Some("/302")));
    let mut asked = get(format!("http://{loops}/302"));
    asked.redirects_max = Some(1_000);
    assert_eq!(world.call(asked).await.outcome.unwrap_err().code, ErrorCode::EgressLimit);
}

#[tokio::test]
async fn method_and_body_follow_the_status() {
    let world = World::new(&[PUBLIC]);
    let server = redirecting("127.0.0.1:0", "/done".to_owned()).await;
    let cases = [
        ("POST", 301, "GET", ""),
        ("POST", 302, "GET", ""),
        ("POST", 303, "GET", ""),
        ("POST", 307, "POST", "[1]"),
        ("POST", 308, "POST", "[1]"),
        ("PUT", 302, "PUT", "[1]"),
        ("PUT", 303, "GET", ""),
    ];
    for (method, status, expect, body) in cases {
        let mut request = Request::new(method, format!("http://{server}/{status}"));
        request.body = Body::Json(Value::from_json(b"[1]").unwrap());
        let answer = world.call(request).await.outcome.unwrap();
        assert_eq!(answer.url, format!("http://{server}/done"));
        assert_eq!(text(&answer.body, "method"), expect, "{method} {status}");
        assert_eq!(text(&answer.body, "body"), body, "{method} {status}");
        let typed = answer.body.get("headers").unwrap().get("content-type");
        assert_eq!(typed.is_some(), !body.is_empty(), "{method} {status}");
    }
}

/// What of the credentials arrives at `location` when `from` redirects there.
async fn credentials_after(same_host: bool) -> Value {
    let world = World::new(&[PUBLIC]);
    world.secrets.set("token", "t0psecret", &[]);
    let (other, _) = echo("127.0.0.2:0").await;
    let location = if same_host { "/done".to_owned() } else { format!("http://{other}/done") };
    let server = redirecting("127.0.0.1:0", location).await;
    let config = Value::object([("token", Value::secret("token"))]);
    let called = world.call_with(&config, |config| {
        let mut request = get(format!("http://{server}/302"));
        request.auth = Auth::Bearer { token: text(config, "token") };
        request.headers = vec![
            ("Cookie".into(), "session=1".into()),
            ("X-Api-Key".into(), "plain".into()),
            ("X-Custom".into(), text(config, "token")),
            ("X-Harmless".into(), "yes".into()),
        ];
        request
    });
    let answer = called.await.outcome.unwrap();
    answer.body.get("headers").unwrap().clone()
}

#[tokio::test]
async fn credentials_are_dropped_across_hosts() {
    let private = ["authorization", "cookie", "x-api-key", "x-custom"];
    let same = credentials_after(true).await;
    let other = credentials_after(false).await;
    for name in private {
        assert!(same.get(name).is_some(), "{name} is missing at the same host");
        assert!(other.get(name).is_none(), "{name} was sent to another host");
    }
    assert_eq!(text(&same, "authorization"), "Bearer [secret:token]");
    assert_eq!(text(&other, "x-harmless"), "yes");
}

#[tokio::test]
async fn a_port_or_a_name_of_the_same_address_is_another_host() {
    let world = World::new(&[PUBLIC]);
    world.names.set("a.example", &["127.0.0.1"]);
    world.names.set("b.example", &["127.0.0.1"]);
    let (other, _) = echo("127.0.0.1:0").await;
    let by_name = echo("127.0.0.1:0").await.0.port();
    for location in [format!("http://a.example:{}/", other.port()), format!("http://b.example:{by_name}/")] {
        let server = redirecting("127.0.0.1:0", location.clone()).await;
        let mut request = get(format!("http://a.example:{}/302", server.port()));
        request.auth = Auth::Basic { username: "u".into(), password: "p".into() };
        let answer = world.call(request).await.outcome.unwrap();
        assert!(answer.body.get("headers").unwrap().get("authorization").is_none(), "{location}");
    }
}

#[tokio::test]
async fn a_body_with_a_secret_is_not_replayed_to_another_host() {
    let world = World::new(&[PUBLIC]);
    world.secrets.set("token", "t0psecret", &[]);
    let (other, hits) = echo("127.0.0.2:0").await;
    let server = redirecting("127.0.0.1:0", format!("http://{other}/")).await;
    let config = Value::object([("body", Value::object([("token", Value::secret("token"))]))]);
    for (status, expect) in [(307, Err(ErrorCode::SecretHost)), (303, Ok(200))] {
        let called = world.call_with(&config, |config| {
            let mut request = Request::new("POST", format!("http://{server}/{status}"));
            request.body = Body::Json(config.get("body").unwrap().clone());
            request
        });
        let outcome = called.await.outcome;
        assert_eq!(outcome.map(|answer| answer.status).map_err(|failure| failure.code), expect);
    }
    assert_eq!(hits.load(Ordering::SeqCst), 1);
}
