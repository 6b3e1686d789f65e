//! Secrets, data keys, API keys and projects.

use flux_model::{KeyId, Tenant, Timestamp};
use flux_store::Outcome;
use flux_store::access::{DataKeyRow, KeyRow, ProjectRow, SecretRow};
use rusqlite::{Connection, params};

use super::{done_if, execute};
use crate::column;

pub(super) fn put_secret(connection: &Connection, secret: &SecretRow) -> rusqlite::Result<Outcome> {
    let sql = "INSERT INTO secrets (project, name, organization, sealed, hosts, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT DO UPDATE SET sealed = excluded.sealed, hosts = excluded.hosts,
            updated_at = excluded.updated_at";
    let parameters = params![
        column::project(secret.tenant),
        secret.name,
        column::organization(secret.tenant),
        secret.sealed,
        column::json(&secret.hosts)?,
        secret.updated_at.millis(),
    ];
    execute(connection, sql, parameters)?;
    Ok(Outcome::Done)
}

pub(super) fn delete_secret(
    connection: &Connection,
    tenant: Tenant,
    name: &str,
) -> rusqlite::Result<Outcome> {
    let sql = "DELETE FROM secrets WHERE project = ?1 AND name = ?2";
    Ok(done_if(execute(connection, sql, params![column::project(tenant), name])? > 0))
}

pub(super) fn put_data_key(connection: &Connection, key: &DataKeyRow) -> rusqlite::Result<Outcome> {
    let sql = "INSERT INTO data_keys (project, version, organization, wrapped, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET wrapped = excluded.wrapped, updated_at = excluded.updated_at";
    let parameters = params![
        column::project(key.tenant),
        key.version,
        column::organization(key.tenant),
        key.wrapped,
        key.updated_at.millis(),
    ];
    execute(connection, sql, parameters)?;
    Ok(Outcome::Done)
}

pub(super) fn put_key(connection: &Connection, key: &KeyRow) -> rusqlite::Result<Outcome> {
    let sql = "INSERT INTO api_keys (id, organization, project, hash, name, scopes, created_at, expires_at,
            revoked_at, last_used_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT DO NOTHING";
    let parameters = params![
        key.id.bits().to_be_bytes(),
        column::organization(key.tenant),
        column::project(key.tenant),
        key.hash,
        key.name,
        column::json(&key.scopes)?,
        key.created_at.millis(),
        key.expires_at.map(Timestamp::millis),
        key.revoked_at.map(Timestamp::millis),
        key.last_used_at.map(Timestamp::millis),
    ];
    let stored = execute(connection, sql, parameters)? > 0;
    Ok(if stored { Outcome::Done } else { Outcome::Exists })
}

pub(super) fn revoke_key(
    connection: &Connection,
    tenant: Tenant,
    key: KeyId,
    at: Timestamp,
) -> rusqlite::Result<Outcome> {
    let sql = "UPDATE api_keys SET revoked_at = ifnull(revoked_at, ?3) WHERE id = ?1 AND project = ?2";
    let parameters = params![key.bits().to_be_bytes(), column::project(tenant), at.millis()];
    Ok(done_if(execute(connection, sql, parameters)? > 0))
}

pub(super) fn touch_key(connection: &Connection, key: KeyId, at: Timestamp) -> rusqlite::Result<Outcome> {
    let sql = "UPDATE api_keys SET last_used_at = max(ifnull(last_used_at, ?2), ?2) WHERE id = ?1";
    Ok(done_if(execute(connection, sql, params![key.bits().to_be_bytes(), at.millis()])? > 0))
}

pub(super) fn ensure_project(connection: &Connection, new: &ProjectRow) -> rusqlite::Result<Outcome> {
    let sql = "INSERT INTO projects (project, organization, name, created_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO NOTHING";
    let parameters = params![
        column::project(new.tenant),
        column::organization(new.tenant),
        new.name,
        new.created_at.millis()
    ];
    let stored = execute(connection, sql, parameters)? > 0;
    Ok(if stored { Outcome::Done } else { Outcome::Exists })
}
