//! Points in time as the APIs write and read them: RFC 3339, UTC, milliseconds.

use flux_model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A time in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(as = Timestamp, value_type = String, format = DateTime, example = "2026-11-21T04:08:23.000Z")]
pub(crate) struct Moment(pub(crate) Timestamp);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        match chrono::DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Ok(Self(time.to_utc().into())),
            Err(_) => {
                let given: String = text.chars().take(40).collect();
                let message = format!("`{given}` is not an RFC 3339 time such as 2026-11-21T04:08:23Z");
                Err(serde::de::Error::custom(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let read = serde_json::from_value::<Moment>(text.into()).ok();
        let written = read.map(|moment| moment.0.to_string());
        assert_eq!(written.as_deref(), expected, "{text}");
    }

    #[test]
    fn times_with_a_zone_are_read() {
        check("2026-11-21T04:08:23Z", Some("2026-11-21T04:08:23.000Z"));
        check("2026-11-21T04:08:23.5+02:00", Some("2026-11-21T02:08:23.500Z"));
        check("2026-11-21", None);
        check("2026-11-21T04:08:23", None);
        check("1763000000000", None);
    }
}
