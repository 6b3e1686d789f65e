//! Where egress gets the plaintext of a secret from.

use std::fmt;

use flux_model::error::Failure;
use flux_model::{ErrorCode, Tenant};
use futures::future::BoxFuture;
use zeroize::Zeroizing;

use super::VaultError;
use crate::policy::HostPattern;

/// The plaintext of a secret, and where it may be sent.
#[derive(Clone)]
pub struct SecretPlain {
    /// The plaintext; overwritten when dropped.
    pub value: Zeroizing<String>,
    /// Hosts it may be sent to; empty: any.
    pub hosts: Vec<HostPattern>,
}

impl SecretPlain {
    /// A secret that may be sent to `hosts`, or anywhere if there are none.
    pub fn new(value: impl Into<String>, hosts: Vec<HostPattern>) -> Self {
        Self { value: Zeroizing::new(value.into()), hosts }
    }
}

impl fmt::Debug for SecretPlain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SecretPlain").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The project has no secret of this name.
    #[error("secret `{name}` does not exist; create it with `flux secrets set {name}`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// It is stored, but cannot be opened.
    #[error("secret `{name}` cannot be opened: {reason}")]
    Sealed {
        /// Its name.
        name: String,
        /// Why.
        reason: VaultError,
    },
    /// The store did not answer.
    #[error("secret `{name}` cannot be read now: {reason}")]
    Unavailable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let message = error.to_string();
        match error {
            SecretError::Missing { .. } => Self::permanent(ErrorCode::SecretMissing, message),
            SecretError::Sealed { .. } => Self::permanent(ErrorCode::SecretSealed, message),
            SecretError::Unavailable { .. } => Self::retryable(ErrorCode::StorageUnavailable, message),
        }
    }
}

/// Opens secrets for egress. Implementations should cache: it is asked on every call.
pub trait SecretSource: Send + Sync {
    /// The plaintext of the tenant's secret `name`.
    fn resolve<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<SecretPlain, SecretError>>;
}

/// A source that knows no secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl SecretSource for NoSecrets {
    fn resolve<'a>(
        &'a self,
        _tenant: Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<SecretPlain, SecretError>> {
        let missing = SecretError::Missing { name: name.to_owned() };
        Box::pin(std::future::ready(Err(missing)))
    }
}
