//! What came back: the answer, its classification, and the record of the call.

use flux_model::error::{ErrorClass, Failure};
use flux_model::value::Object;
use flux_model::{BoundaryCall, ErrorCode, Value};

/// A finished call: what to record, and what the caller gets.
#[derive(Debug, Clone)]
pub struct Called {
    /// The record, secrets masked. All redirects are part of this one call.
    pub record: BoundaryCall,
    /// The answer whatever its status, or why there is none.
    pub outcome: Result<Response, Failure>,
}

/// An HTTP answer. Plaintexts of the secrets that were sent are masked in it.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header values by name in lower case; several values of one name are joined by `, `
    /// (`set-cookie` by a line feed).
    pub headers: Object,
    /// The body as the response mode asks for.
    pub body: Value,
    /// The URL that answered, after redirects.
    pub url: String,
    /// What `Retry-After` asks for, in milliseconds, at most [`crate::Limits::retry_after_max`].
    pub retry_after_ms: Option<u64>,
}

impl Response {
    /// The value of the header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::as_str)
    }

    /// `{status, headers, body}`
    pub fn to_value(&self) -> Value {
        Value::object([
            ("status", Value::from(u64::from(self.status))),
            ("headers", Value::Object(std::sync::Arc::new(self.headers.clone()))),
            ("body", self.body.clone()),
        ])
    }

    /// The failure that this answer amounts to where its status counts as one: 408, 425, 429 and
    /// 5xx are retryable, everything else is permanent.
    pub fn failure(&self) -> Failure {
        let retryable = matches!(self.status, 408 | 425 | 429 | 500..=599);
        let said = said(&self.body).map(|said| format!(": {said}")).unwrap_or_default();
        let message = format!("{} answered with status {}{said}", self.url, self.status);
        Failure {
            class: if retryable { ErrorClass::Retryable } else { ErrorClass::Permanent },
            provider_status: Some(self.status),
            retry_after_ms: self.retry_after_ms,
            ..Failure::permanent(ErrorCode::HttpStatus, message)
        }
    }
}

/// What the provider says about its error, from the places where APIs put it.
fn said(body: &Value) -> Option<String> {
    let inner = body.get("error").or_else(|| body.get("errors").map(|errors| errors.at(0).unwrap_or(errors)));
    let places = [inner, inner.and_then(|inner| inner.get("message"))]
        .into_iter()
        .flatten()
        .chain(MESSAGE_FIELDS.iter().filter_map(|field| body.get(field)))
        .chain(std::iter::once(body));
    let text = places.filter_map(Value::as_str).find(|text| !text.trim().is_empty())?;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(MESSAGE_CHARS_MAX).collect();
    Some(if cut.len() < line.len() { format!("{cut}…") } else { cut })
}

/// Characters of a provider's message that are passed on.
const MESSAGE_CHARS_MAX: usize = 300;
/// Members of an error answer that hold its message.
const MESSAGE_FIELDS: &[&str] = &["message", "error_description", "detail", "title", "description"];

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        let body = Value::from_json(body.as_bytes()).unwrap();
        let url = "https://a.example/x".to_owned();
        Response { status, headers: Object::new(), body, url, retry_after_ms: Some(5) }
    }

    #[test]
    fn statuses_are_classed() {
        for (status, class) in [
            (400, ErrorClass::Permanent),
            (401, ErrorClass::Permanent),
            (404, ErrorClass::Permanent),
            (408, ErrorClass::Retryable),
            (409, ErrorClass::Permanent),
            (425, ErrorClass::Retryable),
            (429, ErrorClass::Retryable),
            (500, ErrorClass::Retryable),
            (503, ErrorClass::Retryable),
            (302, ErrorClass::Permanent),
        ] {
            let failure = answer(status, "null").failure();
            assert_eq!((failure.class, failure.provider_status), (class, Some(status)));
            assert_eq!(failure.retry_after_ms, Some(5));
        }
    }

    #[test]
    fn the_provider_is_quoted() {
        let long = format!("\"{}\"", "x".repeat(400));
        for (body, expect) in [
            (r#"{"error": {"message": "no such user", "code": 7}}"#, ": no such user"),
            (r#"{"error": "invalid_grant", "error_description": "d"}"#, ": invalid_grant"),
            (r#"{"errors": [{"message": "first"}, {"message": "second"}]}"#, ": first"),
            (r#"{"message": "m\n  n"}"#, ": m n"),
            (r#""plain text""#, ": plain text"),
            (r#"{"x": 1}"#, ""),
            ("null", ""),
            (&long, &format!(": {}…", "x".repeat(300))),
        ] {
            let message = answer(418, body).failure().message;
            assert_eq!(message, format!("https://a.example/x answered with status 418{expect}"), "{body}");
        }
    }
}
