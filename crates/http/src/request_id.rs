//! What a request is called: its id, and the trace it belongs to.
//!
//! A caller's `x-request-id` is taken over if it is safe to log and to store; everything else gets
//! a new id. `traceparent` (W3C Trace Context) only lends its trace id to the logs.

use std::sync::Arc;

use flux_model::Timestamp;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

/// The header with the id, in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Characters of an id that a caller chose.
pub(crate) const REQUEST_ID_CHARS_MAX: usize = 128;
const TRACE_ID_CHARS: usize = 32;

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The caller's id if it may be used, else a new one that sorts by time.
    pub(crate) fn of(headers: &HeaderMap, now: Timestamp) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        match given.filter(|text| is_request_id(text)) {
            Some(text) => Self(Arc::from(text)),
            None => Self::new(now),
        }
    }

    /// The id that the envelope put into the request.
    pub(crate) fn in_parts(parts: &Parts) -> Self {
        parts.extensions.get().cloned().unwrap_or_else(|| Self(Arc::from("unknown")))
    }

    /// A new id. Without randomness from the system it is only the time: it names, it does not
    /// protect.
    fn new(now: Timestamp) -> Self {
        let mut random = [0_u8; 10];
        let _ = getrandom::fill(&mut random);
        Self(Arc::from(format!("req_{:012x}{}", now.millis().max(0), hex::encode(random))))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text may be a request id: 1 to 128 of `A-Z a-z 0-9 . _ -`.
pub(crate) fn is_request_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=REQUEST_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// The trace id of a valid `traceparent`.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get(TRACEPARENT)?.to_str().ok()?.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let sound = hexadecimal(version, 2)
        && version != "ff"
        && hexadecimal(trace, TRACE_ID_CHARS)
        && !zero(trace)
        && hexadecimal(parent, 16)
        && !zero(parent)
        && hexadecimal(flags, 2)
        // Version 00 has four parts; later ones may have more.
        && (version != "00" || parts.next().is_none());
    sound.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_id(given: &str, kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, given.parse().unwrap());
        let id = RequestId::of(&headers, Timestamp::from_millis(1));
        assert_eq!(id.as_str() == given, kept, "{given}");
        assert!(is_request_id(id.as_str()), "{id:?}");
    }

    #[test]
    fn plain_ids_are_kept_and_others_replaced() {
        check_id("a", true);
        check_id("A.b_c-9", true);
        check_id(&"x".repeat(128), true);
        check_id(&"x".repeat(129), false);
        check_id("", false);
        check_id("a b", false);
        check_id("a/b", false);
        check_id("a\tb", false);
    }

    fn check_trace(given: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, given.parse().unwrap());
        assert_eq!(trace_id(&headers), expected, "{given}");
    }

    #[test]
    fn a_valid_traceparent_lends_its_trace_id() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        check_trace(&format!("00-{id}-b7ad6b7169203331-01"), Some(id));
        check_trace(&format!("01-{id}-b7ad6b7169203331-01-later"), Some(id));
        check_trace(&format!("00-{id}-b7ad6b7169203331-01-later"), None);
        check_trace(&format!("ff-{id}-b7ad6b7169203331-01"), None);
        check_trace(&format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None);
        check_trace(&format!("00-{id}-0000000000000000-01"), None);
        check_trace(&format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()), None);
        check_trace("00-1-2-3", None);
        check_trace("", None);
    }
}
