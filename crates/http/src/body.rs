//! Reading request bodies: bounded in bytes and time, and turned into typed requests whose errors
//! name the field and, for a misspelt one, the nearest that exists.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flux_model::ErrorCode;
use flux_model::diagnostic::nearest;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::Shared;
use crate::problem::{FieldProblem, Problem};

/// Bytes of one request body where the configuration does not say.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a whole body may take to arrive where the configuration does not say.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of one body.
    pub bytes_max: usize,
    /// How long a whole body may take to arrive.
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes_max: BODY_BYTES_MAX, timeout: BODY_TIMEOUT }
    }
}

/// JSON: a typed body of a request, or of an answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A body that says it is JSON, as it was received.
#[derive(Debug)]
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl FromRequest<Shared> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, app.limits.body).await?;
        if !bytes.is_empty() && !is_json(&parts.headers) {
            let detail = "send the body as JSON, with the header `content-type: application/json`";
            return Err(Problem::new(ErrorCode::MediaTypeUnsupported, detail));
        }
        Ok(Self(bytes))
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    /// No body at all is an empty object: a request whose fields are all optional needs none.
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, app).await?;
        parse(if bytes.is_empty() { b"{}" } else { &bytes }).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, JSON)], bytes).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                Problem::new(ErrorCode::Internal, ErrorCode::Internal.summary()).into_response()
            }
        }
    }
}

/// The whole body. One that announces too many bytes, or that is compressed, is refused before
/// anything is read: what came is what a signature is checked over and what a flow sees.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, Problem> {
    let max = limits.bytes_max;
    if let Some(coding) = coding(headers) {
        let detail = format!(
            "the body is encoded as `{coding}`; send it as it is, without the header content-encoding"
        );
        return Err(Problem::new(ErrorCode::MediaTypeUnsupported, detail));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(announced) = announced.filter(|announced: &u64| *announced > max as u64) {
        let detail = format!("the body has {announced} bytes, more than {max} (BODY_BYTES_MAX)");
        return Err(Problem::new(ErrorCode::BodyTooLarge, detail));
    }
    let whole = tokio::time::timeout(limits.timeout, Limited::new(body, max).collect()).await;
    let Ok(read) = whole else {
        let detail =
            format!("the body did not arrive within {} ms (BODY_TIMEOUT)", limits.timeout.as_millis());
        return Err(Problem::new(ErrorCode::RequestTimeout, detail));
    };
    read.map(|collected| collected.to_bytes()).map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            let detail = format!("the body has more than {max} bytes (BODY_BYTES_MAX)");
            return Problem::new(ErrorCode::BodyTooLarge, detail);
        }
        Problem::invalid("the body broke off before its end")
    })
}

/// How the body is encoded, if it is.
fn coding(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let given = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).trim().to_ascii_lowercase());
    given.into_iter().find(|coding| !coding.is_empty() && coding != "identity")
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

/// Reads a typed request out of JSON text.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Without this, serde would read an array as the fields in order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid("the body is an array, an object is expected"));
    }
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() { field_problem(&place, &inner.to_string()) } else { not_json(&inner) }
    })?;
    source.end().map_err(|error| not_json(&error))?;
    Ok(read)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::invalid(format!("the body is not JSON: {error}"))
}

/// Turns what serde says about `place` into a problem with one field. The wording of "unknown
/// field" and "missing field" is serde's own, and the only way it tells them apart.
pub(crate) fn field_problem(place: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let parent = place.trim_matches('.');
    let below = |name: &str| match parent.is_empty() || parent.rsplit('.').next() == Some(name) {
        true if parent.is_empty() => name.to_owned(),
        true => parent.to_owned(),
        false => format!("{parent}.{name}"),
    };
    let (field, message, suggestion) = if let Some(name) = quoted_after(message, "unknown field ") {
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let suggestion = match nearest(name, known.iter().copied()) {
            Some(near) => Some(format!("write `{near}`")),
            None if known.is_empty() => None,
            None => Some(format!("known are `{}`", known.join("`, `"))),
        };
        (below(name), format!("there is no field `{name}`"), suggestion)
    } else if let Some(name) = quoted_after(message, "missing field ") {
        (below(name), format!("the field `{name}` is missing"), None)
    } else {
        (parent.to_owned(), message.to_owned(), None)
    };
    let place = if field.is_empty() { String::new() } else { format!("{field}: ") };
    let way_out = suggestion.as_ref().map_or_else(String::new, |text| format!("; {text}"));
    Problem::invalid(format!("{place}{message}{way_out}")).with_errors(vec![FieldProblem {
        field,
        message,
        suggestion,
    }])
}

fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split('`').next()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        size: u8,
    }

    fn check(json: &str, detail: &str) {
        let problem = parse::<Outer>(json.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::RequestInvalid);
        assert!(problem.detail().contains(detail), "{json}: {}", problem.detail());
    }

    #[test]
    fn errors_name_the_field_and_the_nearest_known() {
        check(r#"{"nmae":"a"}"#, "nmae: there is no field `nmae`; write `name`");
        check(r#"{"name":"a","zzzzzz":1}"#, "known are `name`, `inner`");
        check(r#"{"inner":[]}"#, "name: the field `name` is missing");
        check(
            r#"{"name":"a","inner":[{"siez":1}]}"#,
            "inner[0].siez: there is no field `siez`; write `size`",
        );
        check(r#"{"name":7}"#, "name: invalid type: integer `7`, expected a string");
        check(r#"{"name":"a","inner":[{"size":300}]}"#, "inner[0].size: invalid value");
        check(" [1]", "an object is expected");
        check("{", "the body is not JSON");
        check("", "the body is not JSON");
        check(r#"{"name":"a"} x"#, "the body is not JSON");
    }

    #[test]
    fn nesting_bombs_are_refused() {
        let bomb = format!(r#"{{"name":{}"#, "[".repeat(100_000));
        assert!(parse::<Outer>(bomb.as_bytes()).is_err());
    }

    #[tokio::test]
    async fn bodies_are_bounded_with_and_without_announcement() {
        let limits = BodyLimits { bytes_max: 4, timeout: BODY_TIMEOUT };
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers, Body::from("1234"), limits).await.unwrap(), "1234");
        let refused = read(&headers, Body::from("12345"), limits).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::BodyTooLarge);
        headers.insert(header::CONTENT_LENGTH, "99".parse().unwrap());
        let refused = read(&headers, Body::empty(), limits).await.unwrap_err();
        assert!(refused.detail().contains("99 bytes, more than 4 (BODY_BYTES_MAX)"), "{refused:?}");
    }

    #[tokio::test]
    async fn compressed_bodies_are_refused() {
        let check = async |coding: &str, refused: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            let read = read(&headers, Body::from("{}"), BodyLimits::default()).await;
            assert_eq!(read.is_err(), refused, "{coding}");
            if let Err(problem) = read {
                assert_eq!(problem.code(), ErrorCode::MediaTypeUnsupported);
                assert!(problem.detail().contains("without the header content-encoding"), "{problem:?}");
            }
        };
        check("gzip", true).await;
        check("identity, BR", true).await;
        check("Identity", false).await;
        check("", false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up() {
        let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let refused =
            read(&HeaderMap::new(), Body::from_stream(endless), BodyLimits::default()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RequestTimeout);
    }
}
