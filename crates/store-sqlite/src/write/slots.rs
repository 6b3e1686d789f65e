//! Slots of concurrency keys: counted from the executions that run or wait, never kept beside them.

use flux_model::admission::{ConcurrencyRule, Slot};
use flux_model::{ExecutionId, Tenant, Timestamp};
use flux_store::command::{PROMOTED_MAX, Promote, Release};
use flux_store::{Outcome, TimerName};
use rusqlite::{Connection, OptionalExtension, params};

use super::append::clear_timer;
use super::execute;
use crate::column::{self, Columns, Id};

/// Executions that share slots.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) tenant: Tenant,
    pub(super) flow: &'a str,
    pub(super) key: &'a str,
}

impl Key<'_> {
    fn project(self) -> Id {
        column::project(self.tenant)
    }
}

/// How many slots are taken.
pub(super) fn active(connection: &Connection, key: Key<'_>) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM executions INDEXED BY executions_slots
        WHERE project = ?1 AND flow = ?2 AND concurrency_key = ?3 AND status IN (1, 2) AND status <= 2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(params![key.project(), key.flow, key.key], |row| Columns::of(row).count())
}

/// Notes that the first holders of slots in order of acceptance are to be cancelled for another
/// execution; says which. The first to replace one stays.
pub(super) fn replace_oldest(
    connection: &Connection,
    key: Key<'_>,
    count: u64,
    by: ExecutionId,
) -> rusqlite::Result<Vec<ExecutionId>> {
    let sql = "SELECT accepted, id FROM executions INDEXED BY executions_slots
        WHERE project = ?1 AND flow = ?2 AND concurrency_key = ?3 AND status IN (1, 2) AND status <= 2
        ORDER BY accepted LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let parameters = params![key.project(), key.flow, key.key, column::number(count)];
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::of(row);
        Ok((columns.get::<i64>()?, ExecutionId::from_bits(columns.bits()?)))
    };
    let oldest: Vec<_> = statement.query_map(parameters, read)?.collect::<rusqlite::Result<_>>()?;
    for (accepted, _) in &oldest {
        let sql = "UPDATE executions SET replaced_by = ifnull(replaced_by, ?2) WHERE accepted = ?1";
        execute(connection, sql, params![accepted, by.bits().to_be_bytes()])?;
    }
    Ok(oldest.into_iter().map(|(_, id)| id).collect())
}

/// Gives free slots to queued executions: highest priority first, then in order of acceptance.
pub(super) fn promote(
    connection: &Connection,
    key: Key<'_>,
    at: Timestamp,
) -> rusqlite::Result<Vec<ExecutionId>> {
    let sql = "SELECT accepted, id, concurrency_limit FROM executions INDEXED BY executions_slots
        WHERE project = ?1 AND flow = ?2 AND concurrency_key = ?3 AND status = 0 AND status <= 2
            AND debounce_key IS NULL
        ORDER BY priority DESC, accepted LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let parameters = params![key.project(), key.flow, key.key, column::number(PROMOTED_MAX as u64)];
    let mut queued = statement.query(parameters)?;
    let mut active = None;
    let mut granted = Vec::new();
    while let Some(row) = queued.next()? {
        let mut columns = Columns::of(row);
        let (accepted, id, limit): (i64, _, u64) = (columns.get()?, columns.bits()?, columns.count()?);
        // Counted only if somebody waits, which is rare.
        let taken = active.map_or_else(|| self::active(connection, key), Ok)?;
        if taken >= limit.max(1) {
            break;
        }
        active = Some(taken + 1);
        granted.push((accepted, ExecutionId::from_bits(id)));
    }
    drop(queued);
    for (accepted, _) in &granted {
        let sql = "UPDATE executions SET status = 1, started_at = ?2 WHERE accepted = ?1";
        execute(connection, sql, params![accepted, at.millis()])?;
    }
    Ok(granted.into_iter().map(|(_, id)| id).collect())
}

pub(super) fn promote_key(connection: &Connection, command: &Promote) -> rusqlite::Result<Outcome> {
    let key = Key { tenant: command.tenant, flow: &command.flow, key: &command.key };
    Ok(Outcome::Promoted { executions: promote(connection, key, command.at)? })
}

/// A debounced execution as its release needs it.
struct Debounced {
    accepted: i64,
    status: flux_model::ExecutionStatus,
    debounced: bool,
    flow: String,
    rule: Option<ConcurrencyRule>,
    starts_at: Timestamp,
}

pub(super) fn release(connection: &Connection, release: &Release) -> rusqlite::Result<Outcome> {
    let Some(found) = find_debounced(connection, release)? else { return Ok(Outcome::NotFound) };
    if !found.debounced {
        return Ok(Outcome::WrongStatus { status: found.status });
    }
    if found.starts_at > release.at {
        return Ok(Outcome::NotDue { starts_at: found.starts_at });
    }
    let mut cancelled = Vec::new();
    let mut slot = Slot::Free { cancel: 0 };
    if let Some(rule) = &found.rule {
        let key = Key { tenant: release.tenant, flow: &found.flow, key: &rule.key };
        slot = rule.decide(active(connection, key)?);
        if let Slot::Free { cancel: cancel @ 1.. } = slot {
            cancelled = replace_oldest(connection, key, cancel, release.execution)?;
        }
    }
    let (status, started_at, outcome) = match slot {
        Slot::Free { .. } => (1, Some(release.at.millis()), Outcome::Started { cancel: cancelled }),
        Slot::Queue => (0, None, Outcome::Queued { starts_at: None }),
        Slot::Drop => return Ok(Outcome::Dropped),
    };
    let sql = "UPDATE executions SET status = ?2, started_at = ?3, debounce_key = NULL WHERE accepted = ?1";
    execute(connection, sql, params![found.accepted, status, started_at])?;
    clear_timer(connection, release.execution, &TimerName::Start)?;
    Ok(outcome)
}

fn find_debounced(connection: &Connection, release: &Release) -> rusqlite::Result<Option<Debounced>> {
    let sql = "SELECT accepted, status, debounce_key IS NOT NULL, flow, concurrency_key,
            ifnull(concurrency_limit, 1), overflow,
            ifnull((SELECT due FROM timers WHERE execution = executions.id AND name = ?3), 0)
        FROM executions WHERE id = ?1 AND project = ?2";
    let parameters = params![
        release.execution.bits().to_be_bytes(),
        column::project(release.tenant),
        TimerName::Start.encode(),
    ];
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::of(row);
        let (accepted, status) = (columns.get()?, columns.status()?);
        let (debounced, flow) = (columns.get()?, columns.get()?);
        let (key, limit, overflow) =
            (columns.get::<Option<String>>()?, columns.count()?, columns.overflow()?);
        let rule = key.zip(overflow).map(|(key, overflow)| ConcurrencyRule { key, limit, overflow });
        Ok(Debounced { accepted, status, debounced, flow, rule, starts_at: columns.time()? })
    };
    connection.prepare_cached(sql)?.query_row(parameters, read).optional()
}
