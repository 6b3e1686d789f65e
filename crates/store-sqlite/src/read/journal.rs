//! Journals, held inputs, and the objects they refer to.

use std::collections::BTreeSet;

use flux_model::{ExecutionId, Tenant};
use flux_store::executions::{JOURNAL_PAGE_BYTES_MAX, JOURNAL_PAGE_RECORDS_MAX, JournalPage, JournalRecord};
use rusqlite::{Connection, params};

use super::row;
use crate::column::{self, Columns};

pub(crate) fn page(
    connection: &Connection,
    tenant: Tenant,
    id: ExecutionId,
    from_seq: u64,
) -> rusqlite::Result<JournalPage> {
    // The record that holds an entry is the last one that does not begin after it.
    let sql = "SELECT first_seq, entries, record FROM journal INDEXED BY journal_by_execution
        WHERE execution = ?1 AND project = ?2 AND first_seq >= ifnull(
            (SELECT max(first_seq) FROM journal WHERE execution = ?1 AND first_seq <= ?3), 0)
        ORDER BY first_seq";
    let (id, project) = (id.bits().to_be_bytes(), column::project(tenant));
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params![id, project, column::number(from_seq)])?;
    let mut page = JournalPage::default();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let mut columns = Columns::of(row);
        let (first_seq, entries): (u64, u32) = (columns.count()?, columns.count()?);
        if first_seq + u64::from(entries) <= from_seq {
            continue;
        }
        if page.records.len() == JOURNAL_PAGE_RECORDS_MAX || bytes >= JOURNAL_PAGE_BYTES_MAX {
            page.next_seq = Some(first_seq);
            break;
        }
        let record = JournalRecord { first_seq, entries, bytes: columns.get()? };
        bytes += record.bytes.len();
        page.records.push(record);
    }
    Ok(page)
}

pub(crate) fn held(
    connection: &Connection,
    tenant: Tenant,
    id: ExecutionId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT input FROM held_inputs WHERE execution = ?1 AND project = ?2";
    let parameters = params![id.bits().to_be_bytes(), column::project(tenant)];
    row(connection, sql, parameters, |row| row.get(0))
}

pub(crate) fn objects_referenced(
    connection: &Connection,
    tenant: Tenant,
    names: &[String],
) -> rusqlite::Result<BTreeSet<String>> {
    let sql = "SELECT 1 FROM object_references WHERE project = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut referenced = BTreeSet::new();
    for name in names {
        if statement.exists(params![column::project(tenant), name])? {
            referenced.insert(name.clone());
        }
    }
    Ok(referenced)
}
