//! The public keys of an issuer of tokens (JWK set, RFC 7517): fetched, kept for a while, and asked
//! for anew when a token names a key that is not among them.
//!
//! One fetch at a time, and a pause before an issuer is asked in vain again. Keys that were fetched
//! once are used until there are newer ones: an issuer that is down locks nobody out. A key is usable
//! for one algorithm only, the one its own type says, whatever a token claims.

use std::sync::Arc;
use std::time::Duration;

use flux_egress::{Egress, Request, ResponseMode, SecretScope};
use flux_engine::Clock;
use flux_model::error::Failure;
use flux_model::{ErrorCode, Tenant, Value};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use parking_lot::RwLock;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long keys are used before they are asked for again.
const KEYS_KEPT: Duration = Duration::from_secs(300);
/// The pause after a fetch that failed, or that was only for a key that nobody knew.
pub(crate) const FETCH_PAUSE: Duration = Duration::from_secs(30);
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one key set.
const KEY_SET_BYTES_MAX: u64 = 256 * 1024;
/// Keys of one issuer; further ones are left out.
const KEYS_MAX: usize = 100;
/// Bytes of the modulus of the weakest RSA key that is taken: 2048 bits.
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// The issuer has no such key, or not for this algorithm.
    #[error("its issuer has no such key")]
    Unknown,
    /// The issuer's keys could never be fetched.
    #[error("the keys of its issuer cannot be fetched")]
    Unreachable,
}

/// Which key a token was signed with, as its header says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) algorithm: Algorithm,
}

/// The keys of one issuer.
pub(crate) struct KeySet {
    url: String,
    tenant: Tenant,
    egress: Egress,
    clock: Arc<dyn Clock>,
    fetched: RwLock<Option<Fetched>>,
    /// Held while keys are fetched; since when to pause.
    fetching: Arc<Mutex<Option<Duration>>>,
}

struct Fetched {
    keys: Vec<IssuerKey>,
    at: Duration,
}

impl Fetched {
    fn is_stale(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) >= KEYS_KEPT
    }
}

#[derive(Debug)]
struct IssuerKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What is known without asking the issuer.
enum Known {
    Fresh(DecodingKey),
    Stale(DecodingKey),
    Nothing,
}

impl KeySet {
    /// The keys at `url`, which are fetched as the project `tenant`.
    pub(crate) fn new(url: String, tenant: Tenant, egress: Egress, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (fetched, fetching) = (RwLock::default(), Arc::default());
        Arc::new(Self { url, tenant, egress, clock, fetched, fetching })
    }

