//! Names of downloaded files: from `Content-Disposition` (RFC 6266), else from the URL.
//!
//! A name is only a label, never a path: folders and control characters are removed.

use percent_encoding::percent_decode_str;
use url::Url;

/// Characters of a file's name.
const NAME_CHARS_MAX: usize = 200;
/// The name of a file that has none.
const NAMELESS: &str = "file";

/// The name of a file with this `Content-Disposition` that came from `url`.
pub(crate) fn choose(disposition: Option<&str>, url: &Url) -> String {
    let from_header = disposition.and_then(from_disposition);
    let from_url = || url.path_segments()?.next_back().map(decoded);
    let name = from_header.or_else(from_url).unwrap_or_default();
    let label = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let label: String = label.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    match label.trim() {
        "" | "." | ".." => NAMELESS.to_owned(),
        label => label.to_owned(),
    }
}

/// `filename*` wins over `filename`.
fn from_disposition(text: &str) -> Option<String> {
    let mut plain = None;
    for parameter in parameters(text) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "filename*" => {
                if let Some((_, encoded)) = value.trim().split_once("''") {
                    return Some(decoded(encoded));
                }
            }
            "filename" => plain = Some(unquoted(value.trim())),
            _ => {}
        }
    }
    plain
}

/// The parameters after the first `;`, split where a `;` is not within quotes.
fn parameters(text: &str) -> Vec<String> {
    let mut parameters = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            ';' if !quoted => {
                parameters.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        if let Some(last) = parameters.last_mut() {
            last.push(c);
        }
    }
    parameters
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    inner.replace("\\\"", "\"")
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(disposition: Option<&str>, url: &str, expect: &str) {
        assert_eq!(choose(disposition, &Url::parse(url).unwrap()), expect, "{disposition:?} {url}");
    }

    #[test]
    fn names_come_from_the_header_or_the_url_and_are_no_paths() {
        let url = "https://a.example/x/report%20a.pdf?v=1";
        check(None, url, "report a.pdf");
        check(None, "https://a.example/", "file");
        check(None, "https://a.example/..%2f..%2fetc%2fpasswd", "passwd");
        check(Some("attachment"), url, "report a.pdf");
        check(Some("attachment; filename=b.csv"), url, "b.csv");
        check(Some("attachment; filename=\"b; c.csv\"; size=3"), url, "b; c.csv");
        check(Some("attachment; filename=\"a \\\"b\\\".csv\""), url, "a \"b\".csv");
        check(Some("attachment; filename=\"b.csv\"; filename*=UTF-8''%C3%B6.csv"), url, "ö.csv");
        check(Some("attachment; filename=\"../../etc/passwd\""), url, "passwd");
        check(Some("attachment; filename=\"..\\\\evil.exe\""), url, "evil.exe");
        check(Some("attachment; filename=\"..\""), url, "file");
        check(Some(&format!("attachment; filename={}", "n".repeat(500))), url, &"n".repeat(200));
    }
}
