//! Project secrets: where plaintext comes from, and how it is sealed at rest.
//!
//! A project's secrets are sealed with its *data key*; the data key is wrapped with a *server
//! key* that is never stored beside it. Rotating the server key wraps data keys again and touches
//! no secret; rotating a data key seals the project's secrets again. Everything here is computed
//! from its arguments and the system's randomness; storing is the caller's business.

mod keys;
mod seal;
mod source;

pub use keys::{DataKey, ServerKeys, WrappedDataKey};
pub use seal::{SealedSecret, SecretPlace};
pub use source::{NoSecrets, SecretError, SecretPlain, SecretSource};

/// Why something sealed cannot be opened, or a key not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// A server key is not 32 bytes in base64, or its id is not usable.
    #[error("server key `{id}` is not valid: {reason}")]
    ServerKey {
        /// Its id.
        id: String,
        /// Why.
        reason: &'static str,
    },
    /// A data key is wrapped with a server key that is not configured.
    #[error("it needs server key `{id}`, which is not configured; configured: {configured}")]
    UnknownServerKey {
        /// The id of the missing key.
        id: String,
        /// The ids of the keys there are.
        configured: String,
    },
    /// The key is wrong, or what was sealed was changed or belongs elsewhere.
    #[error("the key does not fit, or the stored bytes were changed or moved")]
    Unfit,
    /// The bytes are of a later version, or are not sealed bytes at all.
    #[error("the stored bytes have format {found:?}, this version reads {FORMAT}")]
    Format {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
}

/// The first byte of everything sealed: which algorithm and layout it has.
const FORMAT: u8 = 1;
