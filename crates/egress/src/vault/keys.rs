//! Server keys, and the data keys they wrap.
//!
//! Layout of a wrapped data key: length of the server key's id (1 byte), the id, then the sealed
//! key. The id is in the associated data, and so is the tenant.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flux_model::Tenant;
use zeroize::Zeroizing;

use super::VaultError;
use super::seal::{KEY_BYTES, join, open, seal};

/// Bytes of a server key's id.
const KEY_ID_BYTES_MAX: usize = 64;

/// The key that seals the secrets of one project. Overwritten when dropped.
#[derive(Clone)]
pub struct DataKey(pub(super) Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`VaultError::Randomness`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, VaultError> {
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(|_| VaultError::Randomness)?;
        Ok(Self(key))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DataKey")
    }
}

/// A data key sealed with a server key, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedDataKey(Vec<u8>);

impl WrappedDataKey {
    /// The stored form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From the stored form; it is checked when it is unwrapped.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The id of the server key that opens it; `None` if these are not wrapped bytes.
    pub fn server_key(&self) -> Option<&str> {
        self.split().map(|(id, _)| id)
    }

    fn split(&self) -> Option<(&str, &[u8])> {
        let (length, rest) = self.0.split_first()?;
        let (id, sealed) = rest.split_at_checked(usize::from(*length))?;
        Some((std::str::from_utf8(id).ok()?, sealed))
    }
}

/// The keys of this server: the current one wraps, all of them unwrap.
#[derive(Clone)]
pub struct ServerKeys {
    current: String,
    keys: BTreeMap<String, Zeroizing<[u8; KEY_BYTES]>>,
}

