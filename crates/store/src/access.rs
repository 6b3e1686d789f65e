//! Secrets, data keys, API keys and projects as they are stored. Sealed bytes and hashes are
//! opaque here; no plaintext and no key material ever reaches a store.

use flux_model::{KeyId, Tenant, Timestamp};

/// A sealed secret of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Its name.
    pub name: String,
    /// The sealed value; names its data key inside.
    pub sealed: Vec<u8>,
    /// The hosts it may be sent to; empty means every host that egress allows.
    pub hosts: Vec<String>,
    /// When it was last put.
    pub updated_at: Timestamp,
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// The hosts it may be sent to.
    pub hosts: Vec<String>,
    /// When it was last put.
    pub updated_at: Timestamp,
}

/// A data key of a project, wrapped by a server key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeyRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Its version within the project, from 1.
    pub version: u32,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// When it was last wrapped.
    pub updated_at: Timestamp,
}

/// An API key: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Whose data it opens.
    pub tenant: Tenant,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Its name, for people.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to work.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, as exact as [`crate::Command::TouchKey`] is sent.
    pub last_used_at: Option<Timestamp>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// The project and the organization that owns it.
    pub tenant: Tenant,
    /// Its name, for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}
