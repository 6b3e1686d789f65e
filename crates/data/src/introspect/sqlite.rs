//! The schema of an SQLite file, by its own tables and pragmas.

use std::sync::Arc;

use rusqlite::Connection;

use crate::history::RESERVED_PREFIX;
use crate::schema::{Column, ColumnKind, ForeignKey, Index, Schema, Table, TableKind, Triggers, quoted};

/// Reads all tables and views that are not the engine's or SQLite's own.
pub(crate) fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let mut names = connection.prepare(
        "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let names: Vec<(String, String)> =
        names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut tables = Vec::new();
    for (name, kind) in names.iter().filter(|(name, _)| !name.starts_with(RESERVED_PREFIX)) {
        let kind = if kind == "view" { TableKind::View } else { TableKind::Table };
        tables.push(table(connection, name, kind)?);
    }
    fill_references(&mut tables);
    Ok(Schema::new(tables))
}

fn table(connection: &Connection, name: &str, kind: TableKind) -> rusqlite::Result<Table> {
    let (columns, primary_key) = columns(connection, name)?;
    let triggers: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1)",
        [name],
        |row| row.get(0),
    )?;
    Ok(Table {
        name: Arc::from(name),
        kind,
        columns,
        primary_key,
        indexes: if kind == TableKind::Table { indexes(connection, name)? } else { Vec::new() },
        foreign_keys: foreign_keys(connection, name)?,
        row_estimate: row_estimate(connection, name)?,
        triggers: if triggers { Triggers::Some } else { Triggers::None },
        sql: quoted(name),
    })
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<(Vec<Column>, Vec<usize>)> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1)";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut columns: Vec<Column> = Vec::new();
    let mut key: Vec<(i64, usize)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let (not_null, place): (bool, i64) = (row.get(2)?, row.get(4)?);
        let hidden: i64 = row.get(5)?;
        // 1 is a hidden column of a virtual table, 2 and 3 are generated ones.
        if hidden == 1 {
            continue;
        }
        if place > 0 {
            key.push((place, columns.len()));
        }
        columns.push(Column {
            name: Arc::from(name.as_str()),
            kind: ColumnKind::of_sqlite(&declared),
            nullable: !not_null && place == 0,
            default: row.get(3)?,
            generated: hidden > 1,
            numbered: false,
            sql: quoted(&name),
            cast: Box::default(),
            declared,
        });
    }
    key.sort_unstable();
    let key: Vec<usize> = key.into_iter().map(|(_, place)| place).collect();
    // A single key column of exactly this type is the rowid, which SQLite numbers.
    if let [only] = key.as_slice()
        && let Some(column) = columns.get_mut(*only)
    {
        column.numbered = column.declared.eq_ignore_ascii_case("INTEGER");
    }
    Ok((columns, key))
}

fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Index>> {
    let mut statement = connection
        .prepare("SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1) ORDER BY name")?;
    let mut rows = statement.query([table])?;
    let mut indexes = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, origin): (String, String) = (row.get(0)?, row.get(2)?);
        let mut columns =
            connection.prepare_cached("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
        let columns: Vec<Option<String>> =
            columns.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        // An expression has no name; such an index is known and used for nothing here.
        let columns: Option<Vec<Arc<str>>> = columns.into_iter().map(|name| name.map(Arc::from)).collect();
        indexes.push(Index {
            name,
            columns: columns.unwrap_or_default(),
            unique: row.get(1)?,
            partial: row.get(3)?,
            constraint: origin != "c",
        });
    }
    Ok(indexes)
}

fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut statement = connection.prepare(
        "SELECT id, \"table\", \"from\", \"to\", on_delete, on_update FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let mut rows = statement.query([table])?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, other): (i64, String) = (row.get(0)?, row.get(1)?);
        let (from, to): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let (on_delete, on_update): (String, String) = (row.get(4)?, row.get(5)?);
        let is_new = keys.last().is_none_or(|(last, _)| *last != id);
        if is_new {
            let is_passive = |action: &str| action == "NO ACTION" || action == "RESTRICT";
            let cascades = !is_passive(&on_delete) || !is_passive(&on_update);
            let (columns, references) = (Vec::new(), Vec::new());
            keys.push((id, ForeignKey { columns, table: Arc::from(other), references, cascades }));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(Arc::from(from));
            key.references.extend(to.map(Arc::from));
        }
    }
    // SQLite lists the last one first.
    keys.reverse();
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// A key that names no columns of the other table means its primary key. Names of tables are compared
/// without regard to case, as SQLite does.
fn fill_references(tables: &mut [Table]) {
    let known: Vec<(Arc<str>, Vec<Arc<str>>)> = tables
        .iter()
        .map(|table| (Arc::clone(&table.name), table.key().map(|column| Arc::clone(&column.name)).collect()))
        .collect();
    for key in tables.iter_mut().flat_map(|table| &mut table.foreign_keys) {
        let Some((name, primary)) = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key.table))
        else {
            continue;
        };
        key.table = Arc::clone(name);
        if key.references.is_empty() {
            key.references.clone_from(primary);
        }
    }
}

/// What ANALYZE found, or for a table whose rows are numbered, the highest number.
fn row_estimate(connection: &Connection, table: &str) -> rusqlite::Result<Option<u64>> {
    use rusqlite::OptionalExtension;
    let analyzed: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1')",
        [],
        |row| row.get(0),
    )?;
    if analyzed {
        let sql = "SELECT stat FROM sqlite_stat1 WHERE tbl = ?1 AND stat IS NOT NULL LIMIT 1";
        let stat: Option<String> = connection.query_row(sql, [table], |row| row.get(0)).optional()?;
        if let Some(rows) = stat.and_then(|stat| stat.split(' ').next()?.parse().ok()) {
            return Ok(Some(rows));
        }
    }
    let sql = format!("SELECT max(rowid) FROM {}", quoted(table));
    // A table without rowid, or a view, has no such column.
    let highest: Option<i64> = connection.query_row(&sql, [], |row| row.get(0)).unwrap_or(None);
    Ok(highest.and_then(|rows| u64::try_from(rows).ok()))
}
