//! Whether a delivery is genuine: four ways of signing a body.
//!
//! - *standard*: Standard Webhooks 1.0, HMAC-SHA-256 over `id.timestamp.body`.
//! - *github*: `X-Hub-Signature-256: sha256=<hex>` over the body.
//! - *stripe*: `Stripe-Signature: t=<s>,v1=<hex>` over `t.body`.
//! - *hmac*: HMAC-SHA-256 over the body in a header of the sender's choice, hexadecimal or base 64.
//!
//! Everything fails closed: no secret, an empty secret, a missing, doubled or unreadable header is
//! a refusal. The bytes checked are the bytes received; nothing is parsed before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flux_model::config;
use flux_model::error::ErrorCode;
use flux_model::{Diagnostic, Timestamp, Value};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How far a signed time may lie from now where the config does not say, in seconds.
pub const TOLERANCE_S_DEFAULT: u64 = 300;
/// The largest tolerance, in seconds: a day.
pub const TOLERANCE_S_MAX: u64 = 86_400;
/// Signatures of one delivery that are tried; senders that rotate secrets send two.
const SIGNATURES_MAX: usize = 16;
const SECRET_PREFIX: &str = "whsec_";

/// How the sender proves itself.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureConfig {
    /// The way the sender signs.
    pub scheme: Scheme,
    /// The secret shared with the sender, as `{{ secrets.name }}`.
    #[schemars(with = "String")]
    pub secret: Value,
    /// The header that holds the signature. Only for `hmac`, which needs it.
    #[serde(default)]
    pub header: Option<String>,
    /// How far the signed time may lie from now, in seconds. Only for `standard` and `stripe`; 300
    /// where absent.
    #[serde(default)]
    pub tolerance_s: Option<u64>,
}

/// A way of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Standard Webhooks.
    Standard,
    /// GitHub.
    Github,
    /// Stripe.
    Stripe,
    /// HMAC-SHA-256 over the body in a header of the sender's choice.
    Hmac,
}

/// Why a delivery is not taken for genuine. None of them says anything about the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The secret is empty.
    #[error("the signature secret of this webhook is empty")]
    SecretEmpty,
    /// The secret is not `whsec_` and base 64.
    #[error("the signature secret of this webhook is not of the form whsec_<base64>")]
    SecretMalformed,
    /// A header is not there.
    #[error("the header {0} is missing")]
    HeaderMissing(String),
    /// A header is there more than once.
    #[error("the header {0} is there more than once")]
    HeaderRepeated(String),
    /// A header does not have the form it must have.
    #[error("the header {0} is malformed")]
    HeaderMalformed(String),
    /// The signed time is too far away.
    #[error("the signature is of a time {away_s} s away; {tolerance_s} s are tolerated")]
    Stale {
        /// How far.
        away_s: u64,
        /// How far it may be.
        tolerance_s: u64,
    },
    /// The signature is of something else.
    #[error("the signature does not match")]
    Mismatch,
}

impl Refusal {
    /// The public code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::SecretEmpty | Self::SecretMalformed => ErrorCode::SecretMissing,
            Self::HeaderMissing(_)
            | Self::HeaderRepeated(_)
            | Self::HeaderMalformed(_)
            | Self::Stale { .. }
            | Self::Mismatch => ErrorCode::SignatureInvalid,
        }
    }
}

impl SignatureConfig {
    /// Checks a delivery against the secret's plaintext.
    ///
    /// # Errors
    /// Why the delivery is not taken for genuine.
    pub fn verify(
        &self,
        secret: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if secret.trim().is_empty() {
            return Err(Refusal::SecretEmpty);
        }
        match self.scheme {
            Scheme::Standard => self.verify_standard(secret, headers, body, now),
            Scheme::Github => verify_github(secret, headers, body),
            Scheme::Stripe => self.verify_stripe(secret, headers, body, now),
            Scheme::Hmac => self.verify_hmac(secret, headers, body),
        }
    }

