//! Masking by content: plaintexts of secrets are replaced wherever they come back.
//!
//! Servers echo what they were sent, plainly or encoded. Every encoding a request may have used is
//! searched for. Values shorter than [`SECRET_MASKED_BYTES_MIN`] are left alone: they occur
//! everywhere by chance.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use flux_model::Value;
use flux_model::value::Object;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::scope::masked_name;

/// Bytes a plaintext must have to be searched for in texts.
pub(crate) const SECRET_MASKED_BYTES_MIN: usize = 4;
/// Bytes a plaintext must have to be searched for in files, where anything can occur by chance.
pub(crate) const SECRET_MASKED_IN_FILES_BYTES_MIN: usize = 8;

/// Replaces plaintexts by `[secret:name]`.
#[derive(Default, Clone)]
pub(crate) struct Masker {
    /// Longest first, so that the longest match wins.
    needles: Vec<Needle>,
}

#[derive(Clone)]
struct Needle {
    plain: Zeroizing<String>,
    shown: Arc<str>,
}

impl Masker {
    /// Also masks `plain`, as it is and in the encodings that a request may send it in.
    pub(crate) fn add(&mut self, name: &str, plain: &str) {
        if plain.len() < SECRET_MASKED_BYTES_MIN {
            return;
        }
        let percent = utf8_percent_encode(plain, NON_ALPHANUMERIC).to_string();
        let component = utf8_percent_encode(plain, crate::url_text::COMPONENT).to_string();
        let form: String = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        let json = serde_json::to_string(plain).unwrap_or_default();
        let forms = [
            plain.to_owned(),
            percent.to_ascii_lowercase(),
            percent,
            component.to_ascii_lowercase(),
            component,
            form,
            json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned(),
            STANDARD.encode(plain),
            STANDARD_NO_PAD.encode(plain),
            URL_SAFE_NO_PAD.encode(plain),
        ];
        for form in forms {
            self.add_shown(form, &masked_name(name));
        }
        if let Ok(url) = url::Url::parse(plain) {
            self.add_url(name, &url);
        }
    }

    /// Also replaces `plain`, exactly as it is, by `shown`.
    pub(crate) fn add_shown(&mut self, plain: String, shown: &str) {
        if plain.len() >= SECRET_MASKED_BYTES_MIN && !self.needles.iter().any(|known| *known.plain == plain) {
            self.needles.push(Needle { plain: Zeroizing::new(plain), shown: Arc::from(shown) });
            self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.plain.len()));
        }
    }

    /// A secret that is a URL: a server that echoes what it was asked for shows its path.
    fn add_url(&mut self, name: &str, url: &url::Url) {
        let shown = masked_name(name);
        for part in [url.as_str(), url.path(), url.query().unwrap_or_default()] {
            if part.len() >= SECRET_MASKED_IN_FILES_BYTES_MIN {
                self.add_shown(part.to_owned(), &shown);
            }
        }
    }

    /// Whether there is nothing to mask.
    pub(crate) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// `text` masked.
    pub(crate) fn text(&self, text: &str) -> String {
        self.changed(text).unwrap_or_else(|| text.to_owned())
    }

    /// `value` masked: texts, member names, and numbers that are a plaintext as a whole.
    pub(crate) fn value(&self, value: &Value) -> Value {
        if self.is_empty() {
            return value.clone();
        }
        match value {
            Value::Text(text) => self.changed(text).map_or_else(|| value.clone(), Value::from),
            Value::Number(number) => {
                let text = number.to_string();
                let whole = self.needles.iter().find(|needle| *needle.plain == text);
                whole.map_or_else(|| value.clone(), |needle| Value::Text(needle.shown.clone()))
            }
            Value::Array(items) => Value::array(items.iter().map(|item| self.value(item)).collect()),
            Value::Object(members) => {
                let members = members.iter().map(|(name, member)| {
                    let name = self.changed(name).map_or_else(|| name.clone(), Arc::from);
                    (name, self.value(member))
                });
                Value::Object(Arc::new(members.collect::<Object>()))
            }
            Value::Null | Value::Bool(_) | Value::Secret(_) => value.clone(),
        }
    }

    /// The masker of a file's content.
    pub(crate) fn stream(&self) -> StreamMasker {
        let long = |needle: &&Needle| needle.plain.len() >= SECRET_MASKED_IN_FILES_BYTES_MIN;
        let needles: Vec<Needle> = self.needles.iter().filter(long).cloned().collect();
        StreamMasker { masker: Self { needles }, held: Vec::new() }
    }

    /// `text` masked, if that changes it. Matches of valid UTF-8 are at character boundaries.
    fn changed(&self, text: &str) -> Option<String> {
        let mut masked = Vec::new();
        let end = self.replace(text.as_bytes(), text.len(), &mut masked);
        if masked.is_empty() || (end == text.len() && masked == text.as_bytes()) {
            return None;
        }
        String::from_utf8(masked).ok()
    }

    /// Appends `bytes` masked to `out`, as far as matches start before `until`; answers how many
    /// bytes were read.
    fn replace(&self, bytes: &[u8], until: usize, out: &mut Vec<u8>) -> usize {
        let mut first = [false; 256];
        for byte in self.needles.iter().filter_map(|needle| needle.plain.as_bytes().first()) {
            first[usize::from(*byte)] = true;
        }
        let mut copied = 0;
        let mut at = 0;
        while at < until {
            let found = first[usize::from(bytes[at])]
                .then(|| self.needles.iter().find(|needle| bytes[at..].starts_with(needle.plain.as_bytes())))
                .flatten();
            match found {
                Some(needle) => {
                    out.extend_from_slice(&bytes[copied..at]);
                    out.extend_from_slice(needle.shown.as_bytes());
                    at += needle.plain.len();
                    copied = at;
                }
                None => at += 1,
            }
        }
        out.extend_from_slice(&bytes[copied..at]);
        at
    }
}

