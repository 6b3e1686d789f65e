//! What a flow sees of a request: `body`, `headers`, `query`, `params`, `method` and, on demand,
//! `raw`.

use flux_model::Value;
use flux_model::error::ErrorCode;
use flux_model::value::Object;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::{Scheme, Webhook};
use crate::urlencoded;

/// Headers whose values the flow must not see: they are the caller's credentials.
const MASKED_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];
const MASK: &str = "[masked]";
/// Characters of a delivery id that are kept as they are; a longer one is hashed.
const DELIVERY_ID_CHARS_MAX: usize = 128;

/// A request for a webhook, as received.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The method.
    pub method: &'a str,
    /// The values of the path's parameters.
    pub params: &'a [(String, String)],
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// Why a request cannot become the input of a flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The body says it is JSON but is not, or nests deeper than 128 levels.
    #[error("the body is not readable as JSON: {0}")]
    Json(String),
    /// The body or the query has too many fields.
    #[error("the {place} has {reason}")]
    Fields {
        /// Which.
        place: &'static str,
        /// The limit.
        reason: String,
    },
}

impl InputError {
    /// The public code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Json(_) | Self::Fields { .. } => ErrorCode::RequestInvalid,
        }
    }
}

impl Webhook {
    /// The trigger's output for this request.
    ///
    /// # Errors
    /// [`InputError`] if the body is not what its content type says, or a bound is exceeded.
    pub fn input(&self, delivery: &Delivery<'_>) -> Result<Value, InputError> {
        let query = urlencoded::parse(delivery.query.unwrap_or_default().as_bytes())
            .map_err(|reason| InputError::Fields { place: "query", reason })?;
        let params = delivery.params.iter().map(|(name, value)| (name, Value::text(value)));
        let mut members = vec![
            ("body", parse_body(delivery.headers, delivery.body)?),
            ("headers", visible(delivery.headers)),
            ("query", query),
            ("params", Value::object(params)),
            ("method", Value::from(delivery.method)),
        ];
        if self.raw {
            members.push(("raw", text_or_null(delivery.body)));
        }
        Ok(Value::object(members))
    }

    /// The key that makes a repeated delivery the same execution, if the sender numbers its
    /// deliveries: `webhook-id`, `X-GitHub-Delivery`, the id of a Stripe event, otherwise
    /// `Idempotency-Key`. `input` is the trigger's output.
    ///
    /// GitHub signs the body only: whoever can replay a signed body can also number it anew.
    pub fn idempotency_key(
        &self,
        flow: &str,
        node: &str,
        headers: &HeaderMap,
        input: &Value,
    ) -> Option<String> {
        let header = |name: &str| headers.get(name).map(|value| value.as_bytes().to_vec());
        let event = || input.get("body")?.get("id")?.as_str().map(|id| id.as_bytes().to_vec());
        let id = match self.signature().map(|signature| signature.scheme) {
            Some(Scheme::Standard) => header("webhook-id"),
            Some(Scheme::Github) => header("x-github-delivery"),
            Some(Scheme::Stripe) => event(),
            Some(Scheme::Hmac) | None => {
                ["webhook-id", "x-github-delivery", "idempotency-key"].into_iter().find_map(header)
            }
        };
        let id = id.filter(|id| !id.is_empty())?;
        Some(crate::idempotency_key("webhook", flow, node, &printable(&id)))
    }
}

fn printable(id: &[u8]) -> String {
    let plain = id.len() <= DELIVERY_ID_CHARS_MAX && id.iter().all(u8::is_ascii_graphic);
    if plain { String::from_utf8_lossy(id).into_owned() } else { hex::encode(Sha256::digest(id)) }
}

fn parse_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, InputError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Value::from_json(body).map_err(|error| InputError::Json(error.to_string()));
    }
    if essence == "application/x-www-form-urlencoded" {
        return urlencoded::parse(body).map_err(|reason| InputError::Fields { place: "body", reason });
    }
    Ok(text_or_null(body))
}

/// The bytes as text; bytes that are no text are not shown to the flow.
fn text_or_null(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or(Value::Null, Value::from)
}

