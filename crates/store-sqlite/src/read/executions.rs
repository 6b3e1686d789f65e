//! Executions: one, lists, counts, and those that are not over.
//!
//! A list first finds its ids in one index and then fetches the rows of one page. Which index
//! depends on the filter; they are named in the SQL so that no statistics can change the plan.

use flux_model::{ErrorCode, ExecutionId, ExecutionStatus, NodePath, Tenant};
use flux_store::executions::{
    ErrorSummary, ExecutionFilter, ExecutionRow, OpenCursor, OpenExecution, Parent, Slots, StatusCounts,
};
use flux_store::{Page, PageRequest};
use rusqlite::{Connection, Row, params};

use super::{row, rows};
use crate::column::{self, Columns, Id, KINDS, STATUSES};

/// The columns of an [`ExecutionRow`], in the order in which [`read`] takes them.
macro_rules! columns {
    () => {
        "id, organization, project, kind, flow, version, trigger_type, request_id, parent, parent_path,
        parent_awaited, depth, idempotency_key, priority, concurrency_key, replaced_by, status, waits, input,
        output, error_code, error_message, error_node, started_at, ended_at, next_seq, journal_bytes"
    };
}

const GET: &str = concat!("SELECT ", columns!(), " FROM executions WHERE id = ?1 AND project = ?2");

pub(crate) fn get(
    connection: &Connection,
    tenant: Tenant,
    id: ExecutionId,
) -> rusqlite::Result<Option<ExecutionRow>> {
    let parameters = params![id.bits().to_be_bytes(), column::project(tenant)];
    row(connection, GET, parameters, |row| read(&mut Columns::of(row)))
}

pub(crate) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &ExecutionFilter,
    page: PageRequest,
) -> rusqlite::Result<Page<ExecutionRow>> {
    let mut found = Vec::new();
    if let Some(range) = Range::of(filter, page) {
        found = candidates(connection, &Search { tenant, filter, range, limit: page.rows() + 1 })?;
        found.sort_unstable_by(|left, right| right.cmp(left));
        found.truncate(page.rows() + 1);
    }
    let mut items = Vec::with_capacity(found.len());
    for id in found {
        items.extend(get(connection, tenant, execution_id(id))?);
    }
    Ok(Page::cut(items, page.rows(), |row| row.id.bits()))
}

/// Ids from the first to the last, both included.
struct Range {
    first: Id,
    last: Id,
}

impl Range {
    /// What filter and cursor leave; `None` if that is nothing.
    fn of(filter: &ExecutionFilter, page: PageRequest) -> Option<Self> {
        let first = filter.since.map_or(Some(0), column::first_id_since)?;
        let until = filter.until.map_or(Some(u128::MAX), column::last_id_before)?;
        let cursor = page.after.map_or(Some(u128::MAX), |after| after.0.checked_sub(1))?;
        Some(Self { first: first.to_be_bytes(), last: until.min(cursor).to_be_bytes() })
    }
}

struct Search<'a> {
    tenant: Tenant,
    filter: &'a ExecutionFilter,
    range: Range,
    limit: usize,
}

impl Search<'_> {
    fn project(&self) -> Id {
        column::project(self.tenant)
    }

    fn limit(&self) -> i64 {
        column::number(self.limit as u64)
    }

    fn statuses(&self) -> Vec<ExecutionStatus> {
        let wanted = |status: &ExecutionStatus| {
            self.filter.statuses.is_empty() || self.filter.statuses.contains(status)
        };
        STATUSES.into_iter().filter(wanted).collect()
    }

    /// The wanted statuses, a bit each.
    fn status_bits(&self) -> i64 {
        self.statuses().into_iter().map(|status| 1 << column::status(status)).sum()
    }

    fn kind(&self) -> Option<i64> {
        self.filter.kind.map(column::kind)
    }
}