/// Masks a stream of bytes; a plaintext may be spread over chunks.
pub(crate) struct StreamMasker {
    masker: Masker,
    held: Vec<u8>,
}

impl StreamMasker {
    /// What of the stream up to and with `chunk` is certain.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        let Some(longest) = self.masker.needles.first().map(|needle| needle.plain.len()) else {
            return chunk;
        };
        self.held.extend_from_slice(&chunk);
        let until = self.held.len().saturating_sub(longest - 1);
        let mut masked = Vec::with_capacity(self.held.len());
        let read = self.masker.replace(&self.held, until, &mut masked);
        self.held.drain(..read);
        masked.into()
    }

    /// The rest, at the end of the stream.
    pub(crate) fn finish(self) -> Bytes {
        let mut masked = Vec::with_capacity(self.held.len());
        self.masker.replace(&self.held, self.held.len(), &mut masked);
        masked.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(secrets: &[(&str, &str)]) -> Masker {
        let mut masker = Masker::default();
        for (name, plain) in secrets {
            masker.add(name, plain);
        }
        masker
    }

    fn check(secrets: &[(&str, &str)], text: &str, expect: &str) {
        assert_eq!(masker(secrets).text(text), expect);
    }

    #[test]
    fn plaintexts_are_masked_in_every_encoding() {
        let secret = &[("s", "p/w \"ö+1")];
        check(secret, "a p/w \"ö+1 b", "a [secret:s] b");
        check(secret, r#"{"x":"p/w \"ö+1"}"#, r#"{"x":"[secret:s]"}"#);
        check(secret, "?q=p%2Fw%20%22%C3%B6%2B1&r", "?q=[secret:s]&r");
        check(secret, "?q=p%2fw%20%22%c3%b6%2b1&r", "?q=[secret:s]&r");
        check(secret, "q=p%2Fw+%22%C3%B6%2B1", "q=[secret:s]");
        check(secret, &STANDARD.encode("p/w \"ö+1"), "[secret:s]");
        check(&[("s", "a-b.c")], "?q=a%2Db%2Ec", "?q=[secret:s]");
        check(&[("s", "abc")], "abc", "abc");
        check(&[("s", "abcd"), ("l", "abcdef")], "abcdef abcde", "[secret:l] [secret:s]e");
        check(&[("s", "secret")], "secretsecret", "[secret:s][secret:s]");
        check(&[], "text", "text");
    }

    #[test]
    fn values_are_masked_at_every_leaf() {
        let value = Value::from_json(br#"{"k-12345":["x12345",12345,123456,null]}"#).unwrap();
        let masked = masker(&[("n", "12345")]).value(&value).to_json();
        assert_eq!(masked, r#"{"k-[secret:n]":["x[secret:n]","[secret:n]",123456,null]}"#);
    }

    proptest! {
        #[test]
        fn a_stream_is_masked_like_its_whole(text in "[ab]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..6)) {
            let masker = masker(&[("s", "abababab"), ("t", "bbabbabbab")]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut stream = masker.stream();
            let mut found = Vec::new();
            for pair in cuts.windows(2) {
                let part = Bytes::copy_from_slice(&text.as_bytes()[pair[0]..pair[1]]);
                found.extend_from_slice(&stream.push(part));
            }
            found.extend_from_slice(&stream.finish());
            prop_assert_eq!(String::from_utf8(found).unwrap(), masker.text(&text));
        }
    }
}
