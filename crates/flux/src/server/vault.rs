//! Project secrets in the store: sealed with the project's data key, which is wrapped with the
//! server key.
//!
//! A stored secret is: version of its data key (4 bytes), version of the secret (8 bytes), sealed
//! bytes. Both versions are under the seal too. This process is the only writer, so what was
//! opened once is kept; plaintext is overwritten when it is dropped. Nothing here shows plaintext
//! to anybody but egress and the check of webhook signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use flux_egress::vault::{DataKey, SealedSecret, SecretPlace, ServerKeys, VaultError, WrappedDataKey};
use flux_egress::{SecretError, SecretPlain, SecretSource};
use flux_engine::{Clock, Engine, EngineError, SystemClock};
use flux_http::{Vault, VaultFailure};
use flux_model::{ErrorCode, ProjectId, Tenant};
use flux_store::access::{DataKeyRow, SecretRow};
use flux_store::{Command, Outcome};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::SetOnce;

use crate::error::CommandError;

const VERSIONS_BYTES: usize = 4 + 8;

/// The vault of all projects.
pub(super) struct StoreVault {
    keys: ServerKeys,
    /// Set once the engine runs; secrets that recovery asks for wait until then.
    engine: SetOnce<Engine>,
    opened: Mutex<Opened>,
    /// Held while a secret is written, so that versions are counted one by one.
    writing: tokio::sync::Mutex<()>,
}

/// What was opened before.
#[derive(Default)]
struct Opened {
    data_keys: BTreeMap<(ProjectId, u32), Arc<DataKey>>,
    secrets: BTreeMap<(ProjectId, String), SecretPlain>,
}

/// Why the vault could not do something.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Vault(#[from] VaultError),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("data key {0} of the project is missing")]
    NoDataKey(u32),
    #[error("the stored bytes are too short")]
    Short,
    #[error("it was not stored: {0:?}")]
    Refused(Outcome),
}

