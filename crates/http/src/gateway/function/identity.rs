//! Who calls a function: the holder of a key, the subject of a token, or nobody in particular.

use std::net::{IpAddr, Ipv6Addr};

use flux_model::{KeyId, Value};
use flux_triggers::function::Auth;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::FunctionTarget;
use crate::access::caller::{Caller, Forbidden, Unauthenticated, bearer};
use crate::access::jwt::Token;
use crate::access::key;
use crate::access::scope::Scope;
use crate::app::Shared;
use crate::gateway::client::client;
use crate::problem::Problem;

/// A caller whom the function lets in.
pub(super) struct Identity {
    /// By what it is told from others.
    pub(super) id: CallerId,
    /// What the function sees of it; null for nobody in particular.
    pub(super) user: Value,
}

/// By what a caller is told from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CallerId {
    /// A key.
    Key(KeyId),
    /// The subject of a token.
    Subject {
        /// Who issued the token.
        issuer: String,
        /// Whom it is about.
        subject: String,
    },
    /// An address, of IPv6 the network: whoever has one address of it has them all.
    Address(IpAddr),
}

impl Identity {
    /// Who sends a request for `target`.
    ///
    /// An open function does not ask: it sees the key that is sent along, and no token.
    pub(super) async fn of(app: &Shared, target: &FunctionTarget, parts: &Parts) -> Result<Self, Problem> {
        match (target.route.target.auth(), &target.caller) {
            (Auth::Key, Some(caller)) if !caller.scopes.allow(Scope::FunctionsCall) => {
                Err(Forbidden { needed: Scope::FunctionsCall, held: caller.scopes }.into())
            }
            (Auth::Key | Auth::None, Some(caller)) => Ok(Self::of_key(caller)),
            (Auth::None, None) => {
                let address = network(client(parts, &app.trusted_proxies));
                Ok(Self { id: CallerId::Address(address), user: Value::Null })
            }
            (Auth::Key, None) => {
                let text = bearer(&parts.headers).ok_or(Unauthenticated::Missing)?;
                if text.starts_with(key::PREFIX) {
                    return Err(Unauthenticated::Malformed.into());
                }
                Ok(Self::of_token(app.issuers.verify(target.tenant, text, app.clock.now()).await?))
            }
        }
    }

    fn of_key(caller: &Caller) -> Self {
        let user = [("key", Value::text(&caller.name)), ("id", Value::from(caller.key.to_string()))];
        Self { id: CallerId::Key(caller.key), user: Value::object(user) }
    }

    fn of_token(token: Token) -> Self {
        let Token { issuer, subject, claims } = token;
        Self { id: CallerId::Subject { issuer, subject }, user: claims }
    }
}

impl CallerId {
    /// What the idempotency keys of this caller begin with, so that nobody is given the answer to
    /// somebody else. Callers of an open function cannot be told apart when they come again.
    pub(super) fn namespace(&self) -> String {
        match self {
            Self::Key(id) => id.to_string(),
            Self::Subject { issuer, subject } => {
                let mut hash = Sha256::new();
                hash.update((issuer.len() as u64).to_le_bytes());
                hash.update(issuer);
                hash.update(subject);
                hex::encode(hash.finalize())
            }
            Self::Address(_) => "open".to_owned(),
        }
    }
}

/// What an address is counted as.
fn network(address: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_with_many_addresses_is_one() {
        let check = |left: &str, right: &str, same: bool| {
            let counted = |text: &str| network(text.parse().unwrap());
            assert_eq!(counted(left) == counted(right), same, "{left} {right}");
        };
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("192.0.2.1", "192.0.2.2", false);
    }

    #[test]
    fn subjects_of_two_issuers_are_two_callers() {
        let subject = |issuer: &str, subject: &str| {
            let id = CallerId::Subject { issuer: issuer.into(), subject: subject.into() };
            id.namespace()
        };
        assert_ne!(subject("a", "bc"), subject("ab", "c"));
        assert_eq!(subject("a", "b"), subject("a", "b"));
    }
}
