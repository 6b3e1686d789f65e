//! The record of a call: what is written to the journal, secrets masked.
//!
//! It is made from the request as the executor wrote it, tokens and all, and never sees plaintext
//! except to mask what came back.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use flux_model::error::Failure;
use flux_model::value::Object;
use flux_model::{BoundaryCall, CallKind, Timestamp, Value};
use http::StatusCode;

use crate::headers::is_private_name;
use crate::mask::Masker;
use crate::request::{Auth, Body, PartContent, Request};
use crate::response::{Called, Response};
use crate::scope::SecretScope;
use crate::target::{self, MASK};
use crate::url_text;

/// A call while it runs: what is known of it so far.
pub(crate) struct Trail {
    started_at: Timestamp,
    started: Instant,
    method: String,
    /// The URL as it is shown.
    pub(crate) shown_url: String,
    headers: Object,
    body: Option<Value>,
    redirects: Vec<Value>,
    /// Masks what was revealed so far.
    pub(crate) masker: Masker,
}

impl Trail {
    /// The beginning of a call.
    pub(crate) fn start(request: &Request, scope: &SecretScope) -> Self {
        Self {
            started_at: now(),
            started: Instant::now(),
            method: scope.mask(&request.method).into_owned(),
            shown_url: url_text::shown(request, scope),
            headers: headers(request, scope),
            body: body(&request.body, scope),
            redirects: Vec::new(),
            masker: Masker::default(),
        }
    }

    /// A redirect was followed to `url` (as shown).
    pub(crate) fn redirected(&mut self, status: StatusCode, url: &str) {
        let status = Value::from(u64::from(status.as_u16()));
        self.redirects.push(Value::object([("status", status), ("url", Value::from(url))]));
    }

    /// The end of the call.
    pub(crate) fn finish(self, outcome: Result<Response, Failure>) -> Called {
        let outcome =
            outcome.map_err(|failure| Failure { message: self.masker.text(&failure.message), ..failure });
        let mut request = Object::new();
        request.insert("method".into(), Value::text(&self.method));
        request.insert("url".into(), Value::text(&self.shown_url));
        request.insert("headers".into(), Value::Object(Arc::new(self.headers)));
        if let Some(body) = self.body {
            request.insert("body".into(), body);
        }
        if !self.redirects.is_empty() {
            request.insert("redirects".into(), Value::array(self.redirects));
        }
        let target = format!("{} {}", self.method, target::without_query(&self.shown_url));
        let record = BoundaryCall {
            kind: CallKind::Http,
            target: self.masker.text(&target),
            started_at: self.started_at,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request: self.masker.value(&Value::Object(Arc::new(request))),
            result: outcome.as_ref().map(recorded).map_err(Clone::clone),
            site: None,
        };
        Called { record, outcome }
    }
}

/// The system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The answer as it is recorded: like the one the node gets, without credentials in headers.
fn recorded(response: &Response) -> Value {
    let mut recorded = response.clone();
    for (name, value) in &mut recorded.headers {
        if is_private_name(name) {
            *value = Value::from(MASK);
        }
    }
    recorded.to_value()
}

fn headers(request: &Request, scope: &SecretScope) -> Object {
    let mut shown = Object::new();
    let mut insert = |name: &str, value: Value| {
        shown.insert(Arc::from(scope.mask(name).to_ascii_lowercase()), value);
    };
    for (name, value) in &request.headers {
        let value = if is_private_name(name) { MASK.into() } else { scope.mask(value) };
        insert(name, Value::text(value));
    }
    if let Some(key) = &request.idempotency_key {
        insert("idempotency-key", Value::text(scope.mask(key)));
    }
    match &request.auth {
        Auth::None | Auth::Query { .. } => {}
        Auth::Bearer { .. } | Auth::Basic { .. } => insert("authorization", Value::from(MASK)),
        Auth::Header { name, .. } => insert(name, Value::from(MASK)),
    }
    shown
}

fn body(body: &Body, scope: &SecretScope) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Json(value) => Some(scope.mask_value(value)),
        Body::Form(fields) => {
            Some(Value::array(fields.iter().map(|(name, value)| pair(name, value, scope)).collect()))
        }
        Body::Multipart(parts) => {
            let shown = parts.iter().map(|part| match &part.content {
                PartContent::Text(text) => pair(&part.name, text, scope),
                PartContent::File(file) => Value::object([
                    ("name", Value::text(scope.mask(&part.name))),
                    ("value", scope.mask_value(&file.to_value())),
                ]),
            });
            Some(Value::array(shown.collect()))
        }
        Body::Text { content, .. } => Some(Value::text(scope.mask(content))),
        Body::File(file) => Some(scope.mask_value(&file.to_value())),
    }
}

/// A named value. One that is a credential by its name is masked.
fn pair(name: &str, value: &str, scope: &SecretScope) -> Value {
    let value = if is_private_name(name) && !scope.mentions(value) { MASK.into() } else { scope.mask(value) };
    Value::object([("name", Value::text(scope.mask(name))), ("value", Value::text(value))])
}
