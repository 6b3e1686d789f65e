//! TLS: certificates are verified for the name in the URL, over the checked connection.

use std::net::SocketAddr;
use std::sync::Arc;

use flux_egress::Limits;
use flux_model::error::ErrorClass;
use flux_model::{ErrorCode, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::ServerConfig;

use crate::world::{PUBLIC, World, get};

const AUTHORITY: &[u8] = include_bytes!("tls/authority.der");
const SERVER: &[u8] = include_bytes!("tls/server.der");
const SERVER_KEY: &[u8] = include_bytes!("tls/server-key.der");

/// A server with a certificate for `tls.test`, signed by the test authority.
async fn tls_server() -> SocketAddr {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(SERVER)], PrivatePkcs8KeyDer::from(SERVER_KEY).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

async fn call(roots: &[&[u8]], host: &str, scheme: &str) -> Result<Value, (ErrorCode, ErrorClass, String)> {
    let roots = roots.iter().map(|root| root.to_vec()).collect();
    let world = World::with(&[PUBLIC], Limits::default(), roots);
    world.names.set(host, &["127.0.0.1"]);
    let port = tls_server().await.port();
    let called = world.call(get(format!("{scheme}://{host}:{port}/"))).await;
    called.outcome.map(|answer| answer.body).map_err(|failure| (failure.code, failure.class, failure.message))
}

#[tokio::test]
async fn certificates_are_verified_for_the_name() {
    assert_eq!(call(&[AUTHORITY], "tls.test", "https").await, Ok(Value::from("ok")));
    let bad = (ErrorCode::EgressConnection, ErrorClass::Permanent);
    let unknown = call(&[], "tls.test", "https").await.unwrap_err();
    assert_eq!((unknown.0, unknown.1), bad, "{}", unknown.2);
    let other_name = call(&[AUTHORITY], "other.test", "https").await.unwrap_err();
    assert_eq!((other_name.0, other_name.1), bad, "{}", other_name.2);
    let address = call(&[AUTHORITY], "127.0.0.1", "https").await.unwrap_err();
    assert_eq!((address.0, address.1), bad, "{}", address.2);
    let plain = call(&[AUTHORITY], "tls.test", "http").await.unwrap_err();
    assert_eq!(plain.0, ErrorCode::EgressConnection, "{}", plain.2);
}
