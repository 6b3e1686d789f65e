//! `trigger.function`: which request belongs to which function, who may send it, and what the
//! function is given of it.
//!
//! A function of a project is a flow with this trigger and one `function.call` node; deploying
//! writes it. Parsing the config gives a [`FunctionRoute`]. This module answers no request,
//! verifies no key, and keeps no counters.

mod cors;
mod input;

use std::time::Duration;

use flux_model::config;
use flux_model::{Diagnostic, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::cors::{Cors, CorsConfig, MAX_AGE_S_MAX};
pub use self::input::{Call, InputError};
use crate::route::{Method, Methods, PathPattern, Target};
use crate::schema::Schema;

/// How long a caller waits for a function's answer where the config does not say, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// The longest a function may take, in milliseconds: an hour.
pub const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// The longest period of a rate limit, in milliseconds: a day.
pub const RATE_PERIOD_MS_MAX: u64 = 86_400_000;

/// The config of `trigger.function`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionConfig {
    /// The path on the gateway. A part may be a parameter, as in `/orders/{id}`; it becomes a member
    /// of the input.
    pub route: String,
    /// The method, or a list of methods. POST where absent.
    #[serde(default)]
    pub method: Methods,
    /// Who may call.
    #[serde(default)]
    pub auth: Auth,
    /// When the caller is answered.
    #[serde(default)]
    pub answer: AnswerWhen,
    /// Which pages of other origins may call. Absent: none.
    #[serde(default)]
    pub cors: Option<CorsConfig>,
    /// How often a caller may call. Absent: as the server says.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
    /// A JSON Schema that the input must fit. Absent: any input.
    #[serde(default)]
    pub input_schema: Option<Value>,
    /// How long a caller waits for the answer, in milliseconds. 30000 where absent.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// Who may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A caller with a key of the project, or a token of an issuer that the project trusts.
    #[default]
    Key,
    /// Everybody.
    None,
}

/// When the caller of a function is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerWhen {
    /// At the end, with the function's output. What happened is recorded when the function is
    /// done: after a crash in the meantime it did not happen.
    #[default]
    Output,
    /// At the end, with the function's output; the acceptance is durable before it runs.
    DurableOutput,
    /// At once, with 202 and the execution's id; the acceptance is durable.
    Accepted,
}

/// How often one caller may call one function: `limit` calls in `period_ms` on average, as many of
/// them at once as `burst` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Calls in a period.
    pub limit: u32,
    /// The period, in milliseconds. A minute where absent.
    #[serde(default = "a_minute")]
    pub period_ms: u64,
    /// Calls at once. `limit` where absent.
    #[serde(default)]
    pub burst: Option<u32>,
}

fn a_minute() -> u64 {
    60_000
}

/// A function's trigger whose config is valid.
#[derive(Debug, Clone)]
pub struct FunctionRoute {
    path: PathPattern,
    methods: Vec<Method>,
    auth: Auth,
    answer: AnswerWhen,
    cors: Option<Cors>,
    rate_limit: Option<RateLimit>,
    schema: Option<Schema>,
    timeout: Duration,
}

