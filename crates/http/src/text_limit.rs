//! How long a text in a request may be, with an error that names limit and measure.

use serde::{Deserialize, Deserializer};

/// The bounds of a text, in characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextLimit {
    min: usize,
    max: usize,
    /// The name of the constant that holds it.
    name: &'static str,
}

impl TextLimit {
    pub(crate) const fn new(min: usize, max: usize, name: &'static str) -> Self {
        Self { min, max, name }
    }

    /// Reads a text that must be there.
    pub(crate) fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        self.check(String::deserialize(deserializer)?)
    }

    /// Reads a text that may be absent.
    pub(crate) fn read_optional<'de, D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| self.check(text)).transpose()
    }

    fn check<E: serde::de::Error>(self, text: String) -> Result<String, E> {
        let Self { min, max, name } = self;
        let length = text.chars().count();
        if (min..=max).contains(&length) {
            return Ok(text);
        }
        Err(E::custom(format!("{length} characters are not between {min} and {max} ({name})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_count_and_not_bytes() {
        let limit = TextLimit::new(1, 3, "NAME_MAX");
        let read = |text: &str| limit.read(serde_json::Value::from(text)).map_err(|error| error.to_string());
        assert_eq!(read("äöü"), Ok("äöü".to_owned()));
        assert_eq!(read(""), Err("0 characters are not between 1 and 3 (NAME_MAX)".to_owned()));
        assert!(read("abcd").is_err());
        assert_eq!(limit.read_optional(serde_json::Value::Null).unwrap(), None);
    }
}
