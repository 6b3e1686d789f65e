//! Steps of executions: journal record, status, timers and reviews together.

use flux_model::review::ReviewStatus;
use flux_model::{ExecutionId, ExecutionStatus, ReviewId, Tenant, Timestamp};
use flux_store::command::{Append, StatusChange, Step};
use flux_store::reviews::{self, ReviewChange, ReviewState};
use flux_store::{Outcome, TimerName};
use rusqlite::{Connection, OptionalExtension, params};

use super::{execute, slots};
use crate::column::{self, Columns};

/// An execution as its next step needs it.
struct Current {
    accepted: i64,
    status: ExecutionStatus,
    next_seq: u64,
    flow: String,
    concurrency_key: Option<String>,
    debounced: bool,
}

pub(super) fn append(connection: &Connection, append: &Append) -> rusqlite::Result<Outcome> {
    let Some(current) = find(connection, append)? else { return Ok(Outcome::NotFound) };
    let step = &append.step;
    let status = current.status;
    let ended_at = step.change.as_ref().and_then(StatusChange::ended_at);
    if status.is_terminal() || (status == ExecutionStatus::Queued && ended_at.is_none()) {
        return Ok(Outcome::WrongStatus { status });
    }
    if current.next_seq != append.expected_next_seq {
        return Ok(Outcome::Conflict { next_seq: current.next_seq });
    }
    if let Some(refusal) = judge_reviews(connection, append.execution, &step.reviews)? {
        return Ok(refusal);
    }
    update(connection, &current, step)?;
    if current.next_seq == 0 {
        let sql = "DELETE FROM held_inputs WHERE execution = ?1";
        execute(connection, sql, [append.execution.bits().to_be_bytes()])?;
    }
    let execution = (append.tenant, append.execution, current.flow.as_str());
    write_parts(connection, execution, current.next_seq, step)?;
    let mut promoted = Vec::new();
    if let (Some(at), Some(key), true) =
        (ended_at, &current.concurrency_key, status != ExecutionStatus::Queued)
    {
        let key = slots::Key { tenant: append.tenant, flow: &current.flow, key };
        promoted = slots::promote(connection, key, at)?;
    }
    Ok(Outcome::Appended { promoted })
}

fn find(connection: &Connection, append: &Append) -> rusqlite::Result<Option<Current>> {
    let sql = "SELECT accepted, status, next_seq, flow, concurrency_key, debounce_key IS NOT NULL
        FROM executions WHERE id = ?1 AND project = ?2";
    let parameters = params![append.execution.bits().to_be_bytes(), column::project(append.tenant)];
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::of(row);
        Ok(Current {
            accepted: columns.get()?,
            status: columns.status()?,
            next_seq: columns.count()?,
            flow: columns.get()?,
            concurrency_key: columns.get()?,
            debounced: columns.get()?,
        })
    };
    connection.prepare_cached(sql)?.query_row(parameters, read).optional()
}

/// Updates the execution's row. Columns that stand in an index are named only where they change,
/// because naming them rewrites the index.
fn update(connection: &Connection, current: &Current, step: &Step) -> rusqlite::Result<()> {
    let bytes = column::number(step.record.len() as u64);
    let Some(change) = &step.change else {
        let sql = "UPDATE executions SET next_seq = next_seq + ?2, journal_bytes = journal_bytes + ?3
            WHERE accepted = ?1";
        execute(connection, sql, params![current.accepted, step.entries, bytes])?;
        return Ok(());
    };
    let stored = StoredChange::of(Some(change))?;
    if change.status() == current.status {
        let sql = "UPDATE executions SET next_seq = next_seq + ?2, journal_bytes = journal_bytes + ?3,
            waits = ?4 WHERE accepted = ?1";
        execute(connection, sql, params![current.accepted, step.entries, bytes, stored.waits])?;
        return Ok(());
    }
    let sql = "UPDATE executions SET next_seq = next_seq + ?2, journal_bytes = journal_bytes + ?3,
            waits = ?4, status = ?5, output = ?6, error_code = ?7, error_message = ?8, error_node = ?9,
            ended_at = ?10
        WHERE accepted = ?1";
    let parameters = params![
        current.accepted,
        step.entries,
        bytes,
        stored.waits,
        column::status(change.status()),
        stored.output,
        stored.error_code,
        stored.error_message,
        stored.error_node,
        stored.ended_at,
    ];
    execute(connection, sql, parameters)?;
    if current.debounced {
        let sql = "UPDATE executions SET debounce_key = NULL WHERE accepted = ?1";
        execute(connection, sql, [current.accepted])?;
    }
    Ok(())
}

/// A status change as its columns hold it.
#[derive(Default)]
pub(super) struct StoredChange<'a> {
    pub(super) waits: Option<String>,
    pub(super) output: Option<&'a str>,
    pub(super) error_code: Option<&'static str>,
    pub(super) error_message: Option<String>,
    pub(super) error_node: Option<String>,
    pub(super) ended_at: Option<i64>,
}

