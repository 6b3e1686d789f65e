//! Durable timers.

use flux_model::{ExecutionId, Tenant, Timestamp};
use flux_store::timers::TimerRow;
use rusqlite::{Connection, Row, params};

use super::{row, rows};
use crate::column::{self, Columns};

pub(crate) fn due(
    connection: &Connection,
    until: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<TimerRow>> {
    let sql = "SELECT organization, project, execution, name, due FROM timers INDEXED BY timers_by_due
        WHERE due <= ?1 ORDER BY due, execution, name LIMIT ?2";
    rows(connection, sql, params![until.millis(), column::number(limit as u64)], read)
}

pub(crate) fn next(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(due) FROM timers";
    Ok(row(connection, sql, [], |row| Columns::of(row).time_option())?.flatten())
}

pub(crate) fn of(
    connection: &Connection,
    tenant: Tenant,
    id: ExecutionId,
) -> rusqlite::Result<Vec<TimerRow>> {
    let sql = "SELECT organization, project, execution, name, due FROM timers
        WHERE execution = ?1 AND project = ?2 ORDER BY due, name";
    rows(connection, sql, params![id.bits().to_be_bytes(), column::project(tenant)], read)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TimerRow> {
    let mut columns = Columns::of(row);
    Ok(TimerRow {
        tenant: columns.tenant()?,
        execution: ExecutionId::from_bits(columns.bits()?),
        name: columns.timer_name()?,
        due: columns.time()?,
    })
}
