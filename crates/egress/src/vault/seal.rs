//! Sealing: XChaCha20-Poly1305 with everything that identifies the plaintext as associated data.
//!
//! Layout of a sealed secret: format (1 byte), nonce (24 bytes), ciphertext with tag. The nonce is
//! random: at 192 bits two never meet. The associated data names tenant, secret and version, so a
//! sealed value that is moved to another place does not open.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use flux_model::Tenant;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::source::SecretPlain;
use super::{DataKey, FORMAT, VaultError};
use crate::policy::HostPattern;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Which secret, and which version of it, some sealed bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretPlace<'p> {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name.
    pub name: &'p str,
    /// Counted up on every change.
    pub version: u64,
}

/// A sealed secret, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    /// The stored form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From the stored form; it is checked when it is opened.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

/// What is sealed: the hosts are under the same seal, so that nobody who can write to the store
/// can send a secret elsewhere.
#[derive(Serialize, Deserialize)]
struct Content {
    value: Zeroizing<String>,
    hosts: Vec<HostPattern>,
}

impl DataKey {
    /// Seals `plain` as the secret at `place`.
    ///
    /// # Errors
    /// [`VaultError::Randomness`] if the system gives no random bytes.
    pub fn seal(&self, place: SecretPlace<'_>, plain: &SecretPlain) -> Result<SealedSecret, VaultError> {
        let content = Content { value: plain.value.clone(), hosts: plain.hosts.clone() };
        let content = Zeroizing::new(serde_json::to_vec(&content).map_err(|_| VaultError::Unfit)?);
        seal(&self.0, &content, &associated(place)).map(SealedSecret)
    }

    /// Opens the secret at `place`.
    ///
    /// # Errors
    /// [`VaultError::Unfit`] if the key is another one, or the bytes are not what was sealed for
    /// this place; [`VaultError::Format`] if they are of a later version.
    pub fn open(&self, place: SecretPlace<'_>, sealed: &SealedSecret) -> Result<SecretPlain, VaultError> {
        let content = open(&self.0, &sealed.0, &associated(place))?;
        let content: Content = serde_json::from_slice(&content).map_err(|_| VaultError::Unfit)?;
        Ok(SecretPlain { value: content.value, hosts: content.hosts })
    }

    /// Seals the secret at `place` again with the data key `next`.
    ///
    /// # Errors
    /// As [`DataKey::open`] and [`DataKey::seal`].
    pub fn reseal(
        &self,
        next: &Self,
        place: SecretPlace<'_>,
        sealed: &SealedSecret,
    ) -> Result<SealedSecret, VaultError> {
        next.seal(place, &self.open(place, sealed)?)
    }
}

fn associated(place: SecretPlace<'_>) -> Vec<u8> {
    join(&[
        b"flux secret",
        &place.tenant.organization.bits().to_be_bytes(),
        &place.tenant.project.bits().to_be_bytes(),
        place.name.as_bytes(),
        &place.version.to_be_bytes(),
    ])
}

/// The parts, each with its length before it, so that no two lists give the same bytes.
pub(super) fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

/// `plain` sealed: format, nonce, ciphertext.
pub(super) fn seal(key: &[u8; KEY_BYTES], plain: &[u8], associated: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0_u8; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| VaultError::Randomness)?;
    let cipher = XChaCha20Poly1305::new(Key::from_slice(key));
    let payload = Payload { msg: plain, aad: associated };
    let ciphertext = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| VaultError::Unfit)?;
    let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// What was sealed with the same key and associated data.
pub(super) fn open(
    key: &[u8; KEY_BYTES],
    sealed: &[u8],
    associated: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (format, rest) = sealed.split_first().ok_or(VaultError::Format { found: None })?;
    if *format != FORMAT {
        return Err(VaultError::Format { found: Some(*format) });
    }
    let (nonce, ciphertext) = rest.split_at_checked(NONCE_BYTES).ok_or(VaultError::Unfit)?;
    let cipher = XChaCha20Poly1305::new(Key::from_slice(key));
    let payload = Payload { msg: ciphertext, aad: associated };
    let plain = cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| VaultError::Unfit)?;
    Ok(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use flux_model::{OrganizationId, ProjectId};

    use super::*;

    fn tenant(project: u128) -> Tenant {
        Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(project) }
    }

    fn place(project: u128, name: &str, version: u64) -> SecretPlace<'_> {
        SecretPlace { tenant: tenant(project), name, version }
    }

    fn plain() -> SecretPlain {
        SecretPlain::new("s3cr3t", vec!["api.example:443".parse().unwrap()])
    }

    #[test]
    fn a_secret_opens_only_in_its_place_with_its_key() {
        let key = DataKey::generate().unwrap();
        let here = place(1, "api", 3);
        let sealed = key.seal(here, &plain()).unwrap();
        let opened = key.open(here, &sealed).unwrap();
        assert_eq!((opened.value.as_str(), opened.hosts), ("s3cr3t", plain().hosts));
        for elsewhere in [place(2, "api", 3), place(1, "apj", 3), place(1, "api", 4)] {
            assert_eq!(key.open(elsewhere, &sealed).unwrap_err(), VaultError::Unfit, "{elsewhere:?}");
        }
        let other = DataKey::generate().unwrap();
        assert_eq!(other.open(here, &sealed).unwrap_err(), VaultError::Unfit);
    }

    #[test]
    fn every_changed_byte_is_noticed_and_nothing_repeats() {
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(place(1, "api", 1), &plain()).unwrap();
        for index in 0..sealed.as_bytes().len() {
            let mut changed = sealed.as_bytes().to_vec();
            changed[index] ^= 1;
            let changed = SealedSecret::from_bytes(changed);
            assert!(key.open(place(1, "api", 1), &changed).is_err(), "byte {index}");
        }
        assert_ne!(sealed, key.seal(place(1, "api", 1), &plain()).unwrap());
        assert!(!sealed.as_bytes().windows(6).any(|window| window == b"s3cr3t"));
    }

    #[test]
    fn noise_and_later_formats_are_named() {
        let key = DataKey::generate().unwrap();
        let open = |bytes: &[u8]| key.open(place(1, "a", 1), &SealedSecret::from_bytes(bytes)).unwrap_err();
        assert_eq!(open(&[]), VaultError::Format { found: None });
        assert_eq!(open(&[9; 60]), VaultError::Format { found: Some(9) });
        assert_eq!(open(&[FORMAT; 10]), VaultError::Unfit);
    }

    #[test]
    fn resealing_moves_a_secret_to_another_key() {
        let (old, new) = (DataKey::generate().unwrap(), DataKey::generate().unwrap());
        let here = place(1, "api", 1);
        let sealed = old.seal(here, &plain()).unwrap();
        let resealed = old.reseal(&new, here, &sealed).unwrap();
        assert_eq!(new.open(here, &resealed).unwrap().value.as_str(), "s3cr3t");
        assert_eq!(old.open(here, &resealed).unwrap_err(), VaultError::Unfit);
    }
}
