//! Deleting executions that ended long ago, a bounded number per transaction so that neither the
//! log nor the pause of other writers grows with the backlog.

use flux_store::Outcome;
use flux_store::command::Retain;
use rusqlite::{Connection, params};

use super::execute;
use crate::column::{self, Id, KINDS};

/// Rates that one command forgets at most.
const RATES_FORGOTTEN_MAX: i64 = 1_000;
/// The terminal statuses, as numbers.
const ENDED: std::ops::RangeInclusive<i64> = 3..=5;

/// What belongs to an execution, each table by the execution's id.
const PARTS: [&str; 5] = [
    "DELETE FROM journal WHERE execution = ?1",
    "DELETE FROM timers WHERE execution = ?1",
    "DELETE FROM reviews WHERE execution = ?1",
    "DELETE FROM held_inputs WHERE execution = ?1",
    "DELETE FROM object_references WHERE execution = ?1",
];

pub(super) fn retain(connection: &Connection, retain: &Retain) -> rusqlite::Result<Outcome> {
    let old = find_old(connection, retain)?;
    for id in &old {
        for part in PARTS {
            execute(connection, part, [id])?;
        }
        execute(connection, "DELETE FROM executions WHERE id = ?1", [id])?;
    }
    // A rate whose time has passed says the same as none.
    let sql = "DELETE FROM rates WHERE (project, flow, key) IN (SELECT project, flow, key FROM rates
        INDEXED BY rates_by_time WHERE project = ?1 AND next_us < ?2 ORDER BY next_us LIMIT ?3)";
    let passed = retain.ended_before.millis().saturating_mul(1_000);
    let project = column::project(retain.tenant);
    execute(connection, sql, params![project, passed, RATES_FORGOTTEN_MAX])?;
    Ok(Outcome::Deleted { executions: old.len() })
}

/// The oldest of them by id. What ended before some time also began before, so each range is read
/// from its old end and stops there.
fn find_old(connection: &Connection, retain: &Retain) -> rusqlite::Result<Vec<Id>> {
    let ended_before = retain.ended_before.millis();
    let Some(youngest) = column::last_id_before(retain.ended_before) else { return Ok(Vec::new()) };
    let youngest = youngest.to_be_bytes();
    let project = column::project(retain.tenant);
    let limit = column::number(retain.rows() as u64);
    let mut old: Vec<Id> = Vec::new();
    for status in ENDED {
        if let Some(flow) = &retain.flow {
            let sql = "SELECT id FROM executions INDEXED BY executions_by_flow
                WHERE project = ?1 AND flow = ?2 AND status = ?3 AND id <= ?4 AND ended_at < ?5
                ORDER BY id LIMIT ?6";
            let parameters = params![project, flow, status, youngest, ended_before, limit];
            let mut statement = connection.prepare_cached(sql)?;
            let ids = statement.query_map(parameters, |row| row.get(0))?;
            old.extend(ids.collect::<rusqlite::Result<Vec<Id>>>()?);
            continue;
        }
        for kind in KINDS {
            let sql = "SELECT id FROM executions INDEXED BY executions_by_status
                WHERE project = ?1 AND kind = ?2 AND status = ?3 AND id <= ?4 AND ended_at < ?5
                ORDER BY id LIMIT ?6";
            let parameters = params![project, column::kind(kind), status, youngest, ended_before, limit];
            let mut statement = connection.prepare_cached(sql)?;
            let ids = statement.query_map(parameters, |row| row.get(0))?;
            old.extend(ids.collect::<rusqlite::Result<Vec<Id>>>()?);
        }
    }
    old.sort_unstable();
    old.truncate(retain.rows());
    Ok(old)
}