/// The headers as an object, the caller's credentials masked.
pub(crate) fn visible(headers: &HeaderMap) -> Value {
    let mut members = Object::new();
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let text = if MASKED_HEADERS.contains(&name.as_str()) { MASK.to_owned() } else { values.join(", ") };
        members.insert(name.as_str().into(), Value::from(text));
    }
    Value::Object(std::sync::Arc::new(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(extra: &[(&'static str, Value)]) -> Webhook {
        let mut config = vec![("path", Value::from("a"))];
        config.extend_from_slice(extra);
        Webhook::parse(&Value::object(config)).unwrap()
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn input(content_type: &str, body: &[u8]) -> Result<Value, InputError> {
        let headers = headers(&[("content-type", content_type)]);
        webhook(&[]).input(&Delivery { method: "POST", params: &[], query: None, headers: &headers, body })
    }

    fn check_body(content_type: &str, body: &[u8], expected: &str) {
        assert_eq!(
            input(content_type, body).unwrap().get("body").unwrap().to_json(),
            expected,
            "{content_type}"
        );
    }

    #[test]
    fn bodies_are_read_by_their_content_type() {
        check_body("application/json", br#"{"a":[1]}"#, r#"{"a":[1]}"#);
        check_body("Application/vnd.api+JSON; charset=utf-8", b"1", "1");
        check_body("application/json", b"", "null");
        check_body("application/x-www-form-urlencoded", b"a=1&b=x+y&a=%32", r#"{"a":["1","2"],"b":"x y"}"#);
        check_body("text/plain", "ä".as_bytes(), r#""ä""#);
        check_body("application/xml", b"<a/>", r#""<a/>""#);
        check_body("image/png", b"\x89PNG\xff", "null");
    }

    #[test]
    fn bad_bodies_are_errors() {
        let json = |body: &[u8]| matches!(input("application/json", body), Err(InputError::Json(_)));
        assert!(json(b"{") && json(b"{} x") && json(b"\xff"));
        assert!(json("[".repeat(1_000_000).as_bytes()), "a nesting bomb");
        let many = "a=1&".repeat(1001);
        let refused = input("application/x-www-form-urlencoded", many.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("FIELDS_MAX"), "{refused}");
    }

    #[test]
    fn the_output_has_its_documented_members_and_no_credentials() {
        let headers = headers(&[
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("X-Twice", "1"),
            ("X-Twice", "2"),
            ("content-type", "text/plain"),
        ]);
        let params = [("id".to_owned(), "7".to_owned())];
        let query = Some("a=1&b");
        let delivery = Delivery { method: "PUT", params: &params, query, headers: &headers, body: b"hi" };
        let json = webhook(&[("raw", Value::from(true))]).input(&delivery).unwrap().to_json();
        let expected = concat!(
            r#"{"body":"hi","headers":{"authorization":"[masked]","cookie":"[masked]","x-twice":"1, 2","#,
            r#""content-type":"text/plain"},"query":{"a":"1","b":""},"params":{"id":"7"},"method":"PUT","raw":"hi"}"#
        );
        assert_eq!(json, expected);
    }

    fn check_key(scheme: Option<&str>, list: &[(&'static str, &str)], body: &str, expected: Option<&str>) {
        let signature = |scheme: &str| {
            let header = (scheme == "hmac").then(|| ("header", Value::from("x-sig")));
            let members = [("scheme", Value::from(scheme)), ("secret", Value::from("s"))];
            ("signature", Value::object(members.into_iter().chain(header)))
        };
        let hook = webhook(&scheme.map(signature).into_iter().collect::<Vec<_>>());
        let input = Value::object([("body", Value::from_json(body.as_bytes()).unwrap())]);
        let key = hook.idempotency_key("flow", "hook", &headers(list), &input);
        assert_eq!(key.as_deref(), expected, "{scheme:?}");
    }

    #[test]
    fn numbered_deliveries_have_a_key() {
        check_key(Some("standard"), &[("webhook-id", "msg_1")], "{}", Some("webhook/flow/hook/msg_1"));
        check_key(Some("github"), &[("x-github-delivery", "72d3")], "{}", Some("webhook/flow/hook/72d3"));
        check_key(Some("stripe"), &[], r#"{"id":"evt_1"}"#, Some("webhook/flow/hook/evt_1"));
        check_key(Some("stripe"), &[("webhook-id", "x")], "{}", None);
        check_key(Some("hmac"), &[("idempotency-key", "k")], "{}", Some("webhook/flow/hook/k"));
        check_key(None, &[("x-github-delivery", "72d3")], "{}", Some("webhook/flow/hook/72d3"));
        check_key(None, &[], r#"{"id":"evt_1"}"#, None);
        let long = hex::encode(Sha256::digest("x".repeat(129)));
        check_key(
            None,
            &[("webhook-id", &"x".repeat(129))],
            "{}",
            Some(&format!("webhook/flow/hook/{long}")),
        );
    }
}