impl FunctionRoute {
    /// Reads the config of a function trigger.
    ///
    /// # Errors
    /// Everything that is wrong with it, each naming its field.
    pub fn parse(config: &Value) -> Result<Self, Vec<Diagnostic>> {
        let parsed: FunctionConfig = config::read(config).map_err(|error| vec![error])?;
        let mut wrong = Vec::new();
        let path =
            PathPattern::parse(&parsed.route).map_err(|error| wrong.push(config::invalid("route", error)));
        let methods = parsed.method.list();
        if methods.is_empty() {
            wrong.push(config::invalid("method", "an empty list of methods answers to nothing"));
        }
        let cors = parsed.cors.map(|cors| cors.parse(&methods)).transpose();
        let cors = cors.map_err(|error| wrong.push(config::invalid("cors", error))).ok().flatten();
        let schema = parsed.input_schema.as_ref().map(Schema::parse).transpose();
        let schema =
            schema.map_err(|error| wrong.push(config::invalid("input_schema", error))).ok().flatten();
        wrong.extend(parsed.rate_limit.and_then(check_rate));
        let timeout_ms = parsed.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT);
        if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
            let message =
                format!("{timeout_ms} ms is not between 1 and {TIMEOUT_MS_MAX} ms (TIMEOUT_MS_MAX)");
            wrong.push(config::invalid("timeout_ms", message));
        }
        match path {
            Ok(path) if wrong.is_empty() => Ok(Self {
                path,
                methods,
                auth: parsed.auth,
                answer: parsed.answer,
                cors,
                rate_limit: parsed.rate_limit,
                schema,
                timeout: Duration::from_millis(timeout_ms),
            }),
            Ok(_) | Err(()) => Err(wrong),
        }
    }

    /// Who may call.
    pub fn auth(&self) -> Auth {
        self.auth
    }

    /// When the caller is answered.
    pub fn answer(&self) -> AnswerWhen {
        self.answer
    }

    /// Which pages may call, if any.
    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// How often a caller may call, if the function says so.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// How long a caller waits for the answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl Target for FunctionRoute {
    const PREFIX: &'static str = "/";

    fn path(&self) -> &PathPattern {
        &self.path
    }

    fn methods(&self) -> &[Method] {
        &self.methods
    }
}

fn check_rate(rate: RateLimit) -> Option<Diagnostic> {
    let wrong = |field, message: String| Some(config::invalid(field, message));
    if rate.limit == 0 {
        return wrong("rate_limit.limit", "0 calls would refuse everybody".to_owned());
    }
    if rate.burst == Some(0) {
        return wrong("rate_limit.burst", "0 calls at once would refuse everybody".to_owned());
    }
    if !(1..=RATE_PERIOD_MS_MAX).contains(&rate.period_ms) {
        let message = format!(
            "{} ms is not between 1 and {RATE_PERIOD_MS_MAX} ms (RATE_PERIOD_MS_MAX)",
            rate.period_ms
        );
        return wrong("rate_limit.period_ms", message);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, expect: Result<&str, &str>) {
        let parsed = FunctionRoute::parse(&Value::from_json(config.as_bytes()).unwrap());
        let found = match &parsed {
            Ok(route) => Ok(route.path().to_string()),
            Err(wrong) => Err(wrong.iter().filter_map(|one| one.field.clone()).collect::<Vec<_>>().join(" ")),
        };
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{config}: {parsed:?}");
    }

    #[test]
    fn configs_are_read_or_refused_by_field() {
        check(r#"{"route": "/orders/{id}"}"#, Ok("orders/{id}"));
        check(r#"{"route": "/a", "method": ["GET", "POST"], "auth": "none", "answer": "accepted"}"#, Ok("a"));
        check(r#"{"route": "/a", "rate_limit": {"limit": 5}}"#, Ok("a"));
        check(r#"{}"#, Err("config.route"));
        check(r#"{"route": "/a b"}"#, Err("config.route"));
        check(r#"{"route": "/a", "method": []}"#, Err("config.method"));
        check(r#"{"route": "/a", "auth": "nobody"}"#, Err("config.auth"));
        check(r#"{"route": "/a", "rate_limit": {"limit": 0}}"#, Err("config.rate_limit.limit"));
        check(
            r#"{"route": "/a", "rate_limit": {"limit": 1, "period_ms": 0}}"#,
            Err("config.rate_limit.period_ms"),
        );
        check(r#"{"route": "/a", "input_schema": {"type": "objekt"}}"#, Err("config.input_schema"));
        check(r#"{"route": "/a", "timeout_ms": 0}"#, Err("config.timeout_ms"));
        check(r#"{"route": "/a", "cors": {"origins": ["example.com"]}}"#, Err("config.cors"));
    }

    #[test]
    fn what_is_not_said_is_as_documented() {
        let route = FunctionRoute::parse(&Value::from_json(br#"{"route": "a"}"#).unwrap()).unwrap();
        assert_eq!((route.auth(), route.answer()), (Auth::Key, AnswerWhen::Output));
        assert_eq!((route.methods(), route.timeout()), (&[Method::Post][..], Duration::from_secs(30)));
        assert!(route.cors().is_none() && route.rate_limit().is_none());
    }
}
