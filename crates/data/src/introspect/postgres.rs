//! The schema of a PostgreSQL database, by its catalog. Only the current schema of the search path counts.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::{Client, Error, Row};

use crate::history::RESERVED_PREFIX;
use crate::schema::{Column, ColumnKind, ForeignKey, Index, Schema, Table, TableKind, Triggers, quoted};

const TABLES: &str = "
    SELECT c.oid::int8, c.relname::text, c.relkind IN ('v', 'm', 'f'), c.reltuples::float8, n.nspname::text,
           EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    ORDER BY c.relname";

/// A domain counts as the type it is made of, and is cast to as itself.
const COLUMNS: &str = "
    SELECT a.attrelid::int8, a.attname::text, format_type(a.atttypid, a.atttypmod),
           format_type(a.atttypid, NULL), b.typname::text, b.typcategory::text,
           CASE WHEN b.typname = 'numeric' AND m.typmod > 4 THEN ((m.typmod - 4) >> 16) & 65535 END,
           a.attnotnull OR t.typnotnull, pg_get_expr(d.adbin, d.adrelid),
           a.attgenerated <> '' OR a.attidentity = 'a', a.attidentity <> ''
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod) m
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum";

const INDEXES: &str = "
    SELECT i.indrelid::int8, c.relname::text, i.indisunique, i.indisprimary, i.indpred IS NOT NULL,
           EXISTS (SELECT 1 FROM pg_constraint k
                   WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
           (SELECT json_agg(a.attname ORDER BY k.place)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number <> 0
            WHERE k.place <= i.indnkeyatts)::text
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE n.nspname = current_schema() AND i.indisvalid
    ORDER BY c.relname";

const FOREIGN_KEYS: &str = "
    SELECT k.conrelid::int8, r.relname::text,
           k.confdeltype NOT IN ('a', 'r') OR k.confupdtype NOT IN ('a', 'r'),
           (SELECT json_agg(a.attname ORDER BY u.place)
            FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number)::text,
           (SELECT json_agg(a.attname ORDER BY u.place)
            FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)::text
    FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid
    JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE k.contype = 'f' AND n.nspname = current_schema()
    ORDER BY k.conname";

/// Reads all tables and views of the current schema that are not the engine's own.
pub(crate) async fn schema(client: &Client) -> Result<Schema, Error> {
    let mut tables: Vec<(i64, Table)> = Vec::new();
    for row in client.query(TABLES, &[]).await? {
        let name: String = row.try_get(1)?;
        if !name.starts_with(RESERVED_PREFIX) {
            tables.push((row.try_get(0)?, table(&name, &row)?));
        }
    }
    let places: HashMap<i64, usize> =
        tables.iter().enumerate().map(|(place, (number, _))| (*number, place)).collect();
    let mut tables: Vec<Table> = tables.into_iter().map(|(_, table)| table).collect();
    let owner =
        |row: &Row| -> Result<Option<usize>, Error> { Ok(places.get(&row.try_get::<_, i64>(0)?).copied()) };
    for row in client.query(COLUMNS, &[]).await? {
        if let Some(table) = owner(&row)?.and_then(|place| tables.get_mut(place)) {
            table.columns.push(column(&row)?);
        }
    }
    for row in client.query(INDEXES, &[]).await? {
        if let Some(table) = owner(&row)?.and_then(|place| tables.get_mut(place)) {
            let index = index(&row)?;
            if row.try_get(3)? {
                let place = |name: &Arc<str>| table.columns.iter().position(|column| column.name == *name);
                table.primary_key = index.columns.iter().filter_map(place).collect();
            }
            table.indexes.push(index);
        }
    }
    for row in client.query(FOREIGN_KEYS, &[]).await? {
        if let Some(table) = owner(&row)?.and_then(|place| tables.get_mut(place)) {
            table.foreign_keys.push(foreign_key(&row)?);
        }
    }
    Ok(Schema::new(tables))
}

fn table(name: &str, row: &Row) -> Result<Table, Error> {
    let (is_view, rows): (bool, f64) = (row.try_get(2)?, row.try_get(3)?);
    let (namespace, triggers): (String, bool) = (row.try_get(4)?, row.try_get(5)?);
    Ok(Table {
        name: Arc::from(name),
        kind: if is_view { TableKind::View } else { TableKind::Table },
        columns: Vec::new(),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        // Below zero: never counted.
        row_estimate: (rows >= 0.0).then_some(rows as u64),
        triggers: if triggers { Triggers::Some } else { Triggers::None },
        sql: format!("{}.{}", quoted(&namespace), quoted(name)).into(),
    })
}

fn column(row: &Row) -> Result<Column, Error> {
    let (name, declared): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let (cast, type_name): (String, String) = (row.try_get(3)?, row.try_get(4)?);
    let (category, digits): (String, Option<i32>) = (row.try_get(5)?, row.try_get(6)?);
    let (not_null, default): (bool, Option<String>) = (row.try_get(7)?, row.try_get(8)?);
    let numbered: bool = row.try_get(10)?;
    Ok(Column {
        kind: ColumnKind::of_postgres(&type_name, &category, digits),
        nullable: !not_null,
        numbered: numbered || default.as_ref().is_some_and(|default| default.starts_with("nextval(")),
        default,
        generated: row.try_get(9)?,
        sql: quoted(&name),
        cast: cast.into(),
        name: Arc::from(name),
        declared,
    })
}

fn index(row: &Row) -> Result<Index, Error> {
    let columns: Option<Vec<Arc<str>>> = names(row.try_get(6)?);
    Ok(Index {
        name: row.try_get(1)?,
        // An expression has no name; such an index is known and used for nothing here.
        columns: columns.unwrap_or_default(),
        unique: row.try_get(2)?,
        partial: row.try_get(4)?,
        constraint: row.try_get(5)?,
    })
}

fn foreign_key(row: &Row) -> Result<ForeignKey, Error> {
    let (columns, references): (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
    let table: String = row.try_get(1)?;
    Ok(ForeignKey {
        columns: names(columns).unwrap_or_default(),
        table: Arc::from(table),
        references: names(references).unwrap_or_default(),
        cascades: row.try_get(2)?,
    })
}

/// A JSON list of names, none if one of them is null.
fn names(json: Option<String>) -> Option<Vec<Arc<str>>> {
    let names: Vec<Option<String>> = serde_json::from_str(&json?).ok()?;
    names.into_iter().map(|name| name.map(Arc::from)).collect()
}
