//! API keys: their form, how they are made, and how they are recognised without being kept.
//!
//! `flx_` + 22 characters of key id + 43 characters of secret (256 bits) + 6 characters of CRC-32
//! over everything before, all in base 62. The checksum tells a key that was cut off or mistyped
//! from one that does not exist, and lets scanners find leaked ones. Only the SHA-256 of a key is
//! stored.

use flux_model::{KeyId, Tenant, Timestamp};
use flux_store::access::KeyRow;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::scope::Scope;

/// What every key begins with.
pub(crate) const PREFIX: &str = "flx_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_CHARS: usize = 22;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const KEY_CHARS: usize = PREFIX.len() + ID_CHARS + SECRET_CHARS + CHECKSUM_CHARS;

/// An API key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Whose data it opens.
    pub tenant: Tenant,
    /// Its name, for people.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it stops to work.
    pub expires_at: Option<Timestamp>,
}

/// A key that was just made: the text is shown once, the row is stored.
#[derive(Clone)]
pub struct IssuedKey {
    /// What the holder sends.
    pub text: String,
    /// What is kept of it.
    pub row: KeyRow,
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

impl NewKey {
    /// Makes the key.
    ///
    /// # Errors
    /// [`NoRandomness`] if the system gives no random bytes.
    pub fn issue(self, now: Timestamp) -> Result<IssuedKey, NoRandomness> {
        let mut random = [0_u8; 16 + 32];
        getrandom::fill(&mut random).map_err(|_| NoRandomness)?;
        let (for_id, secret) = random.split_at(16);
        let id = KeyId::new(now, u128::from_be_bytes(for_id.try_into().expect("16 bytes were split off")));
        let text = write(id, secret);
        let row = KeyRow {
            id,
            tenant: self.tenant,
            hash: hash(&text),
            name: self.name,
            scopes: self.scopes.iter().map(ToString::to_string).collect(),
            created_at: now,
            expires_at: self.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        Ok(IssuedKey { text, row })
    }
}

fn write(id: KeyId, secret: &[u8]) -> String {
    let mut text = String::with_capacity(KEY_CHARS);
    text.push_str(PREFIX);
    text.push_str(&base62(&id.bits().to_be_bytes(), ID_CHARS));
    text.push_str(&base62(secret, SECRET_CHARS));
    let checksum = crc32fast::hash(text.as_bytes());
    text.push_str(&base62(&checksum.to_be_bytes(), CHECKSUM_CHARS));
    text
}

/// Whether a text has the form of a key, checksum included. Says nothing about its existence.
pub fn is_well_formed(text: &str) -> bool {
    if text.len() != KEY_CHARS || !text.starts_with(PREFIX) || !text.is_ascii() {
        return false;
    }
    let (body, checksum) = text.split_at(KEY_CHARS - CHECKSUM_CHARS);
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_CHARS) == checksum
}

/// What a key is stored and looked up by.
pub(crate) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Whether two hashes are the same, in constant time.
pub(crate) fn is_same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}

/// The bytes as a number in base 62, filled up with zeros to `width`.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![DIGITS[0]; width];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("a remainder below 62 keeps the quotient in a byte");
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    String::from_utf8(digits).expect("base 62 is ASCII")
}

#[cfg(test)]
mod tests {
    use flux_model::{OrganizationId, ProjectId};

    use super::*;

    fn issue() -> IssuedKey {
        let now = Timestamp::from_millis(1_763_000_000_000);
        let tenant = Tenant { organization: OrganizationId::new(now, 1), project: ProjectId::new(now, 1) };
        let new = NewKey { tenant, name: "ci".into(), scopes: vec![Scope::FlowsRead], expires_at: None };
        new.issue(now).unwrap()
    }

    #[test]
    fn base_62_is_exact() {
        assert_eq!(base62(&[0], 3), "000");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[255; 16], ID_CHARS), "7n42DGM5Tflk9n8mt7Fhc7");
        assert_eq!(base62(&[255; 32], SECRET_CHARS).len(), SECRET_CHARS);
        assert_ne!(base62(&[255; 32], SECRET_CHARS).as_bytes()[0], b'0', "the width is what 256 bits need");
    }

    #[test]
    fn a_key_is_recognised_and_its_text_is_not_kept() {
        let issued = issue();
        assert_eq!(issued.text.len(), KEY_CHARS);
        assert!(is_well_formed(&issued.text));
        assert!(is_same(&issued.row.hash, &hash(&issued.text)));
        assert!(!format!("{:?}", issued.row).contains(&issued.text));
        assert_ne!(issued.text, issue().text);
    }

    #[test]
    fn every_single_change_breaks_the_checksum() {
        let text = issue().text;
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'7' { b'8' } else { b'7' };
            assert!(!is_well_formed(&String::from_utf8(changed).unwrap()), "at {place}");
        }
        for wrong in ["", "flx_", &text[..text.len() - 1], &format!("{text}0"), &format!("{}é", &text[..73])]
        {
            assert!(!is_well_formed(wrong), "{wrong}");
        }
    }
}
