//! Looking for damage, and for size.

use flux_model::ExecutionId;
use flux_model::journal::Record;
use flux_store::store::{CheckDepth, CheckReport, FINDINGS_MAX, Finding};
use rusqlite::{Connection, params};

use super::{row, rows};
use crate::column::{self, Columns, Id};

/// What SQLite says of a sound file.
const SOUND: &str = "ok";

pub(crate) fn check(connection: &Connection, depth: CheckDepth) -> rusqlite::Result<CheckReport> {
    let pragma = match depth {
        CheckDepth::Quick => "quick_check",
        CheckDepth::Full => "integrity_check",
    };
    let mut report = CheckReport::default();
    connection.pragma_query(None, pragma, |row| {
        let line: String = row.get(0)?;
        if line != SOUND {
            add(&mut report, Finding::Structure(line));
        }
        Ok(())
    })?;
    match depth {
        CheckDepth::Quick => {}
        CheckDepth::Full => {
            check_journals(connection, &mut report)?;
            check_owners(connection, &mut report)?;
        }
    }
    Ok(report)
}

fn check_journals(connection: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    let mut executions = connection.prepare("SELECT id, next_seq FROM executions ORDER BY id")?;
    let mut executions = executions.query([])?;
    while let Some(row) = executions.next()? {
        let mut columns = Columns::of(row);
        check_journal(connection, columns.get()?, columns.count()?, report)?;
    }
    Ok(())
}

fn check_journal(
    connection: &Connection,
    id: Id,
    next_seq: u64,
    report: &mut CheckReport,
) -> rusqlite::Result<()> {
    let execution = ExecutionId::from_bits(u128::from_be_bytes(id));
    let sql = "SELECT first_seq, entries, record FROM journal WHERE execution = ?1 ORDER BY first_seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut records = statement.query([id])?;
    let mut expected: u64 = 0;
    while let Some(row) = records.next()? {
        let mut columns = Columns::of(row);
        let (seq, entries): (u64, u64) = (columns.count()?, columns.count()?);
        report.records += 1;
        if seq != expected {
            add(report, Finding::JournalGap { execution, seq: expected });
        }
        if let Err(reason) = decode(&columns.get::<Vec<u8>>()?, seq, entries) {
            add(report, Finding::JournalUnreadable { execution, seq, reason });
        }
        expected = seq + entries;
    }
    if expected != next_seq {
        add(report, Finding::JournalGap { execution, seq: expected.min(next_seq) });
    }
    Ok(())
}

fn decode(bytes: &[u8], seq: u64, entries: u64) -> Result<(), String> {
    let record = Record::decode(bytes).map_err(|error| error.to_string())?;
    if (record.first, record.entries.len() as u64) != (seq, entries) {
        return Err(format!(
            "it is stored as {entries} entries from {seq}, but holds {} from {}",
            record.entries.len(),
            record.first
        ));
    }
    Ok(())
}

/// Rows that belong to no execution.
fn check_owners(connection: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    for table in ["journal", "timers", "held_inputs", "object_references", "reviews"] {
        let sql = format!(
            "SELECT DISTINCT execution FROM {table}
            WHERE NOT EXISTS (SELECT 1 FROM executions WHERE id = {table}.execution) LIMIT ?1"
        );
        let limit = column::number(FINDINGS_MAX as u64);
        let orphans = rows(connection, &sql, params![limit], |row| Columns::of(row).bits())?;
        for bits in orphans {
            let execution = ExecutionId::from_bits(bits);
            add(report, Finding::Structure(format!("{table} has rows of {execution}, which does not exist")));
        }
    }
    Ok(())
}

fn add(report: &mut CheckReport, finding: Finding) {
    if report.findings.len() < FINDINGS_MAX {
        report.findings.push(finding);
    }
}

/// Bytes of the file, and of the free space within it.
pub(crate) fn size(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT page_count * page_size, freelist_count * page_size
        FROM pragma_page_count, pragma_page_size, pragma_freelist_count";
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::of(row);
        Ok((columns.count()?, columns.count()?))
    };
    Ok(row(connection, sql, [], read)?.unwrap_or_default())
}
