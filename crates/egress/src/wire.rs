//! One hop as it goes over the wire: everything in plain, checked and ready to send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flux_model::ErrorCode;
use flux_model::error::Failure;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::headers::{is_private_name, is_reserved};
use crate::limits::REQUEST_HEADERS_MAX;
use crate::mask::Masker;
use crate::payload::Payload;
use crate::request::{Auth, Body, Request};
use crate::reveal::{self, Revealed};
use crate::scope::SecretScope;
use crate::{target, url_text};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const AGENT: &str = concat!("flux/", env!("CARGO_PKG_VERSION"));

/// One hop.
pub(crate) struct Wire {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The URL as records and messages show it.
    pub(crate) shown_url: String,
    pub(crate) headers: HeaderMap,
    /// Headers that are credentials by their name, or hold a secret: not sent to another host.
    pub(crate) private_headers: Vec<HeaderName>,
    pub(crate) payload: Payload,
}

impl Wire {
    /// The first hop of `request`, and what must be masked from now on.
    pub(crate) fn of(request: &Request, revealed: &Revealed<'_>) -> Result<(Self, Masker), Failure> {
        let url = url_text::plain(request, revealed)?;
        let shown_url = if revealed.scope().is_empty() && matches!(request.auth, Auth::None) {
            target::shown(url.as_str())
        } else {
            url_text::shown(request, revealed.scope())
        };
        let mut wire = Self {
            method: method(&revealed.scope().mask(&request.method))?,
            url,
            shown_url,
            headers: HeaderMap::new(),
            private_headers: Vec::new(),
            payload: Payload::of(&request.body, revealed)?,
        };
        let mut masker = revealed.masker();
        wire.check_stream()?;
        wire.set_headers(request, revealed)?;
        wire.set_auth(&request.auth, revealed, &mut masker)?;
        wire.set_defaults(request)?;
        wire.check_no_token(revealed.scope())?;
        Ok((wire, masker))
    }

    fn set_headers(&mut self, request: &Request, revealed: &Revealed<'_>) -> Result<(), Failure> {
        if request.headers.len() > REQUEST_HEADERS_MAX {
            let count = request.headers.len();
            let message = format!(
                "The request has {count} headers, more than REQUEST_HEADERS_MAX = {REQUEST_HEADERS_MAX}."
            );
            return Err(Failure::permanent(ErrorCode::EgressLimit, message));
        }
        for (name, value) in &request.headers {
            let header = header_name(name, revealed)?;
            let mut header_value = header_value(name, &revealed.text(value)?)?;
            if is_private_name(name) || revealed.scope().mentions(value) {
                header_value.set_sensitive(true);
                self.private_headers.push(header.clone());
            }
            self.headers.append(header, header_value);
        }
        Ok(())
    }

    fn set_auth(&mut self, auth: &Auth, revealed: &Revealed<'_>, masker: &mut Masker) -> Result<(), Failure> {
        let (name, value) = match auth {
            Auth::None | Auth::Query { .. } => return Ok(()),
            Auth::Bearer { token } => (AUTHORIZATION, format!("Bearer {}", revealed.text(token)?)),
            Auth::Basic { username, password } => {
                let (username, password) = (revealed.text(username)?, revealed.text(password)?);
                if username.contains(':') {
                    let message = "`auth.username` holds a colon, which Basic authentication cannot send.";
                    return Err(Failure::permanent(ErrorCode::NodeConfig, message));
                }
                let credentials = STANDARD.encode(format!("{username}:{password}"));
                masker.add_shown(credentials.clone(), target::MASK);
                (AUTHORIZATION, format!("Basic {credentials}"))
            }
            Auth::Header { name, value } => {
                (header_name(name, revealed)?, revealed.text(value)?.into_owned())
            }
        };
        let mut value = header_value(name.as_str(), &value)?;
        // Neither printed nor compressed together with other values.
        value.set_sensitive(true);
        self.private_headers.push(name.clone());
        self.headers.insert(name, value);
        Ok(())
    }

    fn set_defaults(&mut self, request: &Request) -> Result<(), Failure> {
        if let Some(content_type) = &self.payload.content_type {
            // The boundary of a multipart body is known here only.
            let chosen =
                !matches!(request.body, Body::Multipart(_)) && self.headers.contains_key(CONTENT_TYPE);
            if !chosen {
                let value = header_value("content-type", content_type)?;
                self.headers.insert(CONTENT_TYPE, value);
            }
        }
        let expects_body = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        let empty = self.payload.length().filter(|length| expects_body && *length == 0);
        if let Some(length) = self.payload.announced().or(empty) {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(key) = &request.idempotency_key
            && !self.headers.contains_key(&IDEMPOTENCY_KEY)
        {
            self.headers.insert(IDEMPOTENCY_KEY, header_value("idempotency-key", key)?);
        }
        // What is decompressed is only what was asked for.
        self.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        self.headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        self.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(())
    }

    /// A stream is announced as chunks, which these methods do not have: it would not be sent.
    fn check_stream(&self) -> Result<(), Failure> {
        if self.payload.length().is_some() || !matches!(self.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let message = format!("A {} request cannot have a streamed body; send it as bytes.", self.method);
        Err(Failure::permanent(ErrorCode::NodeConfig, message))
    }

    /// Whatever is written here has no token in it: the last check, over everything that leaves.
    fn check_no_token(&self, scope: &SecretScope) -> Result<(), Failure> {
        if scope.is_empty() {
            return Ok(());
        }
        let headers =
            self.headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
        let mut sent = headers.chain([self.url.as_str().as_bytes()]).chain(self.payload.texts());
        if sent.any(|bytes| scope.mentions(&String::from_utf8_lossy(bytes))) {
            return Err(reveal::broken());
        }
        Ok(())
    }
}

/// Capital letters only, so that a method is never mistaken for anything else on the way.
fn method(text: &str) -> Result<Method, Failure> {
    let known = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let method =
        Method::from_bytes(text.as_bytes()).ok().filter(|method| known && *method != Method::CONNECT);
    method.ok_or_else(|| {
        let text: String = text.chars().take(32).collect();
        let message = format!("`{text}` is not a method; write for example GET or POST.");
        Failure::permanent(ErrorCode::NodeConfig, message)
    })
}

fn header_name(name: &str, revealed: &Revealed<'_>) -> Result<HeaderName, Failure> {
    let invalid = |reason: &str| {
        let name: String = revealed.scope().mask(name).chars().take(100).collect();
        Err(Failure::permanent(ErrorCode::NodeConfig, format!("Header `{name}` {reason}.")))
    };
    if revealed.scope().mentions(name) {
        return invalid("holds a secret in its name; only its value may");
    }
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(header) if is_reserved(header.as_str()) => invalid("is set by Flux and cannot be chosen"),
        Ok(header) => Ok(header),
        Err(_) => invalid("is not a valid header name"),
    }
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
        let message = format!("The value of header `{name}` holds a line break or control character.");
        Failure::permanent(ErrorCode::NodeConfig, message)
    })
}
