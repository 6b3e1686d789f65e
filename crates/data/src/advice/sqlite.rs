//! Plans of SQLite, and proofs in a shadow: an empty copy of the schema in memory, with the statistics of
//! the real rows.

use rusqlite::{Connection, OptionalExtension};

use super::{Explained, PlanCost, Proof, ProofMethod, Trial};
use crate::DataError;
use crate::compile::Statement;
use crate::engine::sqlite::Sqlite;
use crate::history::RESERVED_PREFIX;
use crate::limits::SAMPLE_ROWS_MAX;
use crate::schema::quoted;

/// What SQLite would do.
pub(super) async fn explain(database: &Sqlite, statement: &Statement) -> Result<Explained, DataError> {
    let statement = statement.clone();
    let deadline = database.bounds().deadline(None);
    let read = database.read(deadline, move |seat| {
        let plan = plan(seat.connection()?, &statement);
        plan.map_err(|error| seat.explain("EXPLAIN", &error))
    });
    read.await
}

/// Plans a query without and with an index. None where SQLite would not use it.
pub(super) async fn prove(database: &Sqlite, trial: Trial) -> Result<Option<Proof>, DataError> {
    let deadline = database.bounds().deadline(None);
    let read = database.read(deadline, move |seat| {
        let proof = prove_in_shadow(seat.connection()?, &trial);
        proof.map_err(|error| seat.explain("EXPLAIN", &error))
    });
    read.await
}

fn plan(connection: &Connection, statement: &Statement) -> rusqlite::Result<Explained> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql))?;
    for (place, parameter) in (1..).zip(&statement.parameters) {
        explain.raw_bind_parameter(place, parameter)?;
    }
    let mut rows = explain.raw_query();
    let (mut lines, mut indexes, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let line: String = row.get("detail")?;
        if let Some(index) = line.split(" INDEX ").nth(1) {
            indexes.extend(index.split_whitespace().next().map(str::to_owned));
        }
        // `SCAN t1 USING INDEX` walks an index in order, which a limit may stop.
        if let Some(scanned) = line.strip_prefix("SCAN ").filter(|_| !line.contains(" USING ")) {
            let name = scanned.split_whitespace().next().unwrap_or_default().to_owned();
            whole.push((name, line.clone()));
        }
        lines.push(line);
    }
    Ok(Explained { text: lines.join("\n"), indexes, whole })
}

fn prove_in_shadow(real: &Connection, trial: &Trial) -> rusqlite::Result<Option<Proof>> {
    let (table, columns) = (&trial.candidate.table, &trial.candidate.columns);
    let rows = count(real, table)?;
    let distinct = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>();
    let mut stat = vec![rows.to_string()];
    for length in 1..=distinct.len() {
        stat.push(rows_per_value(real, table, &distinct[..length].join(", "), rows)?.to_string());
    }
    let shadow = shadow(real)?;
    let before = plan(&shadow, &trial.statement)?;
    shadow.execute_batch(&trial.candidate.sql_on(&quoted(table)))?;
    let name = trial.candidate.name();
    let insert = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?1, ?2, ?3)";
    shadow.execute(insert, (&**table, &name, stat.join(" ")))?;
    shadow.execute_batch("ANALYZE sqlite_schema")?;
    let after = plan(&shadow, &trial.statement)?;
    if !after.indexes.contains(&name) {
        return Ok(None);
    }
    // How many columns of the index the plan really uses: `(a=? AND b>?)` are two.
    let line = after.text.lines().find(|line| line.contains(&name)).unwrap_or_default();
    let used = line.matches(['=', '<', '>']).count().clamp(1, stat.len() - 1);
    let expected = stat.get(used).and_then(|stat| stat.parse::<f64>().ok()).unwrap_or(1.0);
    // An index that is only walked in order saves the sort, and with it reading what is cut off.
    let walked = if line.starts_with("SCAN") { (rows as f64 / 10.0).max(1.0) } else { expected };
    let cost = |plan: Explained, cost: f64| PlanCost { plan: plan.text, cost };
    Ok(Some(Proof {
        method: ProofMethod::Shadow,
        shape: trial.shape,
        before: cost(before, rows as f64),
        after: cost(after, walked),
    }))
}

/// The schema without rows, with what the planner knows about them.
fn shadow(real: &Connection) -> rusqlite::Result<Connection> {
    let shadow = Connection::open_in_memory()?;
    let sql =
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'index', 'view')
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'table' DESC, rowid";
    let mut statement = real.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, sql): (String, String) = (row.get(0)?, row.get(1)?);
        // What needs an extension cannot be copied; no query object reaches it anyway.
        if !name.starts_with(RESERVED_PREFIX) && shadow.execute_batch(&sql).is_ok() {
            tables.push(name);
        }
    }
    shadow.execute_batch("ANALYZE")?;
    let analyzed = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'";
    let insert = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?1, ?2, ?3)";
    if real.query_row(analyzed, [], |_| Ok(())).optional()?.is_some() {
        let mut statement = real.prepare("SELECT tbl, idx, stat FROM sqlite_stat1")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let row: (String, Option<String>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            shadow.execute(insert, row)?;
        }
    } else {
        let known = "SELECT 1 FROM sqlite_schema WHERE name = ?1 AND type = 'table'";
        for table in &tables {
            if shadow.query_row(known, [table], |_| Ok(())).optional()?.is_some() {
                shadow.execute(insert, (table, None::<String>, count(real, table)?.to_string()))?;
            }
        }
    }
    shadow.execute_batch("ANALYZE sqlite_schema")?;
    Ok(shadow)
}

/// About how many rows a table has.
fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT max(rowid) FROM {}", quoted(table));
    let counted = format!("SELECT count(*) FROM {}", quoted(table));
    // A table without rowid has to be counted.
    let highest: rusqlite::Result<Option<i64>> = connection.query_row(&sql, [], |row| row.get(0));
    let rows = match highest {
        Ok(highest) => highest.unwrap_or(0),
        Err(_) => connection.query_row(&counted, [], |row| row.get(0))?,
    };
    Ok(rows.max(0).unsigned_abs())
}

/// About how many rows share a combination of values, judged by a sample.
fn rows_per_value(connection: &Connection, table: &str, columns: &str, rows: u64) -> rusqlite::Result<u64> {
    let sql = format!(
        "SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT {columns} FROM (SELECT {columns} FROM {table} LIMIT {SAMPLE_ROWS_MAX})))
         FROM (SELECT 1 FROM {table} LIMIT {SAMPLE_ROWS_MAX})",
        table = quoted(table)
    );
    let (sample, distinct): (i64, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (sample, distinct) = (sample.unsigned_abs(), distinct.unsigned_abs());
    let is_key = distinct.saturating_mul(10) > sample.saturating_mul(9);
    let per_value = if is_key { sample / distinct.max(1) } else { rows / distinct.max(1) };
    Ok(per_value.max(1))
}
