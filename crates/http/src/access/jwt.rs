//! Tokens (JWT, RFC 7519) of the issuers that a project trusts, verified.
//!
//! RS256, ES256 and EdDSA, nothing else. Which key a token is verified with is decided by its issuer
//! and the key's own type, never by what the token says of algorithms. Nothing is issued here.

use std::collections::HashMap;
use std::sync::Arc;

use flux_egress::Egress;
use flux_engine::Clock;
use flux_model::{ErrorCode, Tenant, Timestamp, Value};
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use super::jwks::{FETCH_PAUSE, KeyError, KeySet, Wanted};
use crate::problem::Problem;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the clocks of issuer and server may be apart, in seconds.
const LEEWAY_S: f64 = 60.0;

/// An issuer of tokens that a project trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What its tokens have as `iss`, to the letter.
    pub issuer: String,
    /// What they have as `aud`, alone or among others.
    pub audience: String,
    /// Where its public keys are: the `jwks_uri` of its metadata.
    pub jwks_url: String,
}

/// The issuers that each project trusts.
pub(crate) struct Issuers(HashMap<Tenant, Vec<Trusted>>);

struct Trusted {
    issuer: Issuer,
    keys: Arc<KeySet>,
}

/// A token that was verified.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    /// Who issued it.
    pub(crate) issuer: String,
    /// Who it is about.
    pub(crate) subject: String,
    /// Everything it says, `iss` and `sub` among it.
    pub(crate) claims: Value,
}

/// Why a token does not say who calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is not a token, or of an algorithm that is not known: {0}")]
    Malformed(jsonwebtoken::errors::Error),
    #[error("its algorithm {0:?} is none of RS256, ES256, EdDSA")]
    Algorithm(Algorithm),
    #[error("its header asks for extensions that are not understood")]
    Critical,
    #[error("the project trusts no issuer of that name")]
    Issuer,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{0}")]
    Refused(jsonwebtoken::errors::Error),
    #[error("its `{0}` is not of the right type")]
    Claim(&'static str),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        tracing::info!(reason = %error, "a token was not accepted");
        if matches!(error, TokenError::Key(KeyError::Unreachable)) {
            let detail = "the keys of the token's issuer cannot be fetched at the moment";
            let problem = Self::new(ErrorCode::EgressConnection, detail);
            return problem.with_status(http::StatusCode::SERVICE_UNAVAILABLE).retry_after(FETCH_PAUSE);
        }
        Self::new(ErrorCode::Unauthenticated, "the token is not valid")
    }
}

/// What is read of a token before it is verified.
#[derive(Deserialize)]
struct Glance {
    iss: String,
}

impl Issuers {
    /// These issuers, whose keys are fetched through `egress`.
    pub(crate) fn new(
        issuers: HashMap<Tenant, Vec<Issuer>>,
        egress: &Egress,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let trusted = |tenant: Tenant, issuer: Issuer| {
            let keys = KeySet::new(issuer.jwks_url.clone(), tenant, egress.clone(), Arc::clone(clock));
            Trusted { issuer, keys }
        };
        let of_project = |(tenant, issuers): (Tenant, Vec<Issuer>)| {
            (tenant, issuers.into_iter().map(|issuer| trusted(tenant, issuer)).collect())
        };
        Self(issuers.into_iter().map(of_project).collect())
    }

    /// Verifies a token for a project.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub(crate) async fn verify(
        &self,
        tenant: Tenant,
        text: &str,
        now: Timestamp,
    ) -> Result<Token, TokenError> {
        let header = decode_header(text).map_err(TokenError::Malformed)?;
        let algorithm = header.alg;
        if !ALGORITHMS.contains(&algorithm) {
            return Err(TokenError::Algorithm(algorithm));
        }
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let glance = insecure_decode::<Glance>(text).map_err(TokenError::Malformed)?.claims;
        let trusted = self.0.get(&tenant).into_iter().flatten();
        let Trusted { issuer, keys } =
            trusted.into_iter().find(|one| one.issuer.issuer == glance.iss).ok_or(TokenError::Issuer)?;
        let key = keys.key(Wanted { id: header.kid.as_deref(), algorithm }).await?;
        let claims = decode(text, &key, &validation(issuer, algorithm)).map_err(TokenError::Refused)?.claims;
        check_times(&claims, now)?;
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(TokenError::Claim("sub"))?.to_owned();
        Ok(Token { issuer: glance.iss, subject, claims })
    }
}

