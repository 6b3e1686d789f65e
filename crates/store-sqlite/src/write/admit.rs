//! Admission: duplicates, debounce, rate and concurrency, in that order.

use flux_model::admission::{DebounceRule, RateRule, Slot};
use flux_model::{ExecutionId, ExecutionStatus, Timestamp};
use flux_store::command::{Accept, Held, NewExecution};
use flux_store::{Outcome, TimerName};
use rusqlite::{Connection, OptionalExtension, params};

use super::append::{StoredChange, add_objects, judge_reviews, set_timer, write_parts};
use super::{execute, slots};
use crate::column::{self, Id};

pub(super) fn accept(connection: &Connection, accept: &Accept) -> rusqlite::Result<Outcome> {
    if let Some(execution) = find_duplicate(connection, accept)? {
        return Ok(Outcome::Duplicate { execution });
    }
    if let Some(rule) = &accept.debounce
        && let Some(pending) = find_debounced(connection, &accept.execution, rule)?
    {
        return join(connection, pending, accept, rule);
    }
    let changes = accept.first.as_ref().map_or(&[][..], |step| &step.reviews);
    if let Some(refusal) = judge_reviews(connection, accept.execution.id, changes)? {
        return Ok(refusal);
    }
    let mut arrival = None;
    if let Some(rule) = &accept.rate {
        match rule.decide(stored_rate(connection, &accept.execution, rule)?, accept.at) {
            Ok(next_us) => arrival = Some((rule, next_us)),
            Err(retry_after) => return Ok(Outcome::RateLimited { retry_after }),
        }
    }
    let outcome = place(connection, accept)?;
    if let (Some((rule, next_us)), true) = (arrival, outcome != Outcome::Dropped) {
        store_rate(connection, &accept.execution, rule, next_us)?;
    }
    Ok(outcome)
}

fn find_duplicate(connection: &Connection, accept: &Accept) -> rusqlite::Result<Option<ExecutionId>> {
    let new = &accept.execution;
    let mut statement = connection.prepare_cached("SELECT 1 FROM executions WHERE id = ?1")?;
    if statement.exists([new.id.bits().to_be_bytes()])? {
        return Ok(Some(new.id));
    }
    let Some(key) = &accept.idempotency_key else { return Ok(None) };
    let sql = "SELECT id FROM executions WHERE project = ?1 AND flow = ?2 AND idempotency_key = ?3
        UNION ALL SELECT execution FROM idempotency_aliases WHERE project = ?1 AND flow = ?2 AND key = ?3";
    let project = column::project(new.tenant);
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![project, new.flow, key], |row| row.get::<_, Id>(0)).optional()?;
    Ok(found.map(|id| ExecutionId::from_bits(u128::from_be_bytes(id))))
}

fn find_debounced(
    connection: &Connection,
    new: &NewExecution,
    rule: &DebounceRule,
) -> rusqlite::Result<Option<ExecutionId>> {
    let sql = "SELECT id FROM executions WHERE project = ?1 AND flow = ?2 AND debounce_key = ?3";
    let parameters = params![column::project(new.tenant), new.flow, rule.key];
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(parameters, |row| row.get::<_, Id>(0)).optional()?;
    Ok(found.map(|id| ExecutionId::from_bits(u128::from_be_bytes(id))))
}

fn stored_rate(
    connection: &Connection,
    new: &NewExecution,
    rule: &RateRule,
) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT next_us FROM rates WHERE project = ?1 AND flow = ?2 AND key = ?3";
    let parameters = params![column::project(new.tenant), new.flow, rule.key];
    connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()
}

fn store_rate(
    connection: &Connection,
    new: &NewExecution,
    rule: &RateRule,
    next_us: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO rates (project, flow, key, organization, next_us) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET next_us = excluded.next_us";
    let tenant = new.tenant;
    let project = column::project(tenant);
    let organization = column::organization(tenant);
    execute(connection, sql, params![project, new.flow, rule.key, organization, next_us])?;
    Ok(())
}

/// Stores a new execution where the rules put it.
fn place(connection: &Connection, accept: &Accept) -> rusqlite::Result<Outcome> {
    if let Some(rule) = &accept.debounce {
        let starts_at = rule.starts_at(accept.execution.id.made_at(), accept.at);
        insert_queued(connection, accept, Some(&rule.key))?;
        set_timer(connection, accept.execution.tenant, accept.execution.id, &TimerName::Start, starts_at)?;
        return Ok(Outcome::Queued { starts_at: Some(starts_at) });
    }
    let Some(rule) = &accept.concurrency else { return start(connection, accept, Vec::new()) };
    let new = &accept.execution;
    let key = slots::Key { tenant: new.tenant, flow: &new.flow, key: &rule.key };
    match rule.decide(slots::active(connection, key)?) {
        Slot::Free { cancel: 0 } => start(connection, accept, Vec::new()),
        Slot::Free { cancel } => {
            let replaced = slots::replace_oldest(connection, key, cancel, new.id)?;
            start(connection, accept, replaced)
        }
        Slot::Queue => {
            insert_queued(connection, accept, None)?;
            Ok(Outcome::Queued { starts_at: None })
        }
        Slot::Drop => Ok(Outcome::Dropped),
    }
}

