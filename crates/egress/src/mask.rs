//! Masking by content: plaintexts of secrets are replaced wherever they come back.
//!
//! Servers echo what they were sent, plainly or encoded, and user code puts secrets where it
//! likes. Every encoding a request may have used is searched for. Values shorter than
//! [`SECRET_MASKED_BYTES_MIN`] are left alone: they occur everywhere by chance.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use flux_model::Value;
use flux_model::value::Object;
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::scope::masked_name;

/// Bytes a plaintext must have to be searched for in texts.
pub const SECRET_MASKED_BYTES_MIN: usize = 4;
/// Bytes a plaintext must have to be searched for in files and streams, where anything can occur
/// by chance.
pub(crate) const SECRET_MASKED_IN_FILES_BYTES_MIN: usize = 8;

/// Masks plaintexts that were handed out: to user code that asked for a secret. Clones share one
/// list, so what is added later is masked by all of them.
#[derive(Clone, Default)]
pub struct ContentMasker {
    masker: Arc<RwLock<Masker>>,
}

impl ContentMasker {
    /// Also masks `plain`, as it is and in the encodings of URLs, forms, JSON and Base64, as
    /// `[secret:name]`. A plaintext shorter than [`SECRET_MASKED_BYTES_MIN`] is not masked; nor is
    /// a part or a digest of one.
    pub fn add(&self, name: &str, plain: &str) {
        self.masker.write().add(name, plain);
    }

    /// `text` masked.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.masker.read().changed(text).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// `value` masked: texts, member names, and numbers that are a plaintext as a whole.
    pub fn value(&self, value: &Value) -> Value {
        self.masker.read().value(value)
    }

    /// `other` with everything that is masked here.
    pub(crate) fn join<'m>(&self, other: &'m Masker) -> Cow<'m, Masker> {
        let masker = self.masker.read();
        if masker.is_empty() {
            return Cow::Borrowed(other);
        }
        let mut joined = other.clone();
        joined.needles.extend(masker.needles.iter().cloned());
        joined.sort();
        Cow::Owned(joined)
    }
}

impl fmt::Debug for ContentMasker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ContentMasker")
    }
}

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

/// Whether a text begins with a plaintext.
enum Match {
    /// With this many bytes of it.
    Yes(usize),
    /// As far as the text goes.
    Open,
    No,
}

/// What comes after the text that is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Nothing,
    Unknown,
}

impl Needle {
    fn begins(&self, text: &[u8]) -> Match {
        let plain = self.plain.as_bytes();
        if text.starts_with(plain) {
            return Match::Yes(plain.len());
        }
        match self.begins_encoded(text) {
            Match::No if plain.starts_with(text) => Match::Open,
            found @ (Match::Yes(_) | Match::Open | Match::No) => found,
        }
    }

    /// Every byte may be percent-encoded, because URL parsers, forms and people encode different
    /// ones; a space may be a plus.
    fn begins_encoded(&self, text: &[u8]) -> Match {
        let mut rest = text;
        for byte in self.plain.bytes() {
            rest = match rest {
                [b'%', high, low, rest @ ..] if unhex(*high, *low) == Some(byte) => rest,
                [found, rest @ ..] if *found == byte || (*found == b'+' && byte == b' ') => rest,
                [] | [b'%'] | [b'%', _] => return Match::Open,
                [_, ..] => return Match::No,
            };
        }
        Match::Yes(text.len() - rest.len())
    }

    /// The bytes that a match may begin with.
    fn first_bytes(&self) -> impl Iterator<Item = u8> {
        let first = self.plain.as_bytes().first().copied();
        let plus = (first == Some(b' ')).then_some(b'+');
        first.into_iter().chain(plus).chain([b'%'])
    }
}

fn unhex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