/// Everything but the times, which are compared with the server's own clock.
fn validation(issuer: &Issuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&issuer.issuer]);
    validation.set_audience(&[&issuer.audience]);
    validation.validate_exp = false;
    validation
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), TokenError> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have fewer than 53 bits")]
    let now_s = now.millis() as f64 / 1_000.0;
    let seconds = |name: &'static str| {
        let claim = claims.get(name);
        claim.map(|claim| claim.as_f64().ok_or(TokenError::Claim(name))).transpose()
    };
    if now_s >= seconds("exp")?.ok_or(TokenError::Claim("exp"))? + LEEWAY_S {
        return Err(TokenError::Expired);
    }
    match seconds("nbf")? {
        Some(start) if now_s < start - LEEWAY_S => Err(TokenError::Early),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use flux_engine::Clock as _;
    use serde_json::{Value as Json, json};

    use crate::testing::issuer::{FakeIssuer, Signer, claims, unsigned};
    use crate::testing::{Answer, Options, World, function_flow};

    /// A project with a function that asks who calls, and trusts the issuer.
    struct Shop {
        world: World,
        issuer: FakeIssuer,
    }

    impl Shop {
        async fn open() -> Self {
            let issuer = FakeIssuer::start().await;
            let options = Options { issuers: vec![issuer.trusted()], ..Options::default() };
            let world = World::with(options).await;
            world.publish(function_flow("f", json!({"route": "/f"}))).await;
            Self { world, issuer }
        }

        /// Good claims, changed.
        fn claims(&self, change: Json) -> Json {
            let mut claims = claims(self.world.clock.now().millis());
            for (name, value) in change.as_object().unwrap() {
                claims[name] = value.clone();
            }
            claims
        }

        async fn call(&self, token: &str) -> Answer {
            self.world.gateway("POST /f").key(token).send().await
        }
    }

    #[tokio::test]
    async fn a_token_of_each_algorithm_says_who_calls() {
        let shop = Shop::open().await;
        for signer in [Signer::rsa(), Signer::ec(), Signer::ed()] {
            let claims = shop.claims(json!({"aud": ["other", "shop"]}));
            let answer = shop.call(&signer.sign(&claims)).await.is(200);
            assert_eq!(answer.at("/user"), claims, "{:?}", signer.algorithm);
        }
        assert_eq!(shop.issuer.fetches(), 1);
    }

    #[tokio::test]
    async fn a_token_that_proves_nothing_is_refused() {
        let shop = Shop::open().await;
        let good = shop.claims(json!({}));
        let now = shop.world.clock.now().millis() / 1_000;
        let refused = async |why: &str, token: String| {
            let answer = shop.call(&token).await.is(401).has_code("unauthenticated");
            assert_eq!(answer.at("/detail"), "the token is not valid", "{why}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        };
        for (why, change) in [
            ("expired", json!({"exp": now - 60})),
            ("expires never", json!({"exp": null})),
            ("expires in words", json!({"exp": "tomorrow"})),
            ("not valid yet", json!({"nbf": now + 62})),
            ("valid from words", json!({"nbf": "today"})),
            ("for somebody else", json!({"aud": "bank"})),
            ("for nobody", json!({"aud": null})),
            ("by somebody else", json!({"iss": "https://evil.example"})),
            ("by several", json!({"iss": ["https://issuer.example"]})),
            ("about nobody", json!({"sub": null})),
            ("about an empty name", json!({"sub": ""})),
        ] {
            refused(why, Signer::ed().sign(&shop.claims(change))).await;
        }
        refused("no token", "x.y.z".into()).await;
        refused("not signed", unsigned(&good)).await;
        refused("a critical extension", {
            Signer::ed().sign_with(|header| header.crit = Some(vec!["b64".into()]), &good)
        })
        .await;
        let signed = Signer::ed().sign(&good);
        let (head, _) = signed.rsplit_once('.').unwrap();
        refused("no signature", format!("{head}.")).await;
        refused("the signature of another", {
            let other = Signer::ed().sign(&shop.claims(json!({"sub": "eve"})));
            format!("{head}.{}", other.rsplit_once('.').unwrap().1)
        })
        .await;
        shop.call(&signed).await.is(200);
    }

    #[tokio::test]
    async fn the_key_decides_the_algorithm_and_not_the_token() {
        let shop = Shop::open().await;
        let claims = shop.claims(json!({}));
        let public = Signer::rsa().public();
        let modulus = public["n"].as_str().unwrap();
        shop.issuer
            .keys
            .lock()
            .as_mut()
            .unwrap()
            .push(json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}));
        for forger in [
            Signer::forger("rsa", modulus.as_bytes()),
            Signer::forger("rsa", public.to_string().as_bytes()),
            Signer::forger("shared", b"secret"),
        ] {
            shop.call(&forger.sign(&claims)).await.is(401);
        }
        for (signer, id) in [(Signer::ed(), "rsa"), (Signer::ed(), "ec"), (Signer::next(), "ed")] {
            let token = signer.sign_with(|header| header.kid = Some(id.into()), &claims);
            shop.call(&token).await.is(401);
        }
    }

    #[tokio::test]
    async fn clocks_may_be_a_minute_apart() {
        let shop = Shop::open().await;
        let now = shop.world.clock.now().millis() / 1_000;
        for times in [json!({"exp": now - 59}), json!({"nbf": now + 59}), json!({"exp": now as f64 + 0.5})] {
            shop.call(&Signer::ed().sign(&shop.claims(times))).await.is(200);
        }
    }

    #[tokio::test]
    async fn a_project_that_trusts_nobody_believes_nobody() {
        let (world, issuer) = (World::start().await, FakeIssuer::start().await);
        world.publish(function_flow("f", json!({"route": "/f"}))).await;
        let token = Signer::ed().sign(&claims(world.clock.now().millis()));
        world.gateway("POST /f").key(&token).send().await.is(401);
        assert_eq!(issuer.fetches(), 0);
    }

    #[tokio::test]
    async fn an_issuer_that_cannot_be_asked_is_not_the_callers_fault() {
        let shop = Shop::open().await;
        shop.issuer.keys.lock().take();
        let token = Signer::ed().sign(&shop.claims(json!({})));
        let answer = shop.call(&token).await.is(503).has_code("egress_connection");
        assert_eq!(answer.header("retry-after"), "30");
    }
}
