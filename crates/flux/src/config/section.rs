//! How a section is written down: once, with each field's meaning, unit and default, from which
//! come the struct, its reading, its variables and its documentation.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use flux_model::diagnostic::nearest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::invalid;
use crate::error::CommandError;

/// A field of a section.
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it means, with its unit.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is compared with it"))]
    pub(crate) doc: &'static str,
    /// Reads the text of a variable.
    pub(crate) read: fn(&str) -> Result<Value, String>,
}

/// A part of the configuration.
pub(crate) trait Section: DeserializeOwned + Serialize + Default {
    /// Its fields.
    const FIELDS: &'static [Field];
}

/// Writes a section down.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident { $($(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr;)* }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::section::Section for $name {
            const FIELDS: &'static [$crate::config::section::Field] = &[$(
                $crate::config::section::Field {
                    name: stringify!($field),
                    doc: concat!($($doc),+),
                    read: <$kind as $crate::config::section::Setting>::read,
                },
            )*];
        }

        impl $name {
            /// Its fields.
            pub(crate) const FIELDS: &'static [$crate::config::section::Field] =
                <Self as $crate::config::section::Section>::FIELDS;
        }
    };
}
pub(crate) use section;

/// A type that a field can have.
pub(crate) trait Setting {
    /// Reads it from the text of a variable.
    fn read(text: &str) -> Result<Value, String>;
}

impl Setting for String {
    fn read(text: &str) -> Result<Value, String> {
        Ok(Value::String(text.to_owned()))
    }
}

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Value, String> {
        String::read(text)
    }
}

impl Setting for SocketAddr {
    fn read(text: &str) -> Result<Value, String> {
        let invalid = |_| format!("`{text}` is not an address and port, such as 127.0.0.1:4000");
        text.parse::<Self>().map(|address| Value::String(address.to_string())).map_err(invalid)
    }
}

impl Setting for u32 {
    fn read(text: &str) -> Result<Value, String> {
        text.parse::<Self>().map(|number| Value::Integer(number.into())).map_err(|_| not_a_number(text))
    }
}

impl Setting for u64 {
    fn read(text: &str) -> Result<Value, String> {
        let number: i64 = text.parse().map_err(|_| not_a_number(text))?;
        if number < 0 { Err(not_a_number(text)) } else { Ok(Value::Integer(number)) }
    }
}

impl Setting for usize {
    fn read(text: &str) -> Result<Value, String> {
        u64::read(text)
    }
}

fn not_a_number(text: &str) -> String {
    format!("`{text}` is not a whole number from 0")
}

impl<T: Setting> Setting for Option<T> {
    fn read(text: &str) -> Result<Value, String> {
        T::read(text)
    }
}

/// Separated by commas.
impl<T: Setting> Setting for Vec<T> {
    fn read(text: &str) -> Result<Value, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(T::read).collect::<Result<Vec<Value>, String>>().map(Value::Array)
    }
}

/// A text that is never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretText(zeroize::Zeroizing<String>);

impl SecretText {
    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

impl Setting for SecretText {
    fn read(text: &str) -> Result<Value, String> {
        String::read(text)
    }
}

/// Reads a section out of its table.
pub(super) fn read<S: Section>(name: &str, table: Option<Value>) -> Result<S, CommandError> {
    let Some(table) = table else { return Ok(S::default()) };
    serde_path_to_error::deserialize(table).map_err(|error| {
        let place = error.path().to_string();
        let message = error.into_inner().to_string();
        let message = message.trim_end();
        let error = match place.as_str() {
            "." => invalid(format!("[{name}]: {message}")),
            place => invalid(format!("[{name}] {place}: {message}")),
        };
        match near_field::<S>(message) {
            Some(near) => error.hint(format!("write `{near}`")),
            None => error,
        }
    })
}

fn near_field<S: Section>(message: &str) -> Option<&'static str> {
    let given = message.strip_prefix("unknown field `")?.split('`').next()?;
    nearest(given, S::FIELDS.iter().map(|field| field.name))
}