fn start(connection: &Connection, accept: &Accept, cancel: Vec<ExecutionId>) -> rusqlite::Result<Outcome> {
    let change = accept.first.as_ref().and_then(|step| step.change.as_ref());
    let status = change.map_or(ExecutionStatus::Running, |change| change.status());
    insert(connection, accept, &Placed { status, debounce_key: None, started_at: Some(accept.at) })?;
    let new = &accept.execution;
    match &accept.first {
        Some(step) => write_parts(connection, (new.tenant, new.id, &new.flow), 0, step)?,
        None => hold(connection, new, accept.held.as_ref())?,
    }
    Ok(Outcome::Started { cancel })
}

fn insert_queued(
    connection: &Connection,
    accept: &Accept,
    debounce_key: Option<&str>,
) -> rusqlite::Result<()> {
    insert(connection, accept, &Placed { status: ExecutionStatus::Queued, debounce_key, started_at: None })?;
    hold(connection, &accept.execution, accept.held.as_ref())
}

/// How a new execution is stored.
struct Placed<'a> {
    status: ExecutionStatus,
    debounce_key: Option<&'a str>,
    started_at: Option<Timestamp>,
}

fn insert(connection: &Connection, accept: &Accept, placed: &Placed<'_>) -> rusqlite::Result<()> {
    let new = &accept.execution;
    let rule = accept.concurrency.as_ref();
    // The first step counts only if it runs.
    let step = accept.first.as_ref().filter(|_| placed.started_at.is_some());
    let stored = StoredChange::of(step.and_then(|step| step.change.as_ref()))?;
    let sql = "INSERT INTO executions (id, organization, project, kind, flow, version, trigger_type,
            request_id, parent, parent_path, parent_awaited, depth, idempotency_key, priority,
            debounce_key, concurrency_key, concurrency_limit, overflow, status, waits, input, output,
            error_code, error_message, error_node, started_at, ended_at, next_seq, journal_bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
            ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)";
    let parameters = params![
        new.id.bits().to_be_bytes(),
        column::organization(new.tenant),
        column::project(new.tenant),
        column::kind(new.kind),
        new.flow,
        new.version,
        new.trigger,
        new.request_id,
        new.parent.as_ref().map(|parent| parent.execution.bits().to_be_bytes()),
        new.parent.as_ref().map(|parent| parent.path.as_str()),
        new.parent.as_ref().map(|parent| parent.awaited),
        new.depth,
        accept.idempotency_key,
        new.priority,
        placed.debounce_key,
        rule.map(|rule| &rule.key),
        rule.map(|rule| rule.limit),
        rule.map(|rule| column::overflow(rule.overflow)),
        column::status(placed.status),
        stored.waits,
        new.input,
        stored.output,
        stored.error_code,
        stored.error_message,
        stored.error_node,
        placed.started_at.map(Timestamp::millis),
        stored.ended_at,
        step.map_or(0, |step| step.entries),
        step.map_or(0, |step| column::number(step.record.len() as u64)),
    ];
    execute(connection, sql, parameters)?;
    Ok(())
}

fn hold(connection: &Connection, new: &NewExecution, held: Option<&Held>) -> rusqlite::Result<()> {
    let Some(held) = held else { return Ok(()) };
    let sql = "INSERT INTO held_inputs (execution, organization, project, input) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET input = excluded.input";
    let organization = column::organization(new.tenant);
    let project = column::project(new.tenant);
    execute(connection, sql, params![new.id.bits().to_be_bytes(), organization, project, held.bytes])?;
    add_objects(connection, new.tenant, new.id, &held.objects)
}

/// Replaces the input of a debounced execution.
fn join(
    connection: &Connection,
    pending: ExecutionId,
    accept: &Accept,
    rule: &DebounceRule,
) -> rusqlite::Result<Outcome> {
    let new = &accept.execution;
    let concurrency = accept.concurrency.as_ref();
    let sql = "UPDATE executions SET version = ?2, trigger_type = ?3, request_id = ?4, input = ?5,
        priority = ?6, concurrency_key = ?7, concurrency_limit = ?8, overflow = ?9 WHERE id = ?1";
    let parameters = params![
        pending.bits().to_be_bytes(),
        new.version,
        new.trigger,
        new.request_id,
        new.input,
        new.priority,
        concurrency.map(|rule| &rule.key),
        concurrency.map(|rule| rule.limit),
        concurrency.map(|rule| column::overflow(rule.overflow)),
    ];
    execute(connection, sql, parameters)?;
    hold(connection, &NewExecution { id: pending, ..new.clone() }, accept.held.as_ref())?;
    if let Some(key) = &accept.idempotency_key {
        let sql = "INSERT INTO idempotency_aliases (project, flow, key, organization, execution)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        let project = column::project(new.tenant);
        let organization = column::organization(new.tenant);
        let execution = pending.bits().to_be_bytes();
        execute(connection, sql, params![project, new.flow, key, organization, execution])?;
    }
    let starts_at = rule.starts_at(pending.made_at(), accept.at);
    set_timer(connection, new.tenant, pending, &TimerName::Start, starts_at)?;
    Ok(Outcome::Debounced { execution: pending, starts_at })
}