    /// What is wrong with the fields together.
    pub(super) fn check(&self) -> Option<Diagnostic> {
        let timed = matches!(self.scheme, Scheme::Standard | Scheme::Stripe);
        match (&self.header, self.tolerance_s, self.scheme) {
            (None, _, Scheme::Hmac) => {
                Some(config::invalid("signature.header", "`hmac` needs the name of a header"))
            }
            (Some(name), _, Scheme::Hmac) if http::HeaderName::try_from(name).is_err() => {
                Some(config::invalid("signature.header", format!("`{name}` is not the name of a header")))
            }
            (Some(_), _, Scheme::Standard | Scheme::Github | Scheme::Stripe) => Some(config::invalid(
                "signature.header",
                "only `hmac` takes a header; the others define theirs",
            )),
            (_, Some(_), _) if !timed => {
                Some(config::invalid("signature.tolerance_s", "only `standard` and `stripe` sign a time"))
            }
            (_, Some(given), _) if given > TOLERANCE_S_MAX => Some(config::invalid(
                "signature.tolerance_s",
                format!("{given} s is more than {TOLERANCE_S_MAX} s (TOLERANCE_S_MAX)"),
            )),
            (_, _, _) => None,
        }
    }

    /// Puts the reference back that reading the config as JSON has masked.
    pub(super) fn keep_secret_reference(&mut self, config: &Value) {
        let given = config.get("signature").and_then(|signature| signature.get("secret"));
        self.secret = given.cloned().unwrap_or_default();
    }

    fn verify_standard(
        &self,
        secret: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let id = single(headers, "webhook-id")?;
        let time = single(headers, "webhook-timestamp")?;
        let signatures = single(headers, "webhook-signature")?;
        self.check_time("webhook-timestamp", time, now)?;
        let encoded = secret.trim().strip_prefix(SECRET_PREFIX).unwrap_or(secret.trim());
        let key = STANDARD.decode(encoded).map_err(|_| Refusal::SecretMalformed)?;
        if key.is_empty() {
            return Err(Refusal::SecretEmpty);
        }
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        let given = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        match_any(&key, &signed, given.filter_map(|text| STANDARD.decode(text).ok()))
    }

    fn verify_stripe(
        &self,
        secret: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let header = single(headers, "stripe-signature")?;
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let mut times = parts().filter(|(name, _)| *name == "t").map(|(_, time)| time);
        let (Some(time), None) = (times.next(), times.next()) else {
            return Err(Refusal::HeaderMalformed("stripe-signature".to_owned()));
        };
        self.check_time("stripe-signature", time, now)?;
        let given = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, text)| hex::decode(text).ok());
        match_any(secret.as_bytes(), &[time.as_bytes(), b".", body], given)
    }

    fn verify_hmac(&self, secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let name = self.header.as_deref().unwrap_or_default().to_ascii_lowercase();
        let text = single(headers, &name)?;
        let text = text.strip_prefix("sha256=").unwrap_or(text);
        // 32 bytes are 64 hexadecimal digits or 44 of base 64, so the length tells which it is.
        let given = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok());
        let given = given.ok_or(Refusal::HeaderMalformed(name))?;
        match_any(secret.as_bytes(), &[body], [given])
    }

    fn check_time(&self, header: &str, text: &str, now: Timestamp) -> Result<(), Refusal> {
        let malformed = || Refusal::HeaderMalformed(header.to_owned());
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let signed: i64 = text.parse().map_err(|_| malformed())?;
        let away_s = signed.abs_diff(now.millis().div_euclid(1000));
        let tolerance_s = self.tolerance_s.unwrap_or(TOLERANCE_S_DEFAULT);
        if away_s > tolerance_s {
            return Err(Refusal::Stale { away_s, tolerance_s });
        }
        Ok(())
    }
}

fn verify_github(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    const HEADER: &str = "x-hub-signature-256";
    let text = single(headers, HEADER)?.strip_prefix("sha256=");
    let given = text.and_then(|text| hex::decode(text).ok());
    let given = given.ok_or_else(|| Refusal::HeaderMalformed(HEADER.to_owned()))?;
    match_any(secret.as_bytes(), &[body], [given])
}

