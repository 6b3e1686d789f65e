//! Cursors: where a page ended, sealed so that nobody can read or change them. A cursor belongs to one
//! query shape and one tenant. The same place gives the same cursor, so that a replay sees no difference.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use flux_model::Value;
use sha2::{Digest, Sha256};

use crate::DataError;
use crate::shape::QueryShape;

const NONCE_BYTES: usize = 24;
/// A cursor holds the values of the columns that are sorted by.
const CURSOR_BYTES_MAX: usize = 16 * 1024;

/// Makes and reads cursors with one key.
pub(crate) struct Sealer {
    key: [u8; 32],
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(Key::from_slice(&key)), key }
    }

    /// The cursor for these values of the columns that are sorted by; none if they are too long for one.
    pub(crate) fn seal(&self, values: &[Value], shape: QueryShape, owner: Option<&Value>) -> Option<String> {
        let text = Value::array(values.to_vec()).to_json();
        if text.len() > CURSOR_BYTES_MAX / 2 {
            return None;
        }
        let bound = bound_to(shape, owner);
        // The nonce follows from what is sealed: equal input gives an equal cursor, other input another
        // nonce.
        let digest = Sha256::new().chain_update(self.key).chain_update(&bound).chain_update(&text).finalize();
        let nonce = &digest[..NONCE_BYTES];
        let payload = Payload { msg: text.as_bytes(), aad: &bound };
        let sealed = self.cipher.encrypt(XNonce::from_slice(nonce), payload).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce, &sealed].concat()))
    }

    /// The values that a cursor holds.
    pub(crate) fn open(
        &self,
        cursor: &str,
        shape: QueryShape,
        owner: Option<&Value>,
        count: usize,
    ) -> Result<Vec<Value>, DataError> {
        let refused = DataError::Cursor {
            reason: "it is damaged, or belongs to another query, order or caller; begin without one",
        };
        if cursor.len() > CURSOR_BYTES_MAX {
            return Err(refused);
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(cursor) else { return Err(refused) };
        let Some((nonce, sealed)) = bytes.split_at_checked(NONCE_BYTES) else { return Err(refused) };
        let payload = Payload { msg: sealed, aad: &bound_to(shape, owner) };
        let Ok(text) = self.cipher.decrypt(XNonce::from_slice(nonce), payload) else { return Err(refused) };
        match Value::from_json(&text) {
            Ok(Value::Array(values)) if values.len() == count => Ok(values.to_vec()),
            Ok(_) | Err(_) => Err(refused),
        }
    }
}

fn bound_to(shape: QueryShape, owner: Option<&Value>) -> Vec<u8> {
    let mut bound = shape.bits().to_be_bytes().to_vec();
    if let Some(owner) = owner {
        bound.extend(owner.to_json().into_bytes());
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn shape(table: &str) -> QueryShape {
        QueryShape::of(&Query::parse(&Value::object([("table", Value::from(table))])).unwrap())
    }

    #[test]
    fn a_cursor_opens_only_where_it_was_made_and_unchanged() {
        let sealer = Sealer::new([7; 32]);
        let (values, owner) = (vec![Value::from(3_i64), Value::Null], Value::from("a"));
        let cursor = sealer.seal(&values, shape("orders"), Some(&owner)).unwrap();
        assert_eq!(sealer.open(&cursor, shape("orders"), Some(&owner), 2), Ok(values.clone()));
        assert_eq!(sealer.seal(&values, shape("orders"), Some(&owner)).unwrap(), cursor);
        assert!(sealer.open(&cursor, shape("items"), Some(&owner), 2).is_err(), "another query");
        assert!(sealer.open(&cursor, shape("orders"), Some(&"b".into()), 2).is_err(), "another tenant");
        assert!(sealer.open(&cursor, shape("orders"), None, 2).is_err(), "no tenant");
        assert!(sealer.open(&cursor, shape("orders"), Some(&owner), 1).is_err(), "another order");
        assert!(Sealer::new([8; 32]).open(&cursor, shape("orders"), Some(&owner), 2).is_err(), "another key");
        for place in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(sealer.open(&changed, shape("orders"), Some(&owner), 2).is_err(), "{place}");
        }
        for wrong in ["", "x", "äöü", &"A".repeat(20_000)] {
            assert!(sealer.open(wrong, shape("orders"), Some(&owner), 2).is_err());
        }
    }
}
