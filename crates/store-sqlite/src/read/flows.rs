//! Flows, their versions, and what their triggers remember.

use flux_model::Tenant;
use flux_store::flows::{FlowRow, FlowState, FlowVersionRow};
use flux_store::triggers::TriggerStateRow;
use rusqlite::{Connection, Row, params};

use super::{row, rows};
use crate::column::{self, Columns};

macro_rules! flow_columns {
    () => {
        "organization, project, name, active, active_hash, draft, draft_hash, revision, created_at, updated_at"
    };
}

macro_rules! version_columns {
    () => {
        "v.organization, v.project, v.flow, v.number, v.hash, v.definition, v.author, v.published_at"
    };
}

macro_rules! state_columns {
    () => {
        "organization, project, flow, node, state, version, updated_at"
    };
}

pub(crate) fn list(connection: &Connection, tenant: Tenant) -> rusqlite::Result<Vec<FlowRow>> {
    let sql = concat!("SELECT ", flow_columns!(), " FROM flows WHERE project = ?1 ORDER BY name");
    rows(connection, sql, [column::project(tenant)], read_flow)
}

pub(crate) fn get(connection: &Connection, tenant: Tenant, name: &str) -> rusqlite::Result<Option<FlowRow>> {
    let sql = concat!("SELECT ", flow_columns!(), " FROM flows WHERE project = ?1 AND name = ?2");
    row(connection, sql, params![column::project(tenant), name], read_flow)
}

pub(crate) fn versions(
    connection: &Connection,
    tenant: Tenant,
    name: &str,
) -> rusqlite::Result<Vec<FlowVersionRow>> {
    let sql = concat!(
        "SELECT ",
        version_columns!(),
        " FROM flow_versions v WHERE project = ?1 AND flow = ?2 ORDER BY number DESC"
    );
    rows(connection, sql, params![column::project(tenant), name], read_version)
}

pub(crate) fn version(
    connection: &Connection,
    tenant: Tenant,
    name: &str,
    hash: &str,
) -> rusqlite::Result<Option<FlowVersionRow>> {
    let sql = concat!(
        "SELECT ",
        version_columns!(),
        " FROM flow_versions v WHERE project = ?1 AND flow = ?2 AND hash = ?3"
    );
    row(connection, sql, params![column::project(tenant), name, hash], read_version)
}

pub(crate) fn active(connection: &Connection) -> rusqlite::Result<Vec<FlowVersionRow>> {
    let sql = concat!(
        "SELECT ",
        version_columns!(),
        " FROM flows f JOIN flow_versions v
            ON v.project = f.project AND v.flow = f.name AND v.hash = f.active_hash
        WHERE f.active = 1 ORDER BY f.project, f.name"
    );
    rows(connection, sql, [], read_version)
}

pub(crate) fn trigger_state(
    connection: &Connection,
    tenant: Tenant,
    flow: &str,
    node: &str,
) -> rusqlite::Result<Option<TriggerStateRow>> {
    let sql = concat!(
        "SELECT ",
        state_columns!(),
        " FROM trigger_states WHERE project = ?1 AND flow = ?2 AND node = ?3"
    );
    row(connection, sql, params![column::project(tenant), flow, node], read_state)
}

pub(crate) fn trigger_states(
    connection: &Connection,
    tenant: Tenant,
) -> rusqlite::Result<Vec<TriggerStateRow>> {
    let sql =
        concat!("SELECT ", state_columns!(), " FROM trigger_states WHERE project = ?1 ORDER BY flow, node");
    rows(connection, sql, [column::project(tenant)], read_state)
}

fn read_flow(row: &Row<'_>) -> rusqlite::Result<FlowRow> {
    let mut columns = Columns::of(row);
    Ok(FlowRow {
        tenant: columns.tenant()?,
        name: columns.get()?,
        state: if columns.get()? { FlowState::Active } else { FlowState::Inactive },
        active_hash: columns.get()?,
        draft: columns.get()?,
        draft_hash: columns.get()?,
        revision: columns.count()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

fn read_version(row: &Row<'_>) -> rusqlite::Result<FlowVersionRow> {
    let mut columns = Columns::of(row);
    Ok(FlowVersionRow {
        tenant: columns.tenant()?,
        flow: columns.get()?,
        number: columns.count()?,
        hash: columns.get()?,
        definition: columns.get()?,
        author: columns.get()?,
        published_at: columns.time()?,
    })
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<TriggerStateRow> {
    let mut columns = Columns::of(row);
    Ok(TriggerStateRow {
        tenant: columns.tenant()?,
        flow: columns.get()?,
        node: columns.get()?,
        state: columns.get()?,
        version: columns.count()?,
        updated_at: columns.time()?,
    })
}
