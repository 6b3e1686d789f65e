//! Who may do what: API keys, their scopes, tokens of other issuers, and the verified caller of a
//! request.
//!
//! A tenant only ever comes from here (a key) or, on the gateway, from the address of a request. A
//! token says who calls and never which project.

pub(crate) mod caller;
pub(crate) mod jwks;
pub(crate) mod jwt;
pub(crate) mod key;
pub(crate) mod scope;
