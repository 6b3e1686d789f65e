//! Mistakes that comparable products published, each as a case of its own.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::routing::any;
use flux_egress::{Auth, Limits, Policy, Setup};
use flux_model::{ErrorCode, Value};

use crate::world::{PUBLIC, World, echo, get, serve, text};

/// The guard was off unless somebody switched it on.
#[tokio::test]
async fn the_guard_is_on_by_default() {
    let world = World::new(&[]);
    let setup = Setup::new(Policy::default(), world.secrets.clone(), world.files.clone());
    let egress = flux_egress::Egress::new(setup).unwrap();
    let (server, hits) = echo("127.0.0.1:0").await;
    let refused = egress.check(&format!("http://{server}/")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::EgressRefused);
    assert!(refused.message.contains("egress.allow"), "{}", refused.message);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// One field of the request was checked (`uri`), another was sent (`url`). Here the check sits at
/// the socket: what arrives is what was checked, whatever the fields say.
#[tokio::test]
async fn what_is_checked_is_what_is_sent() {
    let world = World::new(&[PUBLIC]);
    world.names.set("public.example", &["127.0.0.1"]);
    let (internal, hits) = echo("127.1.0.1:0").await;
    let (public, _) = echo("127.0.0.1:0").await;
    // Every way to name the internal server in a request whose URL names the public one.
    let mut request =
        get(format!("http://public.example:{}/http://{internal}/?url=http://{internal}/", public.port()));
    request.query = vec![("uri".into(), format!("http://{internal}/"))];
    request.headers = vec![
        ("X-Forwarded-Host".into(), internal.to_string()),
        ("Forwarded".into(), format!("host={internal}")),
        ("X-Original-URL".into(), format!("http://{internal}/")),
    ];
    let answer = world.call(request).await.outcome.unwrap();
    assert_eq!(
        text(answer.body.get("headers").unwrap(), "host"),
        format!("public.example:{}", public.port())
    );
    let mut lying = get(format!("http://{public}/"));
    lying.headers = vec![("Host".into(), internal.to_string())];
    assert_eq!(world.call(lying).await.outcome.unwrap_err().code, ErrorCode::NodeConfig);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// The IPv4-mapped form of an address was not recognised.
#[tokio::test]
async fn the_mapped_form_is_refused() {
    let world = World::new(&[PUBLIC]);
    let (server, hits) = echo("127.0.0.1:0").await;
    world.names.set("mapped.example", &["::ffff:127.0.0.1"]);
    let port = server.port();
    for host in ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "mapped.example"] {
        let failure = world.call(get(format!("http://{host}:{port}/"))).await.outcome.unwrap_err();
        assert_eq!(failure.code, ErrorCode::EgressRefused, "{host}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// A name answered with a public address to the check and a private one to the connection.
#[tokio::test]
async fn rebinding_reaches_nothing() {
    let world = World::new(&[PUBLIC]);
    let closing = || Router::new().fallback(any(|| async { ([("connection", "close")], "public") }));
    let public = serve("127.0.0.1:0", closing()).await;
    let (_, hits) = echo(&format!("127.1.0.1:{}", public.port())).await;
    world.names.set("rebind.example", &["127.0.0.1", "127.1.0.1"]);
    let url = format!("http://rebind.example:{}/", public.port());

    // One lookup serves the check and the connection.
    let first = world.call(get(&url)).await.outcome.unwrap();
    assert_eq!(first.body, Value::from("public"));
    assert_eq!(world.names.lookups.load(Ordering::SeqCst), 1);

    // A new connection is a new lookup, and a new check.
    let second = world.call(get(&url)).await.outcome.unwrap_err();
    assert_eq!(second.code, ErrorCode::EgressRefused);
    assert_eq!(world.names.lookups.load(Ordering::SeqCst), 2);
    assert_eq!(hits.load(Ordering::SeqCst), 0, "the private server was reached");

    // A name that alternates is refused at any point of a redirect chain, too.
    let to_rebind = url.clone();
    let redirecting =
        Router::new().fallback(any(move || async move { crate::world::redirect(302, &to_rebind) }));
    let start = serve("127.0.0.1:0", redirecting).await;
    let third = world.call(get(format!("http://{start}/"))).await.outcome.unwrap_err();
    assert_eq!(third.code, ErrorCode::EgressRefused);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// An answer to one lookup mixed a public and a private address, and the second was used when the
/// first did not answer.
#[tokio::test]
async fn mixed_answers_are_refused_as_a_whole() {
    let world = World::new(&[PUBLIC]);
    let (internal, hits) = echo("127.1.0.1:0").await;
    world.names.set("mixed.example", &["127.0.0.1,127.1.0.1"]);
    let failure =
        world.call(get(format!("http://mixed.example:{}/", internal.port()))).await.outcome.unwrap_err();
    assert_eq!(failure.code, ErrorCode::EgressRefused);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// A credential was sent to whatever host the user of a shared workflow typed in.
#[tokio::test]
async fn a_credential_is_bound_to_its_hosts() {
    let world = World::new(&[PUBLIC]);
    let (server, hits) = echo("127.0.0.1:0").await;
    world.secrets.set("key", "t0psecret", &["api.example"]);
    let config = Value::object([("key", Value::secret("key"))]);
    let called = world.call_with(&config, |config| {
        let mut request = get(format!("http://{server}/"));
        request.auth = Auth::Bearer { token: text(config, "key") };
        request
    });
    let called = called.await;
    assert_eq!(called.outcome.unwrap_err().code, ErrorCode::SecretHost);
    assert!(!serde_json::to_string(&called.record).unwrap().contains("t0psecret"));
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// Errors told an attacker which internal addresses exist.
#[tokio::test]
async fn refusals_do_not_tell_what_a_name_resolves_to() {
    let world = World::new(&[]);
    world.names.set("intern.example", &["10.11.12.13"]);
    let failure = world.call(get("http://intern.example/")).await.outcome.unwrap_err();
    assert!(!failure.message.contains("10.11.12.13"), "{}", failure.message);
}

/// A flow called the product's own API, past its public face.
#[tokio::test]
async fn own_listeners_are_refused() {
    let (everywhere, hits) = echo("0.0.0.0:0").await;
    let (gateway, gateway_hits) = echo("127.0.0.1:0").await;
    let world = |rules: &[&str], own: &[SocketAddr]| {
        let allowed = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        World::with_policy(Policy { allowed, own_listeners: own.to_vec() }, Limits::default(), Vec::new())
    };
    let guarded = world(&["127.0.0.0/8", "0.0.0.0/8"], &[everywhere, gateway]);
    guarded.names.set("me.example", &["127.0.0.1"]);
    let port = everywhere.port();
    for target in [
        gateway.to_string(),
        format!("me.example:{}", gateway.port()),
        format!("127.0.0.1:{port}"),
        format!("127.7.7.7:{port}"),
        format!("0.0.0.0:{port}"),
    ] {
        let failure = guarded.call(get(format!("http://{target}/"))).await.outcome.unwrap_err();
        assert_eq!(failure.code, ErrorCode::EgressRefused, "{target}");
    }
    assert_eq!(hits.load(Ordering::SeqCst) + gateway_hits.load(Ordering::SeqCst), 0);
    // By the machine's own address on its network, too, where it has one. Connecting a UDP socket
    // finds that address without sending anything.
    let outward = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    if let Ok(own) = outward {
        let open = world(&["0.0.0.0/0"], &[everywhere]);
        let failure = open.call(get(format!("http://{}:{port}/", own.ip()))).await.outcome.unwrap_err();
        assert_eq!(failure.code, ErrorCode::EgressRefused, "{}", failure.message);
        assert_eq!(hits.load(Ordering::SeqCst), 0);
    }
    let named = world(&["127.0.0.0/8", &gateway.to_string()], &[gateway]);
    assert_eq!(named.call(get(format!("http://{gateway}/"))).await.outcome.unwrap().status, 200);
}
