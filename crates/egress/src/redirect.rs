//! Redirects: whether an answer is one, and what the next hop may carry.
//!
//! Every hop is parsed, checked and resolved like the first. Credentials stay with the host that
//! they were meant for.

use flux_model::ErrorCode;
use flux_model::error::Failure;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use url::Url;

use crate::mask::Masker;
use crate::payload::Payload;
use crate::reveal::Revealed;
use crate::target;
use crate::wire::Wire;

/// Whether this is the status of a redirect (Fetch standard).
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where `status` and `headers` redirect to, seen from `base`; `None` if they do not.
pub(crate) fn location(status: StatusCode, headers: &HeaderMap, base: &Url) -> Result<Option<Url>, Failure> {
    if !is_redirect(status) {
        return Ok(None);
    }
    let Some(location) = headers.get(LOCATION) else { return Ok(None) };
    let text = std::str::from_utf8(location.as_bytes())
        .map_err(|_| Failure::permanent(ErrorCode::EgressUrl, "The redirect is broken: it is not text."))?;
    target::join(base, text).map(Some)
}

/// The hop after `wire`: the method and body that the status asks for (Fetch standard, HTTP-redirect
/// fetch), without credentials if it leads to another host. `masker` knows every plaintext.
pub(crate) fn follow(
    wire: &Wire,
    status: StatusCode,
    url: Url,
    revealed: &Revealed<'_>,
    masker: &Masker,
) -> Result<Wire, Failure> {
    let (host, port) = (target::host(&url), target::port(&url));
    revealed.check_redirect(url.as_str(), host, port)?;
    let mut headers = wire.headers.clone();
    let mut payload = wire.payload.clone();
    let mut method = wire.method.clone();
    let becomes_get = match status.as_u16() {
        303 => method != Method::HEAD,
        301 | 302 => method == Method::POST,
        _ => false,
    };
    if becomes_get {
        method = Method::GET;
        payload = Payload::default();
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
            headers.remove(name);
        }
    } else if payload.length().is_none() {
        return Err(not_replayable(wire, status));
    }
    if !keeps_credentials(&wire.url, &url) {
        let with_secret = headers.iter().filter(|(_, value)| masker.finds(value.as_bytes()));
        let with_secret: Vec<HeaderName> = with_secret.map(|(name, _)| name.clone()).collect();
        for name in wire.private_headers.iter().chain(&with_secret) {
            headers.remove(name);
        }
        if payload.has_secret(masker) {
            let message = format!(
                "The server redirects to {host}:{port}, and the body holds a secret; it is not sent to another host. Call that host directly if the secret belongs there."
            );
            return Err(Failure::permanent(ErrorCode::SecretHost, message));
        }
    }
    let shown_url = masker.text(&target::shown(url.as_str()));
    Ok(Wire { method, url, shown_url, headers, private_headers: wire.private_headers.clone(), payload })
}

/// An answer that redirects where the request does not allow it.
pub(crate) fn unwanted(wire: &Wire, status: StatusCode) -> Failure {
    let (url, status) = (&wire.shown_url, status.as_u16());
    let message = format!("{url} redirects with status {status}, and the request makes that an error.");
    Failure::permanent(ErrorCode::HttpResponse, message)
}

fn not_replayable(wire: &Wire, status: StatusCode) -> Failure {
    let message = format!(
        "{} redirects with status {}, which asks for the body again, and a streamed body can be sent once. Send it as bytes, or call the address it redirects to.",
        wire.shown_url,
        status.as_u16(),
    );
    Failure::permanent(ErrorCode::HttpResponse, message)
}

/// Same scheme, host and port, or the same host moving from plain to encrypted on default ports.
fn keeps_credentials(from: &Url, to: &Url) -> bool {
    let upgrade = from.scheme() == "http"
        && to.scheme() == "https"
        && from.host_str() == to.host_str()
        && from.port().is_none()
        && to.port().is_none();
    from.origin() == to.origin() || upgrade
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_origin() {
        let cases = [
            ("https://a.example/x", "https://a.example/y", true),
            ("http://a.example/", "https://a.example/", true),
            ("https://a.example/", "http://a.example/", false),
            ("http://a.example:80/", "http://a.example/", true),
            ("http://a.example/", "http://a.example:8080/", false),
            ("http://a.example:8080/", "https://a.example/", false),
            ("https://a.example/", "https://b.a.example/", false),
            ("https://a.example/", "https://a.example.evil.example/", false),
        ];
        for (from, to, expect) in cases {
            let urls = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
            assert_eq!(keeps_credentials(&urls.0, &urls.1), expect, "{from} -> {to}");
        }
    }

    #[test]
    fn only_redirects_with_a_location_redirect() {
        let base = Url::parse("https://a.example/x").unwrap();
        let at = |status: u16, location: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, http::HeaderValue::from_static(location));
            super::location(StatusCode::from_u16(status).unwrap(), &headers, &base)
        };
        assert_eq!(at(302, "/y").unwrap().unwrap().as_str(), "https://a.example/y");
        assert!(at(200, "/y").unwrap().is_none() && at(304, "/y").unwrap().is_none());
        assert_eq!(at(302, "data:,x").unwrap_err().code, ErrorCode::EgressUrl);
        assert!(super::location(StatusCode::FOUND, &HeaderMap::new(), &base).unwrap().is_none());
    }
}