impl<'a> StoredChange<'a> {
    pub(super) fn of(change: Option<&'a StatusChange>) -> rusqlite::Result<Self> {
        let Some(change) = change else { return Ok(Self::default()) };
        let mut stored = Self { ended_at: change.ended_at().map(Timestamp::millis), ..Self::default() };
        if let Some(error) = change.error() {
            stored.error_code = Some(error.code.as_str());
            stored.error_message = Some(error.message);
            stored.error_node = error.node.map(|node| node.as_str().to_owned());
        }
        match change {
            StatusChange::Waiting { waits } => stored.waits = Some(column::json(waits)?),
            StatusChange::Succeeded { output, .. } => stored.output = output.as_deref(),
            StatusChange::Running | StatusChange::Failed { .. } | StatusChange::Cancelled { .. } => {}
        }
        Ok(stored)
    }
}

/// Writes what a step has beside the execution's row.
pub(super) fn write_parts(
    connection: &Connection,
    (tenant, execution, flow): (Tenant, ExecutionId, &str),
    first_seq: u64,
    step: &Step,
) -> rusqlite::Result<()> {
    let id = execution.bits().to_be_bytes();
    let (organization, project) = (column::organization(tenant), column::project(tenant));
    let sql = "INSERT INTO journal (execution, first_seq, entries, organization, project, record)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let first_seq = column::number(first_seq);
    execute(connection, sql, params![id, first_seq, step.entries, organization, project, step.record])?;
    add_objects(connection, tenant, execution, &step.objects)?;
    for change in &step.reviews {
        change_review(connection, (tenant, execution, flow), change)?;
    }
    if let Some(ended_at) = step.change.as_ref().and_then(StatusChange::ended_at) {
        return end(connection, execution, ended_at);
    }
    for name in &step.clear_timers {
        clear_timer(connection, execution, name)?;
    }
    for timer in &step.set_timers {
        set_timer(connection, tenant, execution, &timer.name, timer.due)?;
    }
    Ok(())
}

/// An ended execution has neither timers nor pending reviews.
fn end(connection: &Connection, execution: ExecutionId, at: Timestamp) -> rusqlite::Result<()> {
    let id = execution.bits().to_be_bytes();
    execute(connection, "DELETE FROM timers WHERE execution = ?1", [id])?;
    let sql = "UPDATE reviews SET status = 5, closed_at = ?2 WHERE execution = ?1 AND status = 0";
    execute(connection, sql, params![id, at.millis()])?;
    Ok(())
}

pub(super) fn set_timer(
    connection: &Connection,
    tenant: Tenant,
    execution: ExecutionId,
    name: &TimerName,
    due: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO timers (execution, name, due, organization, project) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET due = excluded.due";
    let organization = column::organization(tenant);
    let project = column::project(tenant);
    let id = execution.bits().to_be_bytes();
    execute(connection, sql, params![id, name.encode(), due.millis(), organization, project])?;
    Ok(())
}

pub(super) fn clear_timer(
    connection: &Connection,
    execution: ExecutionId,
    name: &TimerName,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM timers WHERE execution = ?1 AND name = ?2";
    execute(connection, sql, params![execution.bits().to_be_bytes(), name.encode()])?;
    Ok(())
}

pub(super) fn add_objects(
    connection: &Connection,
    tenant: Tenant,
    execution: ExecutionId,
    names: &[String],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO object_references (execution, name, organization, project)
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let organization = column::organization(tenant);
    let project = column::project(tenant);
    for name in names {
        execute(connection, sql, params![execution.bits().to_be_bytes(), name, organization, project])?;
    }
    Ok(())
}

pub(super) fn judge_reviews(
    connection: &Connection,
    execution: ExecutionId,
    changes: &[ReviewChange],
) -> rusqlite::Result<Option<Outcome>> {
    reviews::judge(execution, changes, |id| find_review(connection, id))
}

fn find_review(connection: &Connection, id: ReviewId) -> rusqlite::Result<Option<ReviewState>> {
    let sql = "SELECT execution, version, status FROM reviews WHERE id = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::of(row);
        Ok(ReviewState {
            execution: ExecutionId::from_bits(columns.bits()?),
            version: columns.count()?,
            status: columns.review_status()?,
        })
    };
    connection.prepare_cached(sql)?.query_row([id.bits().to_be_bytes()], read).optional()
}

fn change_review(
    connection: &Connection,
    (tenant, execution, flow): (Tenant, ExecutionId, &str),
    change: &ReviewChange,
) -> rusqlite::Result<()> {
    match change {
        ReviewChange::Open { request, at } => {
            let sql = "INSERT INTO reviews (id, organization, project, execution, flow, request, version,
                status, opened_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let parameters = params![
                request.id.bits().to_be_bytes(),
                column::organization(tenant),
                column::project(tenant),
                execution.bits().to_be_bytes(),
                flow,
                column::json(request)?,
                request.version,
                column::review_status(ReviewStatus::Pending),
                at.millis(),
            ];
            execute(connection, sql, parameters)?;
        }
        ReviewChange::Close { review, status, decision, at, .. } => {
            let sql = "UPDATE reviews SET status = ?2, decision = ?3, closed_at = ?4 WHERE id = ?1";
            let decision = decision.as_ref().map(column::json).transpose()?;
            let (id, status) = (review.bits().to_be_bytes(), column::review_status(*status));
            execute(connection, sql, params![id, status, decision, at.millis()])?;
        }
    }
    Ok(())
}
