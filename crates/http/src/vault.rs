//! What this crate needs of the place where project secrets are kept.

use flux_egress::{SecretPlain, SecretSource};
use flux_model::{ErrorCode, Tenant};
use futures::future::BoxFuture;

/// Keeps the secrets of projects, sealed. It hands out plaintext only as a [`SecretSource`], and
/// the APIs never show it.
pub trait Vault: SecretSource {
    /// Creates or replaces a secret. Durable when it returns.
    fn put<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
        secret: SecretPlain,
    ) -> BoxFuture<'a, Result<(), VaultFailure>>;

    /// Deletes a secret; `false` if there was none.
    fn delete<'a>(&'a self, tenant: Tenant, name: &'a str) -> BoxFuture<'a, Result<bool, VaultFailure>>;
}

/// Why a secret was not stored or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VaultFailure {
    /// The public code.
    pub code: ErrorCode,
    /// For people, without the secret.
    pub message: String,
}