impl ServerKeys {
    /// The keys by id, each 32 bytes in base64; `current` wraps from now on.
    ///
    /// # Errors
    /// [`VaultError::ServerKey`] if a key or id is not valid, or `current` is not among them.
    pub fn new<'k>(
        current: &str,
        keys: impl IntoIterator<Item = (&'k str, &'k str)>,
    ) -> Result<Self, VaultError> {
        let mut parsed = BTreeMap::new();
        for (id, text) in keys {
            parsed.insert(id.to_owned(), parse(id, text)?);
        }
        if !parsed.contains_key(current) {
            return Err(invalid(current, "it is the current key but is not configured"));
        }
        Ok(Self { current: current.to_owned(), keys: parsed })
    }

    /// A new random key in base64, to be put into the configuration.
    ///
    /// # Errors
    /// [`VaultError::Randomness`] if the system gives no random bytes.
    pub fn generate() -> Result<Zeroizing<String>, VaultError> {
        let key = DataKey::generate()?;
        Ok(Zeroizing::new(STANDARD.encode(key.0.as_slice())))
    }

    /// Seals the tenant's data key with the current server key.
    ///
    /// # Errors
    /// [`VaultError::Randomness`] if the system gives no random bytes.
    pub fn wrap(&self, tenant: Tenant, key: &DataKey) -> Result<WrappedDataKey, VaultError> {
        let id = &self.current;
        let sealed = seal(self.key(id)?, &*key.0, &associated(tenant, id))?;
        let mut wrapped = Vec::with_capacity(1 + id.len() + sealed.len());
        wrapped.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
        wrapped.extend_from_slice(id.as_bytes());
        wrapped.extend_from_slice(&sealed);
        Ok(WrappedDataKey(wrapped))
    }

    /// Opens the tenant's data key.
    ///
    /// # Errors
    /// [`VaultError::UnknownServerKey`] if its server key is not configured, [`VaultError::Unfit`]
    /// if it does not open.
    pub fn unwrap(&self, tenant: Tenant, wrapped: &WrappedDataKey) -> Result<DataKey, VaultError> {
        let (id, sealed) = wrapped.split().ok_or(VaultError::Unfit)?;
        let opened = open(self.key(id)?, sealed, &associated(tenant, id))?;
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        if opened.len() != KEY_BYTES {
            return Err(VaultError::Unfit);
        }
        key.copy_from_slice(&opened);
        Ok(DataKey(key))
    }

    /// The data key wrapped with the current server key, for rotation; `None` if it already is.
    ///
    /// # Errors
    /// As [`ServerKeys::unwrap`] and [`ServerKeys::wrap`].
    pub fn rewrap(
        &self,
        tenant: Tenant,
        wrapped: &WrappedDataKey,
    ) -> Result<Option<WrappedDataKey>, VaultError> {
        if wrapped.server_key() == Some(self.current.as_str()) {
            return Ok(None);
        }
        let key = self.unwrap(tenant, wrapped)?;
        self.wrap(tenant, &key).map(Some)
    }

    fn key(&self, id: &str) -> Result<&[u8; KEY_BYTES], VaultError> {
        self.keys.get(id).map(|key| &**key).ok_or_else(|| VaultError::UnknownServerKey {
            id: id.to_owned(),
            configured: self.keys.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&String> = self.keys.keys().collect();
        out.debug_struct("ServerKeys").field("current", &self.current).field("ids", &ids).finish()
    }
}

fn parse(id: &str, text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    if id.is_empty() || id.len() > KEY_ID_BYTES_MAX {
        return Err(invalid(id, "its id must have 1 to 64 bytes"));
    }
    let bytes = STANDARD.decode(text.trim()).map_err(|_| invalid(id, "it is not base64"))?;
    let bytes = Zeroizing::new(bytes);
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    if bytes.len() != KEY_BYTES {
        return Err(invalid(id, "it does not have 32 bytes; make one with `openssl rand -base64 32`"));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn invalid(id: &str, reason: &'static str) -> VaultError {
    VaultError::ServerKey { id: id.to_owned(), reason }
}

fn associated(tenant: Tenant, server_key: &str) -> Vec<u8> {
    join(&[
        b"flux data key",
        &tenant.organization.bits().to_be_bytes(),
        &tenant.project.bits().to_be_bytes(),
        server_key.as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use flux_model::{OrganizationId, ProjectId};

    use super::*;

    const KEY_A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const KEY_B: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn tenant(project: u128) -> Tenant {
        Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(project) }
    }

    #[test]
    fn a_data_key_opens_with_its_server_key_for_its_tenant() {
        let keys = ServerKeys::new("a", [("a", KEY_A)]).unwrap();
        let key = DataKey::generate().unwrap();
        let wrapped = keys.wrap(tenant(1), &key).unwrap();
        assert_eq!(wrapped.server_key(), Some("a"));
        assert_eq!(*keys.unwrap(tenant(1), &wrapped).unwrap().0, *key.0);
        assert_eq!(keys.unwrap(tenant(2), &wrapped).unwrap_err(), VaultError::Unfit);
        let same_id = ServerKeys::new("a", [("a", KEY_B)]).unwrap();
        assert_eq!(same_id.unwrap(tenant(1), &wrapped).unwrap_err(), VaultError::Unfit);
        let other_id = ServerKeys::new("b", [("b", KEY_A)]).unwrap();
        let unknown = VaultError::UnknownServerKey { id: "a".into(), configured: "b".into() };
        assert_eq!(other_id.unwrap(tenant(1), &wrapped).unwrap_err(), unknown);
        for bytes in [&[][..], &[5, 1], &[1, b'a'], &[200; 40]] {
            assert!(keys.unwrap(tenant(1), &WrappedDataKey::from_bytes(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn rotation_wraps_again_and_the_old_key_can_go() {
        let old = ServerKeys::new("a", [("a", KEY_A)]).unwrap();
        let key = DataKey::generate().unwrap();
        let wrapped = old.wrap(tenant(1), &key).unwrap();
        let both = ServerKeys::new("b", [("a", KEY_A), ("b", KEY_B)]).unwrap();
        let rewrapped = both.rewrap(tenant(1), &wrapped).unwrap().unwrap();
        assert_eq!(both.rewrap(tenant(1), &rewrapped).unwrap(), None);
        let new = ServerKeys::new("b", [("b", KEY_B)]).unwrap();
        assert_eq!(*new.unwrap(tenant(1), &rewrapped).unwrap().0, *key.0);
    }

    #[test]
    fn server_keys_are_checked_and_never_printed() {
        for (id, text) in [("", KEY_A), ("a", "AAAA"), ("a", "not base64!"), ("a", "")] {
            assert!(
                matches!(ServerKeys::new(id, [(id, text)]), Err(VaultError::ServerKey { .. })),
                "{id} {text}"
            );
        }
        assert!(ServerKeys::new("missing", [("a", KEY_A)]).is_err());
        let made = ServerKeys::generate().unwrap();
        let keys = ServerKeys::new("a", [("a", &**made)]).unwrap();
        assert_eq!(format!("{keys:?}"), r#"ServerKeys { current: "a", ids: ["a"] }"#);
        assert_eq!(format!("{:?}", DataKey::generate().unwrap()), "DataKey");
    }
}
