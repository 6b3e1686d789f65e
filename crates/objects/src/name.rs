//! Names of objects: the SHA-256 of their content.

use std::fmt;
use std::str::FromStr;

use flux_model::journal::object_name;

/// The name of an object: SHA-256 of its content, 64 hexadecimal digits in lower case. Nothing else
/// can become a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

/// A text that cannot name an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of an object: 64 hexadecimal digits in lower case")]
pub struct InvalidName(String);

impl ObjectName {
    /// The name of the object with this content.
    pub fn of(content: &[u8]) -> Self {
        Self(object_name(content))
    }

    pub(crate) fn from_hash(hash: impl AsRef<[u8]>) -> Self {
        Self(hex::encode(hash))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for ObjectName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_are_names() {
        let name = ObjectName::of(b"x");
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        let upper = name.as_str().to_uppercase();
        for wrong in ["", "../../etc/passwd", &upper, &name.as_str()[1..], &"é".repeat(32)] {
            assert!(wrong.parse::<ObjectName>().is_err(), "{wrong}");
        }
    }
}
