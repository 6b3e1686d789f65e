//! The URL of a request in plain: secrets put where they stand, encoded as their place asks.

use std::fmt::Write as _;

use flux_model::ErrorCode;
use flux_model::error::Failure;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::request::{Auth, Request};
use crate::reveal::Revealed;
use crate::scope::{Piece, SecretScope, masked_name};
use crate::target::{self, MASK};

/// Everything but the unreserved characters of RFC 3986 is percent-encoded.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL to call.
///
/// A secret that begins the URL may be a URL itself (a webhook address, a base URL); within the
/// host it may only be letters, digits, dots and hyphens; anywhere else it is percent-encoded.
pub(crate) fn plain(request: &Request, revealed: &Revealed<'_>) -> Result<Url, Failure> {
    let mut text = base(&request.url, revealed)?;
    text.truncate(text.find('#').unwrap_or(text.len()));
    for (name, value) in &request.query {
        append(&mut text, &revealed.text(name)?, &encoded(&revealed.text(value)?));
    }
    if let Auth::Query { name, value } = &request.auth {
        append(&mut text, &revealed.text(name)?, &encoded(&revealed.text(value)?));
    }
    target::parse(&text)
}

/// The same URL as records show it.
pub(crate) fn shown(request: &Request, scope: &SecretScope) -> String {
    let text = request.url.trim();
    let mut text = scope.mask(text.split('#').next().unwrap_or_default()).into_owned();
    for (name, value) in &request.query {
        let value = if scope.mentions(value) { scope.mask(value).into_owned() } else { encoded(value) };
        append(&mut text, &scope.mask(name), &value);
    }
    if let Auth::Query { name, .. } = &request.auth {
        append(&mut text, &scope.mask(name), MASK);
    }
    target::shown(&text)
}

fn base(text: &str, revealed: &Revealed<'_>) -> Result<String, Failure> {
    let mut url = String::new();
    for piece in revealed.scope().pieces(text.trim()) {
        match piece {
            Piece::Text(text) => url.push_str(text),
            Piece::Broken => return Err(misplaced("A part of a secret")),
            Piece::Secret(index) => {
                let plain = revealed.plain(index)?;
                match place(&url) {
                    Place::Start => url.push_str(plain),
                    Place::Authority if is_host_text(plain) => url.push_str(plain),
                    Place::Authority | Place::Scheme => {
                        return Err(misplaced(&masked_name(revealed.scope().name(index))));
                    }
                    Place::PathOrQuery => url.push_str(&encoded(plain)),
                }
            }
        }
    }
    Ok(url)
}

enum Place {
    Start,
    Scheme,
    Authority,
    PathOrQuery,
}

/// Where in a URL the end of `url` is. A backslash counts as an end of the host, as it does in
/// browsers; the URL is refused for it anyway.
fn place(url: &str) -> Place {
    if url.is_empty() {
        return Place::Start;
    }
    match url.split_once("://") {
        None => Place::Scheme,
        Some((_, rest)) if rest.contains(['/', '?', '#', '\\']) => Place::PathOrQuery,
        Some(_) => Place::Authority,
    }
}

fn is_host_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}

fn misplaced(what: &str) -> Failure {
    let message = format!("{what} cannot stand there in the URL.");
    Failure::permanent(ErrorCode::EgressUrl, message)
}

fn append(url: &mut String, name: &str, encoded_value: &str) {
    let separator = if url.contains('?') { '&' } else { '?' };
    // Writing to a String cannot fail.
    let _ = write!(url, "{separator}{}={encoded_value}", encoded(name));
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}