impl From<flux_store::StoreError> for Failed {
    fn from(error: flux_store::StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl StoreVault {
    pub(super) fn new(keys: ServerKeys) -> Self {
        Self {
            keys,
            engine: SetOnce::new(),
            opened: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Gives the vault its store, and wraps every data key with the present server key.
    pub(super) async fn attach(&self, engine: Engine) -> Result<(), CommandError> {
        let rotated = self.rotate(&engine).await;
        // A second engine cannot be: the server attaches its own once.
        let _ = self.engine.set(engine);
        match rotated {
            Ok(0) => Ok(()),
            Ok(count) => {
                tracing::info!(count, "data keys were wrapped with the new server key");
                Ok(())
            }
            Err(error) => {
                let message = format!("the secrets of this data folder cannot be opened: {error}");
                let hint = "use the server key they were sealed with, or list it under previous_server_keys";
                Err(CommandError::local(ErrorCode::ConfigurationInvalid, message).hint(hint))
            }
        }
    }

    async fn rotate(&self, engine: &Engine) -> Result<usize, Failed> {
        let rows = engine.reader().query(|store| store.all_data_keys()).await?;
        let mut count = 0;
        for row in rows {
            let wrapped = WrappedDataKey::from_bytes(row.wrapped.clone());
            // Opening each shows now, and not at the first use, that a key is the wrong one.
            self.keys.unwrap(row.tenant, &wrapped)?;
            if let Some(wrapped) = self.keys.rewrap(row.tenant, &wrapped)? {
                let row = DataKeyRow { wrapped: wrapped.as_bytes().to_vec(), updated_at: now(), ..row };
                submit(engine, Command::PutDataKey(row)).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn open(&self, tenant: Tenant, name: &str) -> Result<Option<SecretPlain>, Failed> {
        let cached = (tenant.project, name.to_owned());
        if let Some(plain) = self.opened.lock().secrets.get(&cached) {
            return Ok(Some(plain.clone()));
        }
        let Some(row) = self.stored(tenant, name).await? else { return Ok(None) };
        let (key_version, version, sealed) = split(&row.sealed)?;
        let key = self.data_key(tenant, key_version).await?;
        let plain = key.open(SecretPlace { tenant, name, version }, &SealedSecret::from_bytes(sealed))?;
        self.opened.lock().secrets.insert(cached, plain.clone());
        Ok(Some(plain))
    }

    async fn seal(&self, tenant: Tenant, name: &str, plain: &SecretPlain) -> Result<(), Failed> {
        let _writing = self.writing.lock().await;
        let earlier = self.stored(tenant, name).await?;
        let version = match &earlier {
            Some(row) => split(&row.sealed)?.1 + 1,
            None => 1,
        };
        let (key_version, key) = self.newest_data_key(tenant).await?;
        let sealed = key.seal(SecretPlace { tenant, name, version }, plain)?;
        let mut bytes = Vec::with_capacity(VERSIONS_BYTES + sealed.as_bytes().len());
        bytes.extend_from_slice(&key_version.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(sealed.as_bytes());
        let hosts = plain.hosts.iter().map(ToString::to_string).collect();
        let row = SecretRow { tenant, name: name.to_owned(), sealed: bytes, hosts, updated_at: now() };
        submit(self.engine.wait().await, Command::PutSecret(row)).await?;
        self.opened.lock().secrets.remove(&(tenant.project, name.to_owned()));
        Ok(())
    }

    async fn forget(&self, tenant: Tenant, name: &str) -> Result<bool, Failed> {
        let _writing = self.writing.lock().await;
        let command = Command::DeleteSecret { tenant, name: name.to_owned() };
        let outcome = self.engine.wait().await.submit(command).await?;
        self.opened.lock().secrets.remove(&(tenant.project, name.to_owned()));
        if outcome == Outcome::NotFound {
            return Ok(false);
        }
        accept(outcome).map(|()| true)
    }

    async fn stored(&self, tenant: Tenant, name: &str) -> Result<Option<SecretRow>, Failed> {
        let (reader, name) = (self.engine.wait().await.reader(), name.to_owned());
        Ok(reader.query(move |store| store.secret(tenant, &name)).await?)
    }

    async fn data_key(&self, tenant: Tenant, version: u32) -> Result<Arc<DataKey>, Failed> {
        if let Some(key) = self.opened.lock().data_keys.get(&(tenant.project, version)) {
            return Ok(key.clone());
        }
        let rows = self.engine.wait().await.reader().query(move |store| store.data_keys(tenant)).await?;
        let row = rows.into_iter().find(|row| row.version == version).ok_or(Failed::NoDataKey(version))?;
        let key = Arc::new(self.keys.unwrap(tenant, &WrappedDataKey::from_bytes(row.wrapped))?);
        self.opened.lock().data_keys.insert((tenant.project, version), key.clone());
        Ok(key)
    }

    /// The project's newest data key; its first one is made here.
    async fn newest_data_key(&self, tenant: Tenant) -> Result<(u32, Arc<DataKey>), Failed> {
        let engine = self.engine.wait().await;
        let rows = engine.reader().query(move |store| store.data_keys(tenant)).await?;
        if let Some(newest) = rows.first() {
            return Ok((newest.version, self.data_key(tenant, newest.version).await?));
        }
        let key = DataKey::generate()?;
        let wrapped = self.keys.wrap(tenant, &key)?;
        let row = DataKeyRow { tenant, version: 1, wrapped: wrapped.as_bytes().to_vec(), updated_at: now() };
        submit(engine, Command::PutDataKey(row)).await?;
        Ok((1, Arc::new(key)))
    }
}

impl SecretSource for StoreVault {
    fn resolve<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
    ) -> BoxFuture<'a, Result<SecretPlain, SecretError>> {
        Box::pin(async move {
            let name_of = || name.to_owned();
            match self.open(tenant, name).await {
                Ok(Some(plain)) => Ok(plain),
                Ok(None) => Err(SecretError::Missing { name: name_of() }),
                Err(Failed::Vault(reason)) => Err(SecretError::Sealed { name: name_of(), reason }),
                Err(Failed::NoDataKey(_) | Failed::Short) => {
                    Err(SecretError::Sealed { name: name_of(), reason: VaultError::Unfit })
                }
                Err(failed @ (Failed::Engine(_) | Failed::Refused(_))) => {
                    Err(SecretError::Unavailable { name: name_of(), reason: failed.to_string() })
                }
            }
        })
    }
}

impl Vault for StoreVault {
    fn put<'a>(
        &'a self,
        tenant: Tenant,
        name: &'a str,
        secret: SecretPlain,
    ) -> BoxFuture<'a, Result<(), VaultFailure>> {
        Box::pin(
            async move { self.seal(tenant, name, &secret).await.map_err(|failed| failure(name, &failed)) },
        )
    }

    fn delete<'a>(&'a self, tenant: Tenant, name: &'a str) -> BoxFuture<'a, Result<bool, VaultFailure>> {
        Box::pin(async move { self.forget(tenant, name).await.map_err(|failed| failure(name, &failed)) })
    }
}

fn failure(name: &str, failed: &Failed) -> VaultFailure {
    let code = match failed {
        Failed::Engine(error) => error.code(),
        Failed::Vault(_) | Failed::NoDataKey(_) | Failed::Short => ErrorCode::SecretSealed,
        Failed::Refused(_) => ErrorCode::Internal,
    };
    VaultFailure { code, message: format!("secret `{name}`: {failed}") }
}

async fn submit(engine: &Engine, command: Command) -> Result<(), Failed> {
    accept(engine.submit(command).await?)
}

fn accept(outcome: Outcome) -> Result<(), Failed> {
    if matches!(outcome, Outcome::Done | Outcome::Saved { .. }) {
        return Ok(());
    }
    Err(Failed::Refused(outcome))
}

/// The version of the data key, that of the secret, and the sealed bytes.
fn split(stored: &[u8]) -> Result<(u32, u64, &[u8]), Failed> {
    let (key_version, rest) = stored.split_first_chunk::<4>().ok_or(Failed::Short)?;
    let (version, sealed) = rest.split_first_chunk::<8>().ok_or(Failed::Short)?;
    Ok((u32::from_be_bytes(*key_version), u64::from_be_bytes(*version), sealed))
}

fn now() -> flux_model::Timestamp {
    SystemClock::default().now()
}