/// Ids that fit, newest first within each range that is read; at least the newest of them all.
fn candidates(connection: &Connection, search: &Search<'_>) -> rusqlite::Result<Vec<Id>> {
    if let Some(parent) = search.filter.parent {
        return by_parent(connection, search, parent);
    }
    if let Some(request_id) = &search.filter.request_id {
        return by_request(connection, search, request_id);
    }
    let mut found = Vec::new();
    for status in search.statuses() {
        if let Some(flow) = &search.filter.flow {
            found.extend(by_flow(connection, search, flow, status)?);
            continue;
        }
        for kind in KINDS.into_iter().filter(|kind| search.filter.kind.is_none_or(|wanted| wanted == *kind)) {
            let sql = "SELECT id FROM executions INDEXED BY executions_by_status
                WHERE status = ?1 AND kind = ?2 AND project = ?3 AND id BETWEEN ?4 AND ?5
                ORDER BY id DESC LIMIT ?6";
            let (status, kind) = (column::status(status), column::kind(kind));
            let Range { first, last } = &search.range;
            let parameters = params![status, kind, search.project(), first, last, search.limit()];
            found.extend(rows(connection, sql, parameters, |row| row.get::<_, Id>(0))?);
        }
    }
    Ok(found)
}

fn by_flow(
    connection: &Connection,
    search: &Search<'_>,
    flow: &str,
    status: ExecutionStatus,
) -> rusqlite::Result<Vec<Id>> {
    let sql = "SELECT id FROM executions INDEXED BY executions_by_flow
        WHERE project = ?1 AND flow = ?2 AND status = ?3 AND id BETWEEN ?4 AND ?5
            AND (?6 IS NULL OR kind = ?6)
        ORDER BY id DESC LIMIT ?7";
    let Range { first, last } = &search.range;
    let status = column::status(status);
    let parameters = params![search.project(), flow, status, first, last, search.kind(), search.limit()];
    rows(connection, sql, parameters, |row| row.get(0))
}

fn by_request(connection: &Connection, search: &Search<'_>, request_id: &str) -> rusqlite::Result<Vec<Id>> {
    let sql = "SELECT id FROM executions INDEXED BY executions_by_request
        WHERE project = ?1 AND request_id = ?2 AND id BETWEEN ?3 AND ?4
            AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR flow = ?6) AND (1 << status) & ?7
        ORDER BY id DESC LIMIT ?8";
    let Range { first, last } = &search.range;
    let parameters = params![
        search.project(),
        request_id,
        first,
        last,
        search.kind(),
        search.filter.flow,
        search.status_bits(),
        search.limit(),
    ];
    rows(connection, sql, parameters, |row| row.get(0))
}

fn by_parent(connection: &Connection, search: &Search<'_>, parent: ExecutionId) -> rusqlite::Result<Vec<Id>> {
    let sql = "SELECT id FROM executions INDEXED BY executions_by_parent
        WHERE parent = ?1 AND id BETWEEN ?2 AND ?3 AND project = ?4
            AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR flow = ?6)
            AND (?7 IS NULL OR request_id = ?7) AND (1 << status) & ?8
        ORDER BY id DESC LIMIT ?9";
    let Range { first, last } = &search.range;
    let parameters = params![
        parent.bits().to_be_bytes(),
        first,
        last,
        search.project(),
        search.kind(),
        search.filter.flow,
        search.filter.request_id,
        search.status_bits(),
        search.limit(),
    ];
    rows(connection, sql, parameters, |row| row.get(0))
}

pub(crate) fn status_counts(connection: &Connection, tenant: Tenant) -> rusqlite::Result<StatusCounts> {
    let sql = "SELECT count(*) FROM executions INDEXED BY executions_by_status
        WHERE status = ?1 AND kind = ?2 AND project = ?3";
    let mut counts = StatusCounts::default();
    for status in STATUSES {
        for kind in KINDS {
            let project = column::project(tenant);
            let parameters = params![column::status(status), column::kind(kind), project];
            let count = row(connection, sql, parameters, |row| Columns::of(row).count::<u64>())?;
            *counts.of(status) += count.unwrap_or(0);
        }
    }
    Ok(counts)
}

