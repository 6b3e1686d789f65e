//! Who may do what: API keys, their scopes, and the verified caller of a request.
//!
//! A tenant only ever comes from here (a key) or, on the gateway, from the address of a webhook.

pub(crate) mod caller;
pub(crate) mod key;
pub(crate) mod scope;
