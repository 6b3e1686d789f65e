//! The default project and the first keys: what must be there before anybody can ask for anything.

use std::sync::Arc;

use anyhow::{Context, ensure};
use flux_engine::{Clock, Engine, SystemClock};
use flux_http::{IssuedKey, NewKey, Scope};
use flux_model::{KeyId, OrganizationId, ProjectId, Tenant, Timestamp};
use flux_store::access::{KeyRow, ProjectRow};
use flux_store::{Command, Outcome};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The default project. Its ids are the same everywhere, so that a data folder stays readable
/// whatever the project is called.
pub(crate) const TENANT: Tenant =
    Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(1) };

/// Makes sure that the default project exists.
pub(super) async fn ensure_project(engine: &Engine, name: &str) -> anyhow::Result<()> {
    let row = ProjectRow { tenant: TENANT, name: name.to_owned(), created_at: now() };
    let outcome = engine.submit(Command::EnsureProject(row)).await.context("the project cannot be stored")?;
    ensure!(matches!(outcome, Outcome::Done | Outcome::Exists), "the project was not stored: {outcome:?}");
    Ok(())
}

/// A fresh key with all rights, that no store knows yet.
pub(crate) fn fresh_admin_key() -> anyhow::Result<Zeroizing<String>> {
    Ok(Zeroizing::new(issue("bootstrap")?.text))
}

/// A fresh key with all rights, stored under `name`.
pub(crate) async fn issue_admin_key(engine: &Engine, name: &str) -> anyhow::Result<String> {
    let IssuedKey { text, row } = issue(name)?;
    put(engine, row).await?;
    Ok(text)
}

fn issue(name: &str) -> anyhow::Result<IssuedKey> {
    let new = NewKey { tenant: TENANT, name: name.to_owned(), scopes: vec![Scope::Admin], expires_at: None };
    new.issue(now()).context("no key can be made")
}

/// Makes sure that this key is stored; a new one opens the default project with all rights.
pub(crate) async fn ensure_admin_key(engine: &Engine, name: &str, text: &str) -> anyhow::Result<()> {
    let hash = hash(text);
    if stored_key(engine, hash).await?.is_some() {
        return Ok(());
    }
    let at = now();
    let row = KeyRow {
        id: KeyId::derived(at, &[&hash]),
        tenant: TENANT,
        hash,
        name: name.to_owned(),
        scopes: vec![Scope::Admin.to_string()],
        created_at: at,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    put(engine, row).await
}

/// Whether this key is stored and still opens the default project.
pub(crate) async fn is_usable_key(engine: &Engine, text: &str) -> anyhow::Result<bool> {
    let row = stored_key(engine, hash(text)).await?;
    Ok(row.is_some_and(|row| row.tenant == TENANT && row.revoked_at.is_none() && row.expires_at.is_none()))
}

/// Whether the store has a key with all rights that works now.
pub(crate) async fn has_admin_key(engine: &Engine) -> anyhow::Result<bool> {
    let keys = engine.reader().query(|store| store.keys(TENANT)).await.context("the keys cannot be read")?;
    let now = now();
    let admin = Scope::Admin.to_string();
    Ok(keys.iter().any(|key| {
        let valid = key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now);
        valid && key.scopes.contains(&admin)
    }))
}

async fn stored_key(engine: &Engine, hash: [u8; 32]) -> anyhow::Result<Option<KeyRow>> {
    let row = engine.reader().query(move |store| store.key_by_hash(&hash)).await;
    row.context("the keys cannot be read")
}

async fn put(engine: &Engine, row: KeyRow) -> anyhow::Result<()> {
    let outcome = engine.submit(Command::PutKey(row)).await.context("the key cannot be stored")?;
    ensure!(outcome == Outcome::Done, "the key was not stored: {outcome:?}");
    Ok(())
}

/// What a key is stored and looked up by.
fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn now() -> Timestamp {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    clock.now()
}
