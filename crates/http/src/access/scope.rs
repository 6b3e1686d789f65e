//! What an API key allows.

use std::fmt;
use std::str::FromStr;

use flux_model::diagnostic::nearest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
pub enum Scope {
    /// See flows, functions and node types, preview templates.
    #[serde(rename = "flows:read")]
    FlowsRead,
    /// Save, publish, switch and delete flows.
    #[serde(rename = "flows:write")]
    FlowsWrite,
    /// Call functions through the gateway.
    #[serde(rename = "functions:call")]
    FunctionsCall,
    /// See executions, journals, logs, traces and events.
    #[serde(rename = "executions:read")]
    ExecutionsRead,
    /// Start, cancel, signal and rerun executions.
    #[serde(rename = "executions:write")]
    ExecutionsWrite,
    /// See reviews.
    #[serde(rename = "reviews:read")]
    ReviewsRead,
    /// Decide reviews.
    #[serde(rename = "reviews:decide")]
    ReviewsDecide,
    /// See the names of secrets.
    #[serde(rename = "secrets:read")]
    SecretsRead,
    /// Put and delete secrets.
    #[serde(rename = "secrets:write")]
    SecretsWrite,
    /// See API keys.
    #[serde(rename = "keys:read")]
    KeysRead,
    /// Make and revoke API keys.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Everything in the project.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 12] = [
        Self::FlowsRead,
        Self::FlowsWrite,
        Self::FunctionsCall,
        Self::ExecutionsRead,
        Self::ExecutionsWrite,
        Self::ReviewsRead,
        Self::ReviewsDecide,
        Self::SecretsRead,
        Self::SecretsWrite,
        Self::KeysRead,
        Self::KeysWrite,
        Self::Admin,
    ];

    /// The scope as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlowsRead => "flows:read",
            Self::FlowsWrite => "flows:write",
            Self::FunctionsCall => "functions:call",
            Self::ExecutionsRead => "executions:read",
            Self::ExecutionsWrite => "executions:write",
            Self::ReviewsRead => "reviews:read",
            Self::ReviewsDecide => "reviews:decide",
            Self::SecretsRead => "secrets:read",
            Self::SecretsWrite => "secrets:write",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::Admin => "admin",
        }
    }

    /// What it allows beside itself: to change something is to see it.
    const fn includes(self) -> Option<Self> {
        match self {
            Self::FlowsWrite => Some(Self::FlowsRead),
            Self::ExecutionsWrite => Some(Self::ExecutionsRead),
            Self::ReviewsDecide => Some(Self::ReviewsRead),
            Self::SecretsWrite => Some(Self::SecretsRead),
            Self::KeysWrite => Some(Self::KeysRead),
            Self::FlowsRead
            | Self::FunctionsCall
            | Self::ExecutionsRead
            | Self::ReviewsRead
            | Self::SecretsRead
            | Self::KeysRead
            | Self::Admin => None,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A text that is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a scope{}", near.map_or_else(String::new, |near| format!("; write `{near}`")))]
pub struct UnknownScope {
    given: String,
    near: Option<&'static str>,
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| UnknownScope {
            given: text.chars().take(64).collect(),
            near: nearest(text, Self::ALL.map(Self::as_str)),
        })
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// Whether they allow what `scope` stands for.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether they allow everything that `others` allow.
    pub const fn cover(self, others: Self) -> bool {
        self.0 & Scope::Admin.bit() != 0 || others.0 & !self.0 == 0
    }

    /// The scopes themselves.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let bits = |scope: Scope| scope.bit() | scope.includes().map_or(0, Scope::bit);
        Self(scopes.into_iter().fold(0, |all, scope| all | bits(scope)))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(held: &[Scope], wanted: Scope, allowed: bool) {
        let scopes: Scopes = held.iter().copied().collect();
        assert_eq!(scopes.allow(wanted), allowed, "{held:?} {wanted}");
    }

    #[test]
    fn writing_includes_reading_and_admin_includes_all() {
        check(&[], Scope::FlowsRead, false);
        check(&[Scope::FlowsRead], Scope::FlowsRead, true);
        check(&[Scope::FlowsRead], Scope::FlowsWrite, false);
        check(&[Scope::FlowsWrite], Scope::FlowsRead, true);
        check(&[Scope::FlowsWrite], Scope::ExecutionsRead, false);
        for scope in Scope::ALL {
            check(&[Scope::Admin], scope, true);
            check(&[scope], Scope::Admin, scope == Scope::Admin);
        }
    }

    #[test]
    fn nobody_can_give_what_they_do_not_have() {
        let of = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
        assert!(of(&[Scope::Admin]).cover(of(&Scope::ALL)));
        assert!(of(&[Scope::KeysWrite]).cover(of(&[Scope::KeysRead])));
        assert!(!of(&[Scope::KeysWrite]).cover(of(&[Scope::FlowsRead])));
        assert!(!of(&Scope::ALL[..11]).cover(of(&[Scope::Admin])));
    }

    #[test]
    fn scopes_round_trip_and_misspelt_ones_are_explained() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        let wrong = "flow:read".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(wrong, "`flow:read` is not a scope; write `flows:read`");
    }
}
