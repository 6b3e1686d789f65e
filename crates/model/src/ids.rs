//! Every id of Flux, in one list.
//!
//! An id is 128 bits: 48 bits of milliseconds since 1970 and 80 bits that the caller supplies
//! (random from a driver, a hash where the id must be derivable), so ids sort by creation time.
//! As text it is a prefix and 26 digits of Crockford base 32 in lower case:
//! `exec_01k2m3n4p5q6r7s8t9v0w1x2y3`. This module refuses to create randomness or read a clock.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGIT_COUNT: usize = 26;
const RANDOM_BITS: u32 = 80;
const RANDOM_MASK: u128 = (1 << RANDOM_BITS) - 1;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_ followed by 26 letters and digits")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
    /// The prefix that was expected, without underscore.
    pub prefix: &'static str,
}

fn encode(prefix: &str, bits: u128, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0u8; DIGIT_COUNT];
    for (index, digit) in digits.iter_mut().enumerate() {
        let shift = 5 * (DIGIT_COUNT - 1 - index);
        *digit = DIGITS[((bits >> shift) & 31) as usize];
    }
    let text = std::str::from_utf8(&digits).map_err(|_| fmt::Error)?;
    write!(out, "{prefix}_{text}")
}

fn decode(prefix: &'static str, text: &str) -> Result<u128, InvalidId> {
    let invalid = || InvalidId { text: text.chars().take(64).collect(), prefix };
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|digits| digits.len() == DIGIT_COUNT)
        .ok_or_else(invalid)?;
    let mut bits: u128 = 0;
    for byte in digits.bytes() {
        let digit = DIGITS.iter().position(|known| *known == byte).ok_or_else(invalid)?;
        if bits >> 123 != 0 {
            return Err(invalid());
        }
        bits = (bits << 5) | digit as u128;
    }
    Ok(bits)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The prefix of the text form, without underscore.
            pub const PREFIX: &'static str = $prefix;

            /// An id made at `at`; only the lower 80 bits of `random` are used.
            pub fn new(at: Timestamp, random: u128) -> Self {
                let millis = u128::from(at.millis().max(0).unsigned_abs());
                Self((millis << RANDOM_BITS) | (random & RANDOM_MASK))
            }

            /// The id derived from `seed` at `at`: the same arguments give the same id.
            pub fn derived(at: Timestamp, seed: &[&[u8]]) -> Self {
                let mut hash = Sha256::new();
                for part in seed {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
                let digest = hash.finalize();
                let mut bytes = [0u8; 16];
                bytes.copy_from_slice(&digest[..16]);
                Self::new(at, u128::from_be_bytes(bytes))
            }

            /// When it was made, as its first 48 bits say.
            pub const fn made_at(self) -> Timestamp {
                Timestamp::from_millis((self.0 >> RANDOM_BITS) as i64)
            }

            /// The 128 bits.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// The id with these 128 bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0, out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                decode($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-9a-hjkmnp-tv-z]{26}$"),
                })
            }
        }
    )*};
}

ids! {
    /// A document of the deployment: one published or draft version of a flow.
    FlowVersionId = "flv";
    /// One run of a flow or a function, or one captured from a customer's app.
    ExecutionId = "exec";
    /// An API key.
    KeyId = "key";
    /// The tenant boundary: who owns projects.
    OrganizationId = "org";
    /// A folder of flows, functions, secrets and executions.
    ProjectId = "prj";
    /// A request for a human decision.
    ReviewId = "rev";
}

/// Whose data a row or a call belongs to. Taken from the verified caller, never from a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenant {
    /// The organization.
    pub organization: OrganizationId,
    /// The project within it.
    pub project: ProjectId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_sorts_by_time() {
        let early = ExecutionId::new(Timestamp::from_millis(1), u128::MAX);
        let late = ExecutionId::new(Timestamp::from_millis(2), 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.to_string().parse(), Ok(late));
    }

    #[test]
    fn other_prefixes_lengths_and_letters_are_refused() {
        let id = ExecutionId::new(Timestamp::from_millis(5), 7).to_string();
        for wrong in [id.replace("exec", "rev"), id[..30].to_owned(), id.replace('0', "u"), String::new()] {
            let refused = wrong.parse::<ExecutionId>();
            assert!(refused.is_err(), "{wrong} was accepted");
        }
        assert!("exec_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ExecutionId>().is_err(), "over 128 bits");
    }

    #[test]
    fn derived_ids_repeat_and_separate_their_parts() {
        let at = Timestamp::from_millis(9);
        assert_eq!(ReviewId::derived(at, &[b"a", b"b"]), ReviewId::derived(at, &[b"a", b"b"]));
        assert_ne!(ReviewId::derived(at, &[b"ab", b""]), ReviewId::derived(at, &[b"a", b"b"]));
    }
}
