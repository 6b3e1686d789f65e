//! What the record keeps of a body that passes by: its beginning if it is text, else its digest.

use flux_model::Value;
use flux_model::value::Object;
use sha2::{Digest as _, Sha256};

use crate::mask::Masker;

/// Bytes of a streamed body that its record keeps.
pub const RECORDED_BODY_BYTES_MAX: usize = 256 * 1024;

/// A body that passes by.
#[derive(Default)]
pub(crate) struct Kept {
    begin: Begin,
    /// How many bytes passed.
    bytes: u64,
    /// Whether the last one did.
    ended: bool,
}

enum Begin {
    /// UTF-8 as far as it was looked at: all of it up to `checked`, then at most a part of a
    /// character.
    Text { text: Vec<u8>, checked: usize },
    /// Not UTF-8: only counted and digested.
    Binary(Sha256),
}

impl Default for Begin {
    fn default() -> Self {
        Self::Text { text: Vec::new(), checked: 0 }
    }
}

impl Kept {
    /// A body that passed as a whole.
    pub(crate) fn whole(body: &[u8]) -> Self {
        let mut kept = Self::default();
        kept.push(body);
        kept.end();
        kept
    }

    /// The next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        match &mut self.begin {
            Begin::Binary(digest) => digest.update(piece),
            Begin::Text { text, checked } => {
                let before = text.len();
                text.extend_from_slice(&piece[..piece.len().min(RECORDED_BODY_BYTES_MAX - before)]);
                match std::str::from_utf8(&text[*checked..]) {
                    Ok(_) => *checked = text.len(),
                    Err(error) if error.error_len().is_none() => *checked += error.valid_up_to(),
                    Err(_) => {
                        let digest = Sha256::new().chain_update(&text[..before]).chain_update(piece);
                        self.begin = Begin::Binary(digest);
                    }
                }
            }
        }
    }

    /// There are no more pieces.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// How many bytes passed, if there might have been more.
    pub(crate) fn partial(&self) -> Option<u64> {
        (!self.ended).then_some(self.bytes)
    }

    /// The body as it is recorded: JSON if `media` says so and it is, else text if it is UTF-8,
    /// cut where it is too long, else `{"$bytes": {"hash", "bytes"}}`.
    pub(crate) fn show(&self, media: &str, masker: &Masker) -> Value {
        let (text, checked) = match &self.begin {
            Begin::Binary(digest) => return self.summary(digest.clone()),
            Begin::Text { text, checked } => (text, *checked),
        };
        let is_cut = self.bytes > text.len() as u64;
        // Everything up to `checked` was found to be UTF-8.
        let shown = std::str::from_utf8(&text[..checked]).unwrap_or_default();
        if is_cut {
            let shown = masker.beginning(shown);
            let bytes = self.bytes;
            return Value::from(format!(
                "{shown}… [cut: RECORDED_BODY_BYTES_MAX = {RECORDED_BODY_BYTES_MAX} of {bytes} bytes]"
            ));
        }
        if !self.ended {
            return Value::from(masker.beginning(shown));
        }
        if checked < text.len() {
            return self.summary(Sha256::new().chain_update(text));
        }
        if text.is_empty() {
            return Value::Null;
        }
        if is_json_type(media)
            && let Ok(value) = Value::from_json(without_mark(text))
        {
            return masker.value(&value);
        }
        Value::from(masker.text(shown))
    }

    /// Writes the body into the record of a request or an answer, and whether it is all of it.
    pub(crate) fn show_in(&self, record: &mut Object, media: &str, masker: &Masker) {
        record.insert("body".into(), self.show(media, masker));
        if let Some(bytes) = self.partial() {
            record.insert("partial".into(), Value::Bool(true));
            record.insert("bytes".into(), Value::from(bytes));
        }
    }

    fn summary(&self, digest: Sha256) -> Value {
        let hash = Value::from(hex::encode(digest.finalize()));
        let summary = Value::object([("hash", hash), ("bytes", Value::from(self.bytes))]);
        Value::object([("$bytes", summary)])
    }
}

/// A media type without its parameters, in lower case.
pub(crate) fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether bodies of this media type are JSON.
pub(crate) fn is_json_type(media: &str) -> bool {
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

/// `bytes` without the byte order mark that some servers put before JSON.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use flux_model::journal::object_name;

    use super::*;

    fn summary(bytes: &[u8]) -> String {
        format!(r#"{{"$bytes":{{"hash":"{}","bytes":{}}}}}"#, object_name(bytes), bytes.len())
    }

    /// `body` in pieces of every size is shown as `expect`.
    fn check(media: &str, body: &[u8], expect: &str) {
        let mut masker = Masker::default();
        masker.add("s", "t0p/secret");
        for size in 1..=body.len().max(1) {
            let mut kept = Kept::default();
            body.chunks(size).for_each(|piece| kept.push(piece));
            kept.end();
            assert_eq!(kept.show(media, &masker).to_json(), expect, "{size}");
            assert_eq!(kept.partial(), None);
        }
    }

    #[test]
    fn bodies_are_shown_as_what_they_are() {
        let json = "application/problem+json";
        check(json, br#"{"a":"t0p\/secret"}"#, r#"{"a":"[secret:s]"}"#);
        check(json, b"\xef\xbb\xbf[1]", "[1]");
        check(json, b"{t0p/secret", r#""{[secret:s]""#);
        check("text/plain", b"[1]", "\"[1]\"");
        check("", "aö€😀t0p%2Fsecret".as_bytes(), "\"aö€😀[secret:s]\"");
        check(json, b"", "null");
        for binary in [&b"\xff\xfe"[..], b"text\xc3", b"\xc3\x28", "a😀".as_bytes().split_last().unwrap().1]
        {
            check(json, binary, &summary(binary));
        }
    }

    #[test]
    fn what_is_long_is_cut_and_never_within_a_secret() {
        let mut masker = Masker::default();
        masker.add("s", "t0p/secret");
        let shown = |kept: &Kept| kept.show("", &masker).as_str().map(str::to_owned).unwrap_or_default();
        for (end, expect) in [("aaaa", "aaaa"), ("t0p/", ""), ("a%74", "a"), ("%740", ""), ("xx€", "xx")] {
            let mut body = "a".repeat(RECORDED_BODY_BYTES_MAX - 4) + end;
            body.push_str("z".repeat(RECORDED_BODY_BYTES_MAX + 7 - body.len()).as_str());
            let note = "… [cut: RECORDED_BODY_BYTES_MAX = 262144 of 262151 bytes]";
            let expect = "a".repeat(RECORDED_BODY_BYTES_MAX - 4) + expect + note;
            assert!(shown(&Kept::whole(body.as_bytes())) == expect, "{end}");
        }
        let mut partial = Kept::default();
        partial.push(b"a t0p/secret b t0p/sec");
        assert_eq!((shown(&partial).as_str(), partial.partial()), ("a [secret:s] b ", Some(22)));
        let mut large = Kept::whole(&[0xff; 3]);
        large.push(&vec![0; RECORDED_BODY_BYTES_MAX]);
        let all = [vec![0xff; 3], vec![0; RECORDED_BODY_BYTES_MAX]].concat();
        assert_eq!(large.show("", &masker).to_json(), summary(&all));
    }
}
