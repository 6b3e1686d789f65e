//! Cross-origin access to a function (Fetch standard, CORS protocol): which pages may call, and the
//! headers that tell a browser so.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::route::Method;

/// The longest a browser may remember what it was told, in seconds: a day.
pub const MAX_AGE_S_MAX: u32 = 86_400;
/// Origins of one function.
const ORIGINS_MAX: usize = 100;
/// Headers that every page may send: a body of JSON, a key, and what a trace is continued by.
const HEADERS_ALWAYS: &str = "authorization, content-type, idempotency-key, traceparent, x-request-id";
/// Headers that every page may read.
const HEADERS_EXPOSED: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, ratelimit, ratelimit-policy");

/// Which pages of other origins may call a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Their origins, such as `https://shop.example.com`, or `*` alone for all.
    pub origins: Vec<String>,
    /// Headers that they may send beside the usual ones.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Whether they may send cookies and client certificates. Not together with `*`.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser may remember the answer, in seconds. 600 where absent.
    #[serde(default)]
    pub max_age_s: Option<u32>,
}

/// A cross-origin policy that is valid.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Origins,
    methods: HeaderValue,
    headers: HeaderValue,
    credentials: bool,
    max_age: HeaderValue,
}

#[derive(Debug, Clone)]
enum Origins {
    Any,
    These(Vec<String>),
}

impl CorsConfig {
    /// Reads the policy of a function that answers to `methods`.
    pub(super) fn parse(self, methods: &[Method]) -> Result<Cors, String> {
        let max_age = self.max_age_s.unwrap_or(600);
        if max_age > MAX_AGE_S_MAX {
            return Err(format!("max_age_s: {max_age} is more than {MAX_AGE_S_MAX} (MAX_AGE_S_MAX)"));
        }
        let mut headers = HEADERS_ALWAYS.to_owned();
        for name in &self.headers {
            HeaderName::try_from(name.as_str())
                .map_err(|_| format!("headers: `{name}` is no header name"))?;
            headers.push_str(", ");
            headers.push_str(&name.to_ascii_lowercase());
        }
        let methods: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| "not printable".to_owned());
        Ok(Cors {
            origins: origins(self.origins, self.credentials)?,
            methods: value(methods.join(", "))?,
            headers: value(headers)?,
            credentials: self.credentials,
            max_age: HeaderValue::from(max_age),
        })
    }
}

fn origins(origins: Vec<String>, credentials: bool) -> Result<Origins, String> {
    if origins.is_empty() || origins.len() > ORIGINS_MAX {
        return Err(format!("origins: there are {}, not between 1 and {ORIGINS_MAX}", origins.len()));
    }
    if origins == ["*"] {
        return if credentials {
            Err("credentials: true needs named origins, not `*`".to_owned())
        } else {
            Ok(Origins::Any)
        };
    }
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(wrong) => Err(format!(
            "origins: `{wrong}` is no origin; write scheme and host without path, such as https://shop.example.com"
        )),
        None => Ok(Origins::These(origins)),
    }
}

/// Scheme, host and port as a browser writes them.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        let plain =
            |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || b"-.:[]_".contains(&byte);
        !host.is_empty() && host.bytes().all(plain)
    })
}

impl Cors {
    /// The headers of an answer to `origin`; none but `Vary` if it may not read it.
    pub fn answer(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(allowed) = self.allowed(origin) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HEADERS_EXPOSED);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The headers of an answer to a browser that asks whether `origin` may call.
    pub fn preflight(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        self.answer(origin, headers);
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
    }

    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::These(origins) => {
                origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(origins: &[&str]) -> CorsConfig {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        CorsConfig { origins, headers: vec!["X-Shop".to_owned()], credentials: false, max_age_s: None }
    }

    fn preflight(cors: &Cors, origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        cors.preflight(&HeaderValue::from_static(origin), &mut headers);
        headers
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        let cors = config(&["https://a.example", "http://localhost:3000"]).parse(&[Method::Get]).unwrap();
        let told = preflight(&cors, "http://localhost:3000");
        assert_eq!(told[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:3000");
        assert_eq!(
            (&told[ACCESS_CONTROL_ALLOW_METHODS], &told[VARY]),
            (&"GET".parse().unwrap(), &"origin".parse().unwrap())
        );
        assert!(told[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().ends_with(", x-shop"));
        for other in ["https://a.example.evil.example", "https://A.example", "null"] {
            let told = preflight(&cors, other);
            assert!(!told.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && told.contains_key(VARY), "{other}");
        }
    }

    #[test]
    fn every_origin_only_without_credentials() {
        let cors = config(&["*"]).parse(&[Method::Get]).unwrap();
        assert_eq!(preflight(&cors, "https://b.example")[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let careless = CorsConfig { credentials: true, ..config(&["*"]) };
        assert!(careless.parse(&[Method::Get]).unwrap_err().contains("named origins"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in ["example.com", "https://a.example/", "https://a.example/x", "ftp://a.example", "*"] {
            assert!(config(&[wrong, "https://a.example"]).parse(&[Method::Get]).is_err(), "{wrong}");
        }
        assert!(config(&[]).parse(&[Method::Get]).is_err());
    }
}
