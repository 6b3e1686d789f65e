//! Reviews.

use flux_model::{ExecutionId, ReviewId, Tenant};
use flux_store::reviews::{ReviewFilter, ReviewRow};
use flux_store::{Page, PageRequest};
use rusqlite::{Connection, Row, params};

use super::{row, rows};
use crate::column::{self, Columns, Id, REVIEW_STATUSES};

pub(crate) fn get(
    connection: &Connection,
    tenant: Tenant,
    id: ReviewId,
) -> rusqlite::Result<Option<ReviewRow>> {
    let sql = "SELECT organization, project, execution, flow, request, status, decision, opened_at, closed_at
        FROM reviews WHERE id = ?1 AND project = ?2";
    let parameters = params![id.bits().to_be_bytes(), column::project(tenant)];
    row(connection, sql, parameters, read)
}

pub(crate) fn list(
    connection: &Connection,
    tenant: Tenant,
    filter: &ReviewFilter,
    page: PageRequest,
) -> rusqlite::Result<Page<ReviewRow>> {
    let last = page.after.map_or(Some(u128::MAX), |after| after.0.checked_sub(1));
    let mut found = match last {
        Some(last) => candidates(connection, tenant, filter, (last.to_be_bytes(), page.rows() + 1))?,
        None => Vec::new(),
    };
    found.sort_unstable_by(|left, right| right.cmp(left));
    found.truncate(page.rows() + 1);
    let mut items = Vec::with_capacity(found.len());
    for id in found {
        items.extend(get(connection, tenant, ReviewId::from_bits(u128::from_be_bytes(id)))?);
    }
    Ok(Page::cut(items, page.rows(), |row| row.request.id.bits()))
}

/// Ids that fit up to the last wanted one; at least the newest of them all.
fn candidates(
    connection: &Connection,
    tenant: Tenant,
    filter: &ReviewFilter,
    (last, limit): (Id, usize),
) -> rusqlite::Result<Vec<Id>> {
    let project = column::project(tenant);
    let limit = column::number(limit as u64);
    if let Some(execution) = filter.execution {
        let sql = "SELECT id FROM reviews INDEXED BY reviews_by_execution
            WHERE execution = ?1 AND id <= ?2 AND project = ?3 AND (?4 IS NULL OR status = ?4)
            ORDER BY id DESC LIMIT ?5";
        let status = filter.status.map(column::review_status);
        let parameters = params![execution.bits().to_be_bytes(), last, project, status, limit];
        return rows(connection, sql, parameters, |row| row.get(0));
    }
    let sql = "SELECT id FROM reviews INDEXED BY reviews_by_status
        WHERE project = ?1 AND status = ?2 AND id <= ?3 ORDER BY id DESC LIMIT ?4";
    let mut found = Vec::new();
    for status in REVIEW_STATUSES {
        if filter.status.is_none_or(|wanted| wanted == status) {
            let parameters = params![project, column::review_status(status), last, limit];
            found.extend(rows(connection, sql, parameters, |row| row.get::<_, Id>(0))?);
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ReviewRow> {
    let mut columns = Columns::of(row);
    Ok(ReviewRow {
        tenant: columns.tenant()?,
        execution: ExecutionId::from_bits(columns.bits()?),
        flow: columns.get()?,
        request: columns.json()?,
        status: columns.review_status()?,
        decision: columns.json_option()?,
        opened_at: columns.time()?,
        closed_at: columns.time_option()?,
    })
}
