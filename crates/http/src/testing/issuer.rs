//! An issuer of tokens for tests: its keys, what it signs, and its key set on a loopback port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::access::jwt::Issuer;

const NAME: &str = "https://issuer.example";
// Made for these tests and used nowhere else.
const RSA: &str = include_str!("rsa_key.txt");
const EC: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUTtbTgNQDkDEK9lddLsygX90N5h2haZJzSfteiPNxd6hRANCAASXDFNWbZS2n8I1x+N0BPQrcGvqGAMEQAibp1tjQe8HzDB1f7N6AQRK4kP8hi6hb9aA/HELlS4lLPcMAcwGMkTS";
const ED: &str = "MC4CAQAwBQYDK2VwBCIEIAUeY0NVJqa8fx3YO4tuNOJrlQEBBdoXTretsZ03kCDo";
const NEXT: &str = "MC4CAQAwBQYDK2VwBCIEIIg037tLDmBPJSpPBC00uwzNznDM7Afiab5XcgiQgAnS";

/// A key of the issuer.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self { id: "rsa", algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&der(RSA)) }
    }

    pub(crate) fn ec() -> Self {
        Self { id: "ec", algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(&der(EC)) }
    }

    pub(crate) fn ed() -> Self {
        Self { id: "ed", algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&der(ED)) }
    }

    /// The key that the issuer will have later.
    pub(crate) fn next() -> Self {
        Self { id: "next", algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&der(NEXT)) }
    }

    /// One that knows nothing but what everybody can read.
    pub(crate) fn forger(id: &'static str, secret: &[u8]) -> Self {
        Self { id, algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Json) -> String {
        self.sign_with(|_| {}, claims)
    }

    /// A token with these claims and a changed header.
    pub(crate) fn sign_with(&self, change: impl FnOnce(&mut Header), claims: &Json) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        change(&mut header);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// The public half.
    pub(crate) fn public(&self) -> Json {
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(key).unwrap()
    }
}

fn der(text: &str) -> Vec<u8> {
    STANDARD.decode(text.split_whitespace().collect::<String>()).unwrap()
}

/// A token that nobody signed.
pub(crate) fn unsigned(claims: &Json) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "kid": "ed"})), part(claims))
}

/// Claims that a project which trusts the issuer believes at this time.
pub(crate) fn claims(now_ms: i64) -> Json {
    let now = now_ms / 1_000;
    json!({"iss": NAME, "aud": "shop", "sub": "ada", "exp": now + 600, "nbf": now, "role": "buyer"})
}

/// The issuer's side of the network.
pub(crate) struct FakeIssuer {
    url: String,
    /// What it says its keys are; an error where there are none.
    pub(crate) keys: Arc<Mutex<Option<Vec<Json>>>>,
    fetches: Arc<AtomicUsize>,
}

impl FakeIssuer {
    /// With one key of each kind.
    pub(crate) async fn start() -> Self {
        let keys = [Signer::rsa(), Signer::ec(), Signer::ed()].map(|signer| signer.public());
        let keys = Arc::new(Mutex::new(Some(Vec::from(keys))));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (shown, count) = (Arc::clone(&keys), Arc::clone(&fetches));
        let answer = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            let keys = shown.lock().clone().ok_or(StatusCode::BAD_GATEWAY)?;
            Ok::<_, StatusCode>(axum::Json(json!({"keys": keys})))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, keys, fetches }
    }

    /// What a project that trusts it is told.
    pub(crate) fn trusted(&self) -> Issuer {
        Issuer { issuer: NAME.into(), audience: "shop".into(), jwks_url: self.url.clone() }
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}
