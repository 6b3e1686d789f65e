//! Secrets, data keys, API keys and projects.

use flux_model::{KeyId, Tenant};
use flux_store::access::{DataKeyRow, KeyRow, ProjectRow, SecretName, SecretRow};
use rusqlite::{Connection, Row, params};

use super::{row, rows};
use crate::column::{self, Columns};

const SECRETS: &str = "SELECT organization, project, name, sealed, hosts, updated_at FROM secrets
    WHERE project = ?1";
const DATA_KEYS: &str = "SELECT organization, project, version, wrapped, updated_at FROM data_keys";
const KEYS: &str = "SELECT id, organization, project, hash, name, scopes, created_at, expires_at, revoked_at,
    last_used_at FROM api_keys";

pub(crate) fn secret_names(connection: &Connection, tenant: Tenant) -> rusqlite::Result<Vec<SecretName>> {
    let sql = "SELECT name, hosts, updated_at FROM secrets WHERE project = ?1 ORDER BY name";
    rows(connection, sql, [column::project(tenant)], |row| {
        let mut columns = Columns::of(row);
        Ok(SecretName { name: columns.get()?, hosts: columns.json()?, updated_at: columns.time()? })
    })
}

pub(crate) fn secret(
    connection: &Connection,
    tenant: Tenant,
    name: &str,
) -> rusqlite::Result<Option<SecretRow>> {
    let sql = format!("{SECRETS} AND name = ?2");
    row(connection, &sql, params![column::project(tenant), name], read_secret)
}

pub(crate) fn secrets(connection: &Connection, tenant: Tenant) -> rusqlite::Result<Vec<SecretRow>> {
    let sql = format!("{SECRETS} ORDER BY name");
    rows(connection, &sql, [column::project(tenant)], read_secret)
}

pub(crate) fn data_keys(connection: &Connection, tenant: Tenant) -> rusqlite::Result<Vec<DataKeyRow>> {
    let sql = format!("{DATA_KEYS} WHERE project = ?1 ORDER BY version DESC");
    rows(connection, &sql, [column::project(tenant)], read_data_key)
}

pub(crate) fn all_data_keys(connection: &Connection) -> rusqlite::Result<Vec<DataKeyRow>> {
    let sql = format!("{DATA_KEYS} ORDER BY project, version");
    rows(connection, &sql, [], read_data_key)
}

pub(crate) fn key_by_hash(connection: &Connection, hash: &[u8; 32]) -> rusqlite::Result<Option<KeyRow>> {
    let sql = format!("{KEYS} WHERE hash = ?1");
    row(connection, &sql, [hash], read_key)
}

pub(crate) fn keys(connection: &Connection, tenant: Tenant) -> rusqlite::Result<Vec<KeyRow>> {
    let sql = format!("{KEYS} WHERE project = ?1 ORDER BY id DESC");
    rows(connection, &sql, [column::project(tenant)], read_key)
}

pub(crate) fn projects(connection: &Connection) -> rusqlite::Result<Vec<ProjectRow>> {
    let sql = "SELECT organization, project, name, created_at FROM projects ORDER BY project";
    rows(connection, sql, [], |row| {
        let mut columns = Columns::of(row);
        Ok(ProjectRow { tenant: columns.tenant()?, name: columns.get()?, created_at: columns.time()? })
    })
}

fn read_secret(row: &Row<'_>) -> rusqlite::Result<SecretRow> {
    let mut columns = Columns::of(row);
    Ok(SecretRow {
        tenant: columns.tenant()?,
        name: columns.get()?,
        sealed: columns.get()?,
        hosts: columns.json()?,
        updated_at: columns.time()?,
    })
}

fn read_data_key(row: &Row<'_>) -> rusqlite::Result<DataKeyRow> {
    let mut columns = Columns::of(row);
    Ok(DataKeyRow {
        tenant: columns.tenant()?,
        version: columns.count()?,
        wrapped: columns.get()?,
        updated_at: columns.time()?,
    })
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let mut columns = Columns::of(row);
    Ok(KeyRow {
        id: KeyId::from_bits(columns.bits()?),
        tenant: columns.tenant()?,
        hash: columns.get()?,
        name: columns.get()?,
        scopes: columns.json()?,
        created_at: columns.time()?,
        expires_at: columns.time_option()?,
        revoked_at: columns.time_option()?,
        last_used_at: columns.time_option()?,
    })
}
