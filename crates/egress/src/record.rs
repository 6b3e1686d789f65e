//! The record of a call: what is written to the journal, secrets masked.
//!
//! It is made from the request as the executor wrote it, tokens and all, and never sees plaintext
//! except to mask what came back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flux_model::error::Failure;
use flux_model::value::Object;
use flux_model::{BoundaryCall, CallKind, Timestamp, Value};
use http::StatusCode;

use crate::headers::is_private_name;
use crate::kept::{Kept, media_type};
use crate::mask::{ContentMasker, Masker};
use crate::request::{Auth, Body, PartContent, Request};
use crate::response::Response;
use crate::scope::SecretScope;
use crate::target::{self, MASK};
use crate::upload::BodyStream;
use crate::url_text;

/// A call while it runs: what is known of it so far.
pub(crate) struct Trail {
    started_at: Timestamp,
    started: Instant,
    method: String,
    /// The URL as it is shown.
    pub(crate) shown_url: String,
    headers: Object,
    body: Sent,
    redirects: Vec<Value>,
    /// Masks what of the scope was revealed so far.
    pub(crate) masker: Masker,
    /// Masks what user code knows besides.
    known: ContentMasker,
}

/// A body that is sent.
enum Sent {
    Nothing,
    /// As it is shown.
    Shown(Value),
    Exact {
        content: Bytes,
        media: String,
    },
    Stream {
        content: Upload,
        media: String,
    },
}

/// A streamed body, which is not sent for longer than its call lasts.
struct Upload(BodyStream);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Trail {
    /// The beginning of a call.
    pub(crate) fn start(request: &Request, scope: &SecretScope, known: ContentMasker) -> Self {
        Self {
            started_at: now(),
            started: Instant::now(),
            method: scope.mask(&request.method).into_owned(),
            shown_url: url_text::shown(request, scope),
            headers: headers(request, scope),
            body: Sent::of(request, scope),
            redirects: Vec::new(),
            masker: Masker::default(),
            known,
        }
    }

    /// Masks everything that is known so far, and so also more than an answer is masked by.
    pub(crate) fn everything(&self) -> Cow<'_, Masker> {
        self.known.join(&self.masker)
    }

    /// Why the call failed, without secrets: because of the body that was sent, if that broke off,
    /// and else because of `failure`.
    pub(crate) fn cause(&self, failure: Failure) -> Failure {
        let failure = self.body.failure().unwrap_or(failure);
        Failure { message: self.everything().text(&failure.message), ..failure }
    }

    /// A redirect was followed to `url` (as shown).
    pub(crate) fn redirected(&mut self, status: StatusCode, url: &str) {
        let status = Value::from(u64::from(status.as_u16()));
        self.redirects.push(Value::object([("status", status), ("url", Value::from(url))]));
    }

    /// The end of the call. `result` is masked already.
    pub(crate) fn finish(self, result: Result<Value, Failure>) -> BoundaryCall {
        let Self { started_at, started, method, shown_url, headers, body, redirects, masker, known } = self;
        let masker = known.join(&masker);
        let mut request = Object::new();
        request.insert("method".into(), Value::text(masker.text(&method)));
        request.insert("url".into(), Value::text(masker.text(&shown_url)));
        request.insert("headers".into(), masker.value(&Value::Object(Arc::new(headers))));
        body.show(&masker, &mut request);
        if !redirects.is_empty() {
            request.insert("redirects".into(), masker.value(&Value::array(redirects)));
        }
        let target = format!("{method} {}", target::without_query(&shown_url));
        BoundaryCall {
            kind: CallKind::Http,
            target: masker.text(&target),
            started_at,
            duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request: Value::Object(Arc::new(request)),
            result,
            site: None,
        }
    }
}

impl Sent {
    fn of(request: &Request, scope: &SecretScope) -> Self {
        let media = |content_type: &Option<String>| {
            let chosen = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            let media = chosen.map(|(_, value)| value).or(content_type.as_ref());
            media.map(|text| media_type(text)).unwrap_or_default()
        };
        match &request.body {
            Body::None => Self::Nothing,
            Body::Json(value) => Self::Shown(scope.mask_value(value)),
            Body::Form(fields) => {
                let shown = fields.iter().map(|(name, value)| pair(name, value, scope));
                Self::Shown(Value::array(shown.collect()))
            }
            Body::Multipart(parts) => {
                let shown = parts.iter().map(|part| match &part.content {
                    PartContent::Text(text) => pair(&part.name, text, scope),
                    PartContent::File(file) => Value::object([
                        ("name", Value::text(scope.mask(&part.name))),
                        ("value", scope.mask_value(&file.to_value())),
                    ]),
                });
                Self::Shown(Value::array(shown.collect()))
            }
            Body::Text { content, .. } => Self::Shown(Value::text(scope.mask(content))),
            Body::File(file) => Self::Shown(scope.mask_value(&file.to_value())),
            Body::Bytes { content, content_type } => {
                Self::Exact { content: content.clone(), media: media(content_type) }
            }
            Body::Stream { content, content_type } => {
                Self::Stream { content: Upload(content.clone()), media: media(content_type) }
            }
        }
    }

    fn failure(&self) -> Option<Failure> {
        match self {
            Self::Nothing | Self::Shown(_) | Self::Exact { .. } => None,
            Self::Stream { content, .. } => content.0.failure(),
        }
    }

    /// Writes what of it was sent into the record of the request.
    fn show(&self, masker: &Masker, request: &mut Object) {
        match self {
            Self::Nothing => {}
            Self::Shown(value) => {
                request.insert("body".into(), masker.value(value));
            }
            Self::Exact { content, media } => Kept::whole(content).show_in(request, media, masker),
            Self::Stream { content, media } => {
                content.0.sent(|kept| kept.show_in(request, media, masker));
            }
        }
    }
}

/// The system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The answer as it is recorded: like the one the node gets, without credentials in headers.
pub(crate) fn recorded(response: &Response) -> Value {
    let mut recorded = response.clone();
    mask_private(&mut recorded.headers);
    recorded.to_value()
}

/// Masks the headers that are credentials by their name.
pub(crate) fn mask_private(headers: &mut Object) {
    for (name, value) in headers {
        if is_private_name(name) {
            *value = Value::from(MASK);
        }
    }
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

/// A named value. One that is a credential by its name is masked.
fn pair(name: &str, value: &str, scope: &SecretScope) -> Value {
    let value = if is_private_name(name) && !scope.mentions(value) { MASK.into() } else { scope.mask(value) };
    Value::object([("name", Value::text(scope.mask(name))), ("value", Value::text(value))])
}