/// The value of a header that must be there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Refusal::HeaderMissing(name.to_owned())),
        (Some(_), Some(_)) => Err(Refusal::HeaderRepeated(name.to_owned())),
        (Some(value), None) => value.to_str().map_err(|_| Refusal::HeaderMalformed(name.to_owned())),
    }
}

/// Whether one of the signatures is of these bytes under this key; compared in constant time.
fn match_any(key: &[u8], signed: &[&[u8]], given: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Refusal> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Refusal::SecretMalformed)?;
    signed.iter().for_each(|part| mac.update(part));
    let matches = given.into_iter().take(SIGNATURES_MAX).any(|one| mac.clone().verify_slice(&one).is_ok());
    if matches { Ok(()) } else { Err(Refusal::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// The published test vector of Standard Webhooks.
    const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const VECTOR: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn config(scheme: Scheme) -> SignatureConfig {
        let header = (scheme == Scheme::Hmac).then(|| "X-Signature".to_owned());
        SignatureConfig { scheme, secret: Value::Null, header, tolerance_s: None }
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn sign(secret: &[u8], signed: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed);
        mac.finalize().into_bytes().to_vec()
    }

    fn check(scheme: Scheme, secret: &str, list: &[(&'static str, &str)], expected: Result<(), Refusal>) {
        let verified = config(scheme).verify(secret, &headers(list), BODY, NOW);
        assert_eq!(verified, expected, "{scheme:?} {list:?}");
    }

    fn standard(
        id: &'static str,
        time: &'static str,
        signature: &'static str,
        expected: Result<(), Refusal>,
    ) {
        let list = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
        check(Scheme::Standard, WHSEC, &list, expected);
    }

    #[test]
    fn a_refusal_is_the_senders_or_the_operators() {
        let senders = [
            Refusal::HeaderMissing("a".into()),
            Refusal::HeaderRepeated("a".into()),
            Refusal::HeaderMalformed("a".into()),
            Refusal::Stale { away_s: 2, tolerance_s: 1 },
            Refusal::Mismatch,
        ];
        for refusal in senders {
            assert_eq!(refusal.code(), ErrorCode::SignatureInvalid, "{refusal}");
        }
        for refusal in [Refusal::SecretEmpty, Refusal::SecretMalformed] {
            assert_eq!(refusal.code(), ErrorCode::SecretMissing, "{refusal}");
        }
    }

    #[test]
    fn standard_webhooks() {
        const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        standard(ID, "1614265330", VECTOR, Ok(()));
        standard(ID, "1614265330", "v1,AAAA v1a,xyz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", Ok(()));
        standard(ID, "1614265330", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", Err(Refusal::Mismatch));
        standard(ID, "1614265330", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", Err(Refusal::Mismatch));
        standard("msg_other", "1614265330", VECTOR, Err(Refusal::Mismatch));
        let stale = Refusal::Stale { away_s: 301, tolerance_s: 300 };
        standard(ID, "1614265029", VECTOR, Err(stale.clone()));
        standard(ID, "1614265631", VECTOR, Err(stale));
        for malformed in ["", "now", "-5", "+1614265330", "1614265330.0", "99999999999999999999"] {
            standard(ID, malformed, VECTOR, Err(Refusal::HeaderMalformed("webhook-timestamp".into())));
        }
        let list = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", VECTOR)];
        check(Scheme::Standard, &WHSEC[6..], &list, Ok(()));
        for secret in ["whsec_not base64", "whsec_####"] {
            check(Scheme::Standard, secret, &list, Err(Refusal::SecretMalformed));
        }
        for secret in ["", "  ", "whsec_"] {
            check(Scheme::Standard, secret, &list, Err(Refusal::SecretEmpty));
        }
        check(Scheme::Standard, WHSEC, &list[..2], Err(Refusal::HeaderMissing("webhook-signature".into())));
        let doubled = [list[0], list[1], list[2], list[2]];
        check(Scheme::Standard, WHSEC, &doubled, Err(Refusal::HeaderRepeated("webhook-signature".into())));
    }

    #[test]
    fn github() {
        let good = format!("sha256={}", hex::encode(sign(b"It's a Secret", BODY)));
        let header = "x-hub-signature-256";
        let malformed = || Err(Refusal::HeaderMalformed(header.into()));
        check(Scheme::Github, "It's a Secret", &[(header, &good)], Ok(()));
        check(Scheme::Github, "another", &[(header, &good)], Err(Refusal::Mismatch));
        check(Scheme::Github, "", &[(header, &good)], Err(Refusal::SecretEmpty));
        check(Scheme::Github, "s", &[], Err(Refusal::HeaderMissing(header.into())));
        check(Scheme::Github, "s", &[("x-hub-signature", &good)], Err(Refusal::HeaderMissing(header.into())));
        check(Scheme::Github, "s", &[(header, &good[7..])], malformed());
        check(Scheme::Github, "s", &[(header, "sha256=zz")], malformed());
        check(Scheme::Github, "s", &[(header, "sha256=")], Err(Refusal::Mismatch));
        check(Scheme::Github, "It's a Secret", &[(header, &good[..40])], malformed());
        check(Scheme::Github, "It's a Secret", &[(header, &good[..41])], Err(Refusal::Mismatch));
        let doubled = [(header, good.as_str()), (header, "sha256=00")];
        check(Scheme::Github, "It's a Secret", &doubled, Err(Refusal::HeaderRepeated(header.into())));
    }

    #[test]
    fn stripe() {
        let header = "stripe-signature";
        let signed = hex::encode(sign(b"whsec_x", &[b"1614265330.", BODY].concat()));
        let malformed = || Err(Refusal::HeaderMalformed(header.into()));
        let with = |value: &str, expected| check(Scheme::Stripe, "whsec_x", &[(header, value)], expected);
        with(&format!("t=1614265330,v1={signed}"), Ok(()));
        with(&format!("t=1614265330,v1=00,v1={signed},v0=zz"), Ok(()));
        with(&format!("t=1614265330,v0={signed}"), Err(Refusal::Mismatch));
        with(&format!("v1={signed}"), malformed());
        with(&format!("t=1614265330,t=1614265331,v1={signed}"), malformed());
        with(&format!("t=1614265331,v1={signed}"), Err(Refusal::Mismatch));
        with(&format!("t=1614264330,v1={signed}"), Err(Refusal::Stale { away_s: 1000, tolerance_s: 300 }));
        with("t=,v1=", malformed());
        with("", malformed());
    }

    #[test]
    fn generic_hmac() {
        let mac = sign(b"s", BODY);
        let with = |value: &str, expected| check(Scheme::Hmac, "s", &[("x-signature", value)], expected);
        with(&hex::encode(&mac), Ok(()));
        with(&hex::encode_upper(&mac), Ok(()));
        with(&format!("sha256={}", hex::encode(&mac)), Ok(()));
        with(&STANDARD.encode(&mac), Ok(()));
        with(&hex::encode(&mac[..16]), Err(Refusal::Mismatch));
        with("", Err(Refusal::Mismatch));
        with("??", Err(Refusal::HeaderMalformed("x-signature".into())));
        check(Scheme::Hmac, "s", &[], Err(Refusal::HeaderMissing("x-signature".into())));
    }

    #[test]
    fn the_bytes_count_as_they_are() {
        let body = b"\xff\xfe\r\n{ }";
        let list = [("x-signature", hex::encode(sign(b"s", body)))];
        let list: Vec<(&'static str, &str)> =
            list.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(config(Scheme::Hmac).verify("s", &headers(&list), body, NOW), Ok(()));
        let trimmed = b"\xff\xfe\n{ }";
        assert_eq!(config(Scheme::Hmac).verify("s", &headers(&list), trimmed, NOW), Err(Refusal::Mismatch));
    }
}
