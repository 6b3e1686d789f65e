//! URLs: what counts as one, and how one is shown.
//!
//! A URL is parsed once; what is checked, connected to, sent and recorded all comes from that one
//! parse, so there is no second opinion to disagree with.

use std::borrow::Cow;

use flux_model::ErrorCode;
use flux_model::error::Failure;
use url::Url;

use crate::headers::is_private_name;

/// Bytes of a URL.
pub(crate) const URL_BYTES_MAX: usize = 16 * 1024;

/// What stands for a value that must not be seen.
pub(crate) const MASK: &str = "[masked]";

/// Parses the URL of a request, without fragment.
///
/// It is stricter than browsers are: `http://` or `https://` must be written out, and backslashes,
/// control characters and user names are refused, because those are what parsers disagree about.
pub(crate) fn parse(text: &str) -> Result<Url, Failure> {
    let text = text.trim();
    if text.len() > URL_BYTES_MAX {
        let bytes = text.len();
        let message = format!("The URL has {bytes} bytes, more than URL_BYTES_MAX = {URL_BYTES_MAX}.");
        return Err(Failure::permanent(ErrorCode::EgressLimit, message));
    }
    if text.contains(|c: char| c.is_control() || c == '\\') {
        return Err(invalid("it holds a backslash or a control character; percent-encode it"));
    }
    let authority = text
        .split_once("://")
        .filter(|(scheme, _)| ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme)))
        .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default())
        .ok_or_else(|| invalid("it must start with http:// or https://"))?;
    if authority.contains('@') {
        return Err(invalid("it holds a user name or password; use the `auth` field"));
    }
    if authority.is_empty() {
        return Err(invalid("it names no host"));
    }
    let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    check(url)
}

/// The URL that `location` means, seen from `base`.
pub(crate) fn join(base: &Url, location: &str) -> Result<Url, Failure> {
    let url = base.join(location).map_err(|error| invalid(&format!("the redirect is broken: {error}")))?;
    check(url)
}

fn check(mut url: Url) -> Result<Url, Failure> {
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(&format!("scheme `{}` is neither http nor https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it holds a user name or password; use the `auth` field"));
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(invalid("it names no host"));
    }
    if host.ends_with('.') {
        return Err(invalid(&format!("host `{host}` ends with a dot; write it without")));
    }
    if url.port() == Some(0) {
        return Err(invalid("port 0 does not exist"));
    }
    Ok(url)
}

fn invalid(reason: &str) -> Failure {
    Failure::permanent(ErrorCode::EgressUrl, format!("The URL is not valid: {reason}."))
}

/// The host as the URL writes it, IPv6 in brackets.
pub(crate) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// The port, written or not.
pub(crate) fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or_default()
}

/// The URL as records show it: no user name and password, values of parameters that are
/// credentials by their name masked.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let mut text = without_userinfo(place).into_owned();
    if let Some(query) = query {
        let shown: Vec<Cow<'_, str>> = query.split('&').map(shown_parameter).collect();
        text.push('?');
        text.push_str(&shown.join("&"));
    }
    text
}

/// `url` up to its query: what a record names as the target.
pub(crate) fn without_query(shown: &str) -> &str {
    shown.split('?').next().unwrap_or_default()
}

fn without_userinfo(place: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = place.split_once("://") else { return Cow::Borrowed(place) };
    let end = rest.find(['/', '\\']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => Cow::Owned(format!("{scheme}://{MASK}{}", &rest[at..])),
        None => Cow::Borrowed(place),
    }
}

fn shown_parameter(pair: &str) -> Cow<'_, str> {
    match pair.split_once('=') {
        Some((name, value)) if is_private_name(name) && !value.starts_with("[secret:") => {
            Cow::Owned(format!("{name}={MASK}"))
        }
        Some(_) | None => Cow::Borrowed(pair),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check_parse(text: &str, expect: Result<&str, ErrorCode>) {
        let parsed = parse(text);
        let found = parsed.as_ref().map(Url::as_str).map_err(|failure| failure.code);
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn only_plain_http_urls_are_accepted() {
        let refused = Err(ErrorCode::EgressUrl);
        check_parse(" https://Example.COM/a b?c=d e#f ", Ok("https://example.com/a%20b?c=d%20e"));
        check_parse("HTTP://0x7f.1/", Ok("http://127.0.0.1/"));
        check_parse("http://a.example:8080", Ok("http://a.example:8080/"));
        check_parse("http://bücher.example/", Ok("http://xn--bcher-kva.example/"));
        for text in [
            "",
            "a.example",
            "//a.example",
            "ftp://a.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http:a.example",
            "http:/a.example",
            "http:///a.example",
            "http://",
            "http://user@a.example/",
            "http://user:pass@a.example/",
            "http://@a.example/",
            "http://a.example\\@b.example/",
            "http://a.example\n/",
            "http://a.example./",
            "http://a.example:0/",
            "http://a.example:99999/",
            "http://a b.example/",
            "http://[::1/",
            "http://[fe80::1%25eth0]/",
            "http://1.2.3.4.5.6/",
        ] {
            check_parse(text, refused);
        }
        check_parse(&format!("http://a.example/{}", "a".repeat(URL_BYTES_MAX)), Err(ErrorCode::EgressLimit));
    }

    #[test]
    fn redirects_are_relative_to_their_base_and_checked() {
        let base = parse("https://a.example/x/y?z").unwrap();
        let joined = |location: &str| join(&base, location).map(String::from).map_err(|failure| failure.code);
        assert_eq!(joined("../b#c").as_deref(), Ok("https://a.example/b"));
        assert_eq!(joined("//b.example").as_deref(), Ok("https://b.example/"));
        for location in
            ["file:///etc/passwd", "http://u:p@b.example/", "gopher://b.example", "http://b.example./"]
        {
            assert_eq!(joined(location), Err(ErrorCode::EgressUrl), "{location}");
        }
    }

    #[test]
    fn what_is_shown_has_no_credentials() {
        let cases = [
            ("https://a.example/x?y=1", "https://a.example/x?y=1"),
            ("https://u:p@a.example/x", "https://[masked]@a.example/x"),
            ("https://a.example/?q=1&api_key=abc&page=2#f", "https://a.example/?q=1&api_key=[masked]&page=2"),
            ("https://a.example/?access_token=[secret:t]", "https://a.example/?access_token=[secret:t]"),
        ];
        for (url, expect) in cases {
            assert_eq!(shown(url), expect);
        }
    }

    proptest! {
        /// The socket is opened for the host that hyper reads, the checks are made with the host
        /// that the URL parser reads: they must be the same for whatever is accepted.
        #[test]
        fn every_reader_of_a_url_sees_the_same_host(rest in "[a-z0-9.:/@?#%\\[\\]_ö。-]{0,24}", secure: bool) {
            let scheme = if secure { "https" } else { "http" };
            if let Ok(url) = parse(&format!("{scheme}://{rest}"))
                && let Ok(uri) = http::Uri::try_from(url.as_str())
            {
                prop_assert_eq!(uri.host(), url.host_str());
                prop_assert_eq!(uri.port_u16(), url.port());
                prop_assert_eq!(uri.scheme_str(), Some(scheme));
                prop_assert!(!uri.authority().is_some_and(|authority| authority.as_str().contains('@')));
            }
        }
    }
}
