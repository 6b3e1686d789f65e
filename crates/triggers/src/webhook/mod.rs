//! `trigger.webhook`: which request belongs to which flow, whether it is genuine, and what the
//! flow sees of it.
//!
//! Parsing a config gives a [`Webhook`]; a [`crate::route::Router`] finds the one a request is for; then, in
//! this order, [`Webhook::allows`] checks the address, [`SignatureConfig::verify`] the signature
//! over the bytes as received, and only then [`Webhook::input`] reads the body. This module never
//! answers a request and never resolves a secret.

mod address;
mod input;
mod signature;

use std::net::IpAddr;
use std::time::Duration;

use flux_model::config;
use flux_model::{Diagnostic, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::address::AllowList;
pub use self::address::{ALLOW_RULES_MAX, InvalidRange};
pub(crate) use self::input::visible;
pub use self::input::{Delivery, InputError};
pub use self::signature::{Refusal, Scheme, SignatureConfig, TOLERANCE_S_DEFAULT, TOLERANCE_S_MAX};
use crate::route::{Method, Methods, PathPattern, Target};

/// How long a caller waits for the flow's answer where the config does not say, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// The longest a caller may wait for the flow's answer, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 300_000;

/// The config of `trigger.webhook`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The path below `/hooks/`. A part may be a parameter, as in `shops/{shop}/orders`; it
    /// becomes `params.shop` of the output.
    pub path: String,
    /// The method, or a list of methods. POST where absent.
    #[serde(default)]
    pub method: Methods,
    /// When and with what the caller is answered.
    #[serde(default)]
    pub respond: Respond,
    /// How the sender proves itself. Without it anybody who knows the path can start the flow.
    #[serde(default)]
    pub signature: Option<SignatureConfig>,
    /// Addresses and ranges (`203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32`) that may call. Absent:
    /// all.
    #[serde(default)]
    pub allow_ips: Option<Vec<String>>,
    /// How long a caller waits for the flow's answer before it gets 202, in milliseconds. 30000
    /// where absent, at most 300000.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Whether the output holds the body as it was received, as `raw`.
    #[serde(default)]
    pub raw: bool,
}

/// When and with what the caller is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Respond {
    /// At once, with 202 and the execution's id.
    #[default]
    Immediately,
    /// At the end, with the output of the last node.
    Last,
    /// When a `flow.respond` node runs, with what it composed.
    Node,
}

/// A webhook whose config is valid.
#[derive(Debug, Clone)]
pub struct Webhook {
    path: PathPattern,
    methods: Vec<Method>,
    respond: Respond,
    signature: Option<SignatureConfig>,
    allowed: Option<AllowList>,
    timeout: Duration,
    raw: bool,
}

impl Webhook {
    /// Reads the config of a webhook trigger, templates evaluated, secrets unresolved.
    ///
    /// # Errors
    /// Everything that is wrong with it, each naming its field.
    pub fn parse(config: &Value) -> Result<Self, Vec<Diagnostic>> {
        let mut parsed: WebhookConfig = config::read(config).map_err(|error| vec![error])?;
        if let Some(signature) = &mut parsed.signature {
            signature.keep_secret_reference(config);
        }
        let mut wrong = Vec::new();
        let path =
            PathPattern::parse(&parsed.path).map_err(|error| wrong.push(config::invalid("path", error)));
        let allowed = parsed.allow_ips.as_deref().map(AllowList::parse).transpose();
        let allowed = allowed
            .map_err(|error| wrong.push(config::invalid("allow_ips", error.to_string())))
            .ok()
            .flatten();
        let methods = parsed.method.list();
        if methods.is_empty() {
            wrong.push(config::invalid("method", "an empty list of methods answers to nothing"));
        }
        let timeout_ms = parsed.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT);
        if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
            let message = format!("{timeout_ms} ms is not between 1 and {TIMEOUT_MS_MAX} ms");
            wrong.push(config::invalid("timeout_ms", message));
        }
        wrong.extend(parsed.signature.as_ref().and_then(SignatureConfig::check));
        match path {
            Ok(path) if wrong.is_empty() => Ok(Self {
                path,
                methods,
                respond: parsed.respond,
                signature: parsed.signature,
                allowed,
                timeout: Duration::from_millis(timeout_ms),
                raw: parsed.raw,
            }),
            Ok(_) | Err(()) => Err(wrong),
        }
    }

    /// When and with what the caller is answered.
    pub fn respond(&self) -> Respond {
        self.respond
    }

    /// How the sender proves itself, if it has to.
    pub fn signature(&self) -> Option<&SignatureConfig> {
        self.signature.as_ref()
    }

    /// How long a caller waits for the flow's answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether a caller with this address may call. The address must be the peer's own, or come
    /// from a proxy that is trusted.
    pub fn allows(&self, peer: IpAddr) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }
}

impl Target for Webhook {
    const PREFIX: &'static str = "/hooks/";

    fn path(&self) -> &PathPattern {
        &self.path
    }

    fn methods(&self) -> &[Method] {
        &self.methods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[&str]) {
        let parsed = Webhook::parse(&Value::from_json(json.as_bytes()).unwrap());
        let said: Vec<String> =
            parsed.err().unwrap_or_default().into_iter().map(|found| found.to_string()).collect();
        assert_eq!(said.len(), expected.len(), "{json}: {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{json}: {said}");
        }
    }

    #[test]
    fn configs_are_checked_field_by_field() {
        check(r#"{"path":"orders"}"#, &[]);
        check(r#"{"path":"/a/{id}","method":["GET","PUT"],"respond":"node","allow_ips":["::1"]}"#, &[]);
        check(r#"{"path":"a","signature":{"scheme":"github","secret":"s"}}"#, &[]);
        check("null", &["config.path"]);
        check(r#"{"path":"a","method":"FETCH"}"#, &["config.method"]);
        check(r#"{"path":"a","method":[]}"#, &["config.method"]);
        check(r#"{"path":"a","respond":"later"}"#, &["config.respond"]);
        check(
            r#"{"path":"a/{","allow_ips":["10.0.0.0/40"],"timeout_ms":0}"#,
            &["path", "allow_ips", "timeout"],
        );
        check(r#"{"path":"a","signature":{"scheme":"github"}}"#, &["config.signature.secret"]);
        check(
            r#"{"path":"a","signature":{"scheme":"stripe","secret":"s","header":"x"}}"#,
            &["signature.header"],
        );
        check(r#"{"path":"a","signature":{"scheme":"hmac","secret":"s"}}"#, &["signature.header"]);
        check(
            r#"{"path":"a","signature":{"scheme":"github","secret":"s","tolerance_s":9}}"#,
            &["tolerance_s"],
        );
    }

    #[test]
    fn the_secret_stays_a_reference() {
        let signature = Value::object([("scheme", Value::from("github")), ("secret", Value::secret("hook"))]);
        let config = Value::object([("path", Value::from("a")), ("signature", signature)]);
        let webhook = Webhook::parse(&config).unwrap();
        assert!(webhook.signature().unwrap().secret.holds_secret());
    }
}