impl Masker {
    /// Also masks `plain`, as it is and in the encodings that a request may send it in.
    pub(crate) fn add(&mut self, name: &str, plain: &str) {
        if plain.len() < SECRET_MASKED_BYTES_MIN {
            return;
        }
        let json = serde_json::to_string(plain).unwrap_or_default();
        let forms = [
            plain.to_owned(),
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

    /// Also replaces `plain`, exactly as it is or percent-encoded, by `shown`.
    pub(crate) fn add_shown(&mut self, plain: String, shown: &str) {
        if plain.len() >= SECRET_MASKED_BYTES_MIN && !self.needles.iter().any(|known| *known.plain == plain) {
            self.needles.push(Needle { plain: Zeroizing::new(plain), shown: Arc::from(shown) });
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.plain.len()));
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

    /// Whether a plaintext is in `bytes` that hardly is there by chance.
    pub(crate) fn finds(&self, bytes: &[u8]) -> bool {
        let long = self.long();
        let first = long.first_bytes();
        (0..bytes.len()).any(|at| {
            let may_begin = first[usize::from(bytes[at])];
            may_begin && matches!(long.find(&bytes[at..], Tail::Nothing), Found::Yes { .. })
        })
    }

    /// `text` masked.
    pub(crate) fn text(&self, text: &str) -> String {
        self.changed(text).unwrap_or_else(|| text.to_owned())
    }

    /// `text`, the beginning of something longer, masked up to where a plaintext may have been cut.
    pub(crate) fn beginning(&self, text: &str) -> String {
        let mut masked = Vec::with_capacity(text.len());
        self.replace(text.as_bytes(), Tail::Unknown, &mut masked);
        String::from_utf8_lossy(&masked).into_owned()
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
        StreamMasker { masker: self.long(), held: Vec::new() }
    }

    /// Of what is masked, what is searched for where anything can occur by chance.
    fn long(&self) -> Self {
        let long = |needle: &&Needle| needle.plain.len() >= SECRET_MASKED_IN_FILES_BYTES_MIN;
        Self { needles: self.needles.iter().filter(long).cloned().collect() }
    }

    /// `text` masked, if that changes it. Matches in UTF-8 begin and end between characters.
    fn changed(&self, text: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut masked = Vec::with_capacity(text.len());
        self.replace(text.as_bytes(), Tail::Nothing, &mut masked);
        (masked != text.as_bytes()).then(|| String::from_utf8_lossy(&masked).into_owned())
    }

    /// Appends `bytes` masked to `out`, as far as `tail` cannot change what is a match; answers how
    /// many bytes were read.
    fn replace(&self, bytes: &[u8], tail: Tail, out: &mut Vec<u8>) -> usize {
        let first = self.first_bytes();
        let (mut copied, mut at) = (0, 0);
        while at < bytes.len() {
            let found = if first[usize::from(bytes[at])] { self.find(&bytes[at..], tail) } else { Found::No };
            match found {
                Found::Yes { bytes: length, shown } => {
                    out.extend_from_slice(&bytes[copied..at]);
                    out.extend_from_slice(shown.as_bytes());
                    at += length;
                    copied = at;
                }
                Found::Open => break,
                Found::No => at += 1,
            }
        }
        out.extend_from_slice(&bytes[copied..at]);
        at
    }

    fn first_bytes(&self) -> [bool; 256] {
        let mut first = [false; 256];
        for byte in self.needles.iter().flat_map(Needle::first_bytes) {
            first[usize::from(byte)] = true;
        }
        first
    }

    /// The plaintext that `text` begins with.
    fn find(&self, text: &[u8], tail: Tail) -> Found<'_> {
        for needle in &self.needles {
            match needle.begins(text) {
                Match::Yes(bytes) => return Found::Yes { bytes, shown: &needle.shown },
                Match::Open if tail == Tail::Unknown => return Found::Open,
                Match::Open | Match::No => {}
            }
        }
        Found::No
    }
}

enum Found<'m> {
    Yes {
        bytes: usize,
        shown: &'m str,
    },
    /// That depends on what comes after the text.
    Open,
    No,
}

/// Masks a stream of bytes; a plaintext may be spread over chunks.
pub(crate) struct StreamMasker {
    masker: Masker,
    /// The end of what came, as far as it may be the beginning of a plaintext.
    held: Vec<u8>,
}

impl StreamMasker {
    /// What of the stream up to and with `chunk` is certain.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.masker.is_empty() {
            return chunk;
        }
        self.held.extend_from_slice(&chunk);
        let mut masked = Vec::with_capacity(self.held.len());
        let read = self.masker.replace(&self.held, Tail::Unknown, &mut masked);
        self.held.drain(..read);
        masked.into()
    }

    /// The rest, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        let mut masked = Vec::with_capacity(held.len());
        self.masker.replace(&held, Tail::Nothing, &mut masked);
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
        // As URL parsers leave it, and what is encoded twice over or begins like an escape.
        check(secret, "/p/w%20%22%C3%B6+1?", "/[secret:s]?");
        check(
            &[("s", "a%b c")],
            "a%b%20c a%25b+c a%25b%20%63 a%b c a%b",
            "[secret:s] [secret:s] [secret:s] [secret:s] a%b",
        );
        check(&[("s", "=?=?=?")], "PT89Pz0%2F PT89Pz0/ PT89Pz0_", "[secret:s] [secret:s] [secret:s]");
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

    #[test]
    fn clones_of_a_content_masker_share_one_list() {
        let masker = ContentMasker::default();
        let clone = masker.clone();
        assert_eq!(clone.text("a s3cret"), "a s3cret");
        masker.add("s", "s3cret");
        masker.add("short", "abc");
        assert_eq!(clone.text("a s3cret abc"), "a [secret:s] abc");
        assert_eq!(clone.value(&Value::from("s3cret")), Value::from("[secret:s]"));
        assert_eq!(format!("{clone:?}"), "ContentMasker");
    }

    proptest! {
        #[test]
        fn a_stream_is_masked_like_its_whole(text in "([ab]|%61|%62|%6){0,60}", cuts in prop::collection::vec(0_usize..60, 0..6)) {
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