    /// The key for a token.
    ///
    /// # Errors
    /// [`KeyError`] if there is none.
    pub(crate) async fn key(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<DecodingKey, KeyError> {
        match self.known(wanted) {
            Known::Fresh(key) => return Ok(key),
            Known::Stale(key) => {
                // Nobody waits for newer keys while there are any.
                if let Ok(turn) = Arc::clone(&self.fetching).try_lock_owned() {
                    tokio::spawn(Arc::clone(self).refresh(turn));
                }
                return Ok(key);
            }
            Known::Nothing => {}
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        if let Known::Fresh(key) = self.known(wanted) {
            return Ok(key);
        }
        // In a task of its own: a caller who goes away must not cut off what others wait for.
        if let Err(error) = tokio::spawn(Arc::clone(self).refresh(turn)).await {
            tracing::error!(%error, "the fetch of an issuer's keys did not end");
        }
        match (self.known(wanted), &*self.fetched.read()) {
            (Known::Fresh(key) | Known::Stale(key), _) => Ok(key),
            (Known::Nothing, Some(_)) => Err(KeyError::Unknown),
            (Known::Nothing, None) => Err(KeyError::Unreachable),
        }
    }

    fn known(&self, wanted: Wanted<'_>) -> Known {
        let fetched = self.fetched.read();
        let Some(fetched) = &*fetched else { return Known::Nothing };
        match find(&fetched.keys, wanted) {
            None => Known::Nothing,
            Some(key) if fetched.is_stale(self.clock.monotonic()) => Known::Stale(key),
            Some(key) => Known::Fresh(key),
        }
    }

    /// Fetches the keys, unless there is a pause.
    async fn refresh(self: Arc<Self>, mut pause: OwnedMutexGuard<Option<Duration>>) {
        let at = self.clock.monotonic();
        if pause.is_some_and(|since| at.saturating_sub(since) < FETCH_PAUSE) {
            return;
        }
        let in_time = self.fetched.read().as_ref().is_none_or(|fetched| fetched.is_stale(at));
        let fetched = self.fetch().await;
        // Whoever invents the ids of keys must not make this server ask at every request.
        *pause = (fetched.is_err() || !in_time).then_some(at);
        match fetched {
            Ok(keys) => *self.fetched.write() = Some(Fetched { keys, at }),
            Err(error) => tracing::warn!(%error, "the keys of an issuer of tokens stay as they were"),
        }
    }

    async fn fetch(&self) -> Result<Vec<IssuerKey>, Failure> {
        let mut request = Request::new("GET", &self.url);
        request.headers =
            vec![("accept".to_owned(), "application/jwk-set+json, application/json".to_owned())];
        request.response = ResponseMode::Json;
        request.timeout = Some(FETCH_TIMEOUT);
        request.response_bytes_max = Some(KEY_SET_BYTES_MAX);
        let answer = self.egress.call(self.tenant, &SecretScope::empty(), &request).await.outcome?;
        if answer.status != 200 {
            return Err(answer.failure());
        }
        read(&answer.body).ok_or_else(|| {
            let message = format!("{} is no key set: it has no array `keys`", self.url);
            Failure::permanent(ErrorCode::HttpResponse, message)
        })
    }
}

/// The usable keys of a key set. What is of no use here is left out.
fn read(set: &Value) -> Option<Vec<IssuerKey>> {
    let keys = set.get("keys")?.as_array()?;
    let usable = keys.iter().filter_map(|key| IssuerKey::of(&key.parse().ok()?));
    Some(usable.take(KEYS_MAX).collect())
}

/// The key of that id. A token that names none can only be of the one key for its algorithm.
fn find(keys: &[IssuerKey], wanted: Wanted<'_>) -> Option<DecodingKey> {
    let mut fitting = keys.iter().filter(|key| {
        key.algorithm == wanted.algorithm && (wanted.id.is_none() || key.id.as_deref() == wanted.id)
    });
    let found = fitting.next()?;
    (wanted.id.is_some() || fitting.next().is_none()).then(|| found.key.clone())
}

impl IssuerKey {
    fn of(key: &Jwk) -> Option<Self> {
        let algorithm = algorithm_of(&key.algorithm)?;
        let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let meant = key.common.key_algorithm.is_none_or(|meant| meant == KeyAlgorithm::from(algorithm));
        let decoding = DecodingKey::from_jwk(key).ok().filter(is_strong)?;
        (signs && meant).then(|| Self { id: key.common.key_id.clone(), algorithm, key: decoding })
    }
}

/// The one algorithm that a key is used with.
fn algorithm_of(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    if let AlgorithmParameters::EllipticCurve(parameters) = parameters {
        (parameters.curve == EllipticCurve::P256).then_some(Algorithm::ES256)
    } else if let AlgorithmParameters::OctetKeyPair(parameters) = parameters {
        (parameters.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDSA)
    } else {
        matches!(parameters, AlgorithmParameters::RSA(_)).then_some(Algorithm::RS256)
    }
}

fn is_strong(key: &DecodingKey) -> bool {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() >= RSA_MODULUS_BYTES_MIN,
        DecodingKeyKind::SecretOrDer(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::issuer::{FakeIssuer, Signer};
    use crate::testing::{HandClock, egress, tenant};

    struct Asked {
        issuer: FakeIssuer,
        clock: Arc<HandClock>,
        keys: Arc<KeySet>,
    }

    impl Asked {
        async fn start() -> Self {
            let (issuer, clock) = (FakeIssuer::start().await, Arc::new(HandClock::default()));
            let keys = KeySet::new(issuer.trusted().jwks_url, tenant(1), egress(), clock.clone());
            Self { issuer, clock, keys }
        }

        /// Asks for the key of this id after a while, and checks how often the issuer was asked.
        async fn check(
            &self,
            after_s: i64,
            id: Option<&str>,
            expected: Result<(), KeyError>,
            fetches: usize,
        ) {
            self.clock.advance(after_s * 1_000);
            let found = self.keys.key(Wanted { id, algorithm: Algorithm::EdDSA }).await.map(drop);
            // A fetch that nobody waits for is over when the next could begin.
            drop(self.keys.fetching.lock().await);
            assert_eq!((found, self.issuer.fetches()), (expected, fetches), "{id:?}");
        }
    }

    #[tokio::test]
    async fn keys_are_kept_and_asked_for_anew_in_time() {
        let asked = Asked::start().await;
        asked.check(0, Some("ed"), Ok(()), 1).await;
        asked.check(299, Some("ed"), Ok(()), 1).await;
        asked.check(2, Some("ed"), Ok(()), 2).await;
        asked.check(299, Some("ed"), Ok(()), 2).await;
    }

    #[tokio::test]
    async fn a_new_key_is_found_and_an_invented_one_asks_rarely() {
        let asked = Asked::start().await;
        asked.check(0, Some("ed"), Ok(()), 1).await;
        asked.issuer.keys.lock().as_mut().unwrap().push(Signer::next().public());
        asked.check(0, Some("next"), Ok(()), 2).await;
        for invented in ["a", "b", "c"] {
            asked.check(9, Some(invented), Err(KeyError::Unknown), 2).await;
        }
        asked.check(3, Some("d"), Err(KeyError::Unknown), 3).await;
        asked.check(3, Some("e"), Err(KeyError::Unknown), 3).await;
        asked.check(0, Some("next"), Ok(()), 3).await;
    }

    #[tokio::test]
    async fn keys_of_an_issuer_that_is_down_stay() {
        let asked = Asked::start().await;
        asked.check(0, Some("ed"), Ok(()), 1).await;
        asked.issuer.keys.lock().take();
        asked.check(301, Some("ed"), Ok(()), 2).await;
        asked.check(10, Some("ed"), Ok(()), 2).await;
        asked.check(30, Some("next"), Err(KeyError::Unknown), 3).await;
        asked.check(86_400, Some("ed"), Ok(()), 4).await;
    }

    #[tokio::test]
    async fn without_any_keys_there_is_nothing_to_say() {
        let asked = Asked::start().await;
        let keys = asked.issuer.keys.lock().take();
        asked.check(0, Some("ed"), Err(KeyError::Unreachable), 1).await;
        asked.check(29, Some("ed"), Err(KeyError::Unreachable), 1).await;
        *asked.issuer.keys.lock() = keys;
        asked.check(2, Some("ed"), Ok(()), 2).await;
    }

    #[tokio::test]
    async fn many_callers_make_one_fetch_and_none_cuts_it_off() {
        let asked = Asked::start().await;
        let wanted = Wanted { id: Some("ed"), algorithm: Algorithm::EdDSA };
        {
            let mut gone = std::pin::pin!(asked.keys.key(wanted));
            assert!(futures::poll!(&mut gone).is_pending());
        }
        let all = futures::future::join_all((0..20).map(|_| asked.keys.key(wanted))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(asked.issuer.fetches(), 1);
    }

    #[tokio::test]
    async fn a_token_without_key_id_needs_a_single_key() {
        let asked = Asked::start().await;
        asked.check(0, None, Ok(()), 1).await;
        asked.issuer.keys.lock().as_mut().unwrap().push(Signer::next().public());
        asked.check(301, None, Ok(()), 2).await;
        asked.check(0, None, Err(KeyError::Unknown), 3).await;
    }

    #[test]
    fn keys_that_are_of_no_use_are_left_out() {
        let check = |change: serde_json::Value, usable: usize| {
            let mut key = Signer::rsa().public();
            for (name, value) in change.as_object().unwrap() {
                key[name] = value.clone();
            }
            let set = Value::from(json!({"keys": [key]}));
            assert_eq!(read(&set).unwrap().len(), usable, "{change}");
        };
        check(json!({}), 1);
        check(json!({"alg": null, "use": null}), 1);
        check(json!({"use": "sig", "x5t": "other members", "key_ops": ["verify"]}), 1);
        check(json!({"use": "enc"}), 0);
        check(json!({"alg": "RS512"}), 0);
        check(json!({"alg": "HS256"}), 0);
        check(json!({"kty": "oct", "k": "c2VjcmV0"}), 0);
        check(json!({"kty": "EC", "crv": "P-384", "x": "AAAA", "y": "AAAA"}), 0);
        check(json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}), 0);
        check(json!({"n": "AAAA".repeat(42)}), 0);
        check(json!({"n": 7}), 0);
        assert!(read(&Value::from(json!({"keys": 7}))).is_none());
        assert!(read(&Value::from(json!({"keys": [7]}))).unwrap().is_empty());
    }
}