pub(crate) fn slots(
    connection: &Connection,
    tenant: Tenant,
    flow: &str,
    key: &str,
) -> rusqlite::Result<Slots> {
    let sql = "SELECT count(*) FILTER (WHERE status > 0),
            count(*) FILTER (WHERE status = 0 AND debounce_key IS NULL)
        FROM executions INDEXED BY executions_slots
        WHERE project = ?1 AND flow = ?2 AND concurrency_key = ?3 AND status <= 2";
    let parameters = params![column::project(tenant), flow, key];
    let counted = row(connection, sql, parameters, |row| {
        let mut columns = Columns::of(row);
        Ok(Slots { active: columns.count()?, queued: columns.count()? })
    })?;
    Ok(counted.unwrap_or_default())
}

const OPEN: &str = concat!(
    "SELECT ",
    columns!(),
    ", (SELECT count(*) FROM timers WHERE execution = executions.id),
        (SELECT min(due) FROM timers WHERE execution = executions.id),
        EXISTS (SELECT 1 FROM held_inputs WHERE execution = executions.id),
        debounce_key IS NOT NULL
    FROM executions INDEXED BY executions_open
    WHERE status <= 2 AND id > ?1 ORDER BY id LIMIT ?2"
);

pub(crate) fn open(
    connection: &Connection,
    after: Option<OpenCursor>,
    limit: usize,
) -> rusqlite::Result<Vec<OpenExecution>> {
    // The empty blob sorts before every id.
    let after = after.map_or_else(Vec::new, |cursor| cursor.0.bits().to_be_bytes().to_vec());
    rows(connection, OPEN, params![after, column::number(limit as u64)], |row: &Row<'_>| {
        let mut columns = Columns::of(row);
        Ok(OpenExecution {
            row: read(&mut columns)?,
            timers: columns.count()?,
            next_due: columns.time_option()?,
            held: columns.get()?,
            debounced: columns.get()?,
        })
    })
}

fn read(columns: &mut Columns<'_, '_>) -> rusqlite::Result<ExecutionRow> {
    Ok(ExecutionRow {
        id: ExecutionId::from_bits(columns.bits()?),
        tenant: columns.tenant()?,
        kind: columns.kind()?,
        flow: columns.get()?,
        version: columns.get()?,
        trigger: columns.get()?,
        request_id: columns.get()?,
        parent: read_parent(columns)?,
        depth: columns.count()?,
        idempotency_key: columns.get()?,
        priority: columns.get()?,
        concurrency_key: columns.get()?,
        replaced_by: columns.get::<Option<Id>>()?.map(execution_id),
        status: columns.status()?,
        waits: columns.json_option()?.unwrap_or_default(),
        input: columns.get()?,
        output: columns.get()?,
        error: read_error(columns)?,
        started_at: columns.time_option()?,
        ended_at: columns.time_option()?,
        next_seq: columns.count()?,
        journal_bytes: columns.count()?,
    })
}

fn execution_id(id: Id) -> ExecutionId {
    ExecutionId::from_bits(u128::from_be_bytes(id))
}

fn read_parent(columns: &mut Columns<'_, '_>) -> rusqlite::Result<Option<Parent>> {
    let (execution, path) = (columns.get::<Option<Id>>()?, columns.get::<Option<String>>()?);
    let awaited = columns.get::<Option<bool>>()?.unwrap_or_default();
    Ok(execution.zip(path).map(|(execution, path)| Parent {
        execution: execution_id(execution),
        path: NodePath::from(path.as_str()),
        awaited,
    }))
}

fn read_error(columns: &mut Columns<'_, '_>) -> rusqlite::Result<Option<ErrorSummary>> {
    let (code, message) = (columns.error_code()?, columns.get::<Option<String>>()?);
    let node = columns.get::<Option<String>>()?;
    Ok(code.map(|code: ErrorCode| ErrorSummary {
        code,
        message: message.unwrap_or_default(),
        node: node.map(|node| NodePath::from(node.as_str())),
    }))
}
