//! Statements on one connection.

use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};
use rusqlite::{Connection, ToSql};

use flux_model::Value;

use super::Seat;
use crate::DataError;
use crate::compile::{Form, Output, Parameter, Statement};
use crate::context::Context;
use crate::engine::History;
use crate::engine::answer::Row;
use crate::engine::steps::{Done, Steps};
use crate::history::{Image, Record, TABLE};
use crate::limits::ANSWER_BYTES_MAX;

impl ToSql for Parameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Stored::Null),
            Self::Bool(value) => ToSqlOutput::Owned(Stored::Integer(i64::from(*value))),
            Self::Integer(value) => ToSqlOutput::Owned(Stored::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Owned(Stored::Real(*value)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            // Lists are JSON text here; the compiler makes none for this dialect.
            Self::Texts(_) => ToSqlOutput::Owned(Stored::Null),
        })
    }
}

/// The rows of a statement.
pub(crate) fn select(seat: &mut Seat, statement: &Statement) -> Result<Vec<Row>, DataError> {
    let rows = rows(seat.connection()?, statement);
    rows.map_err(|error| match error {
        Unread::Sqlite(error) => seat.explain("the query", &error),
        Unread::Data(error) => error,
    })
}

/// A change in a transaction of its own.
pub(super) fn change(seat: &mut Seat, steps: &Steps, context: &Context) -> Result<Done, DataError> {
    execute(seat, "BEGIN IMMEDIATE")?;
    let done = change_within(seat, steps, context);
    match &done {
        Ok(_) => {
            if let Err(error) = execute(seat, "COMMIT") {
                roll_back(seat);
                return Err(error);
            }
        }
        Err(_) => roll_back(seat),
    }
    done
}

/// A change in the transaction that is open.
pub(super) fn change_within(seat: &mut Seat, steps: &Steps, context: &Context) -> Result<Done, DataError> {
    let before = match &steps.before {
        Some(statement) => about(seat, &steps.table, statement)?,
        None => Vec::new(),
    };
    steps.check_reach(before.len())?;
    let after = match steps.has_work(&before) {
        true => about(seat, &steps.table, &steps.change)?,
        false => Vec::new(),
    };
    let done = steps.conclude(before, after)?;
    if seat.bounds().history == History::Kept {
        let kept = record(seat.connection()?, &done.images, context);
        kept.map_err(|error| seat.explain(TABLE, &error))?;
    }
    Ok(done)
}

/// Writes images into the history.
fn record(connection: &Connection, images: &[Image], context: &Context) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        r#"INSERT INTO _flux_mutations
           ("table", key, tenant, operation, before, after, changed, execution, request, call, at)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"#,
    )?;
    for image in images {
        let record = Record::of(image, context);
        statement.execute(rusqlite::params![
            &*record.table,
            record.key,
            record.tenant,
            record.operation,
            record.before,
            record.after,
            record.changed,
            record.execution,
            record.request.as_deref(),
            record.call,
            record.at,
        ])?;
    }
    Ok(())
}

pub(super) fn execute(seat: &mut Seat, sql: &str) -> Result<(), DataError> {
    let done = seat.connection()?.execute_batch(sql);
    done.map_err(|error| seat.explain("the transaction", &error))
}

/// Leaves the transaction, if SQLite has not left it by itself.
pub(super) fn roll_back(seat: &mut Seat) {
    if let Ok(connection) = seat.connection()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn about(seat: &mut Seat, table: &str, statement: &Statement) -> Result<Vec<Row>, DataError> {
    let rows = rows(seat.connection()?, statement);
    rows.map_err(|error| match error {
        Unread::Sqlite(error) => seat.explain(table, &error),
        Unread::Data(error) => error,
    })
}

enum Unread {
    Sqlite(rusqlite::Error),
    Data(DataError),
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn rows(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, Unread> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    for (place, parameter) in (1..).zip(&statement.parameters) {
        prepared.raw_bind_parameter(place, parameter)?;
    }
    let mut source = prepared.raw_query();
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = source.next()? {
        let mut values = Vec::with_capacity(statement.outputs.len());
        for (place, output) in statement.outputs.iter().enumerate() {
            let stored = row.get_ref(place)?;
            bytes += size(stored);
            values.push(value(output, stored).map_err(Unread::Data)?);
        }
        if bytes > ANSWER_BYTES_MAX {
            let error = DataError::limit("rows", "ANSWER_BYTES_MAX", bytes, ANSWER_BYTES_MAX);
            return Err(Unread::Data(error));
        }
        rows.push(values);
    }
    Ok(rows)
}

fn size(stored: ValueRef<'_>) -> usize {
    match stored {
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() + 8,
    }
}

fn value(output: &Output, stored: ValueRef<'_>) -> Result<Value, DataError> {
    Ok(match (output.form, stored) {
        (_, ValueRef::Null) => Value::Null,
        (Form::Bool, ValueRef::Integer(number)) => Value::Bool(number != 0),
        (Form::Json, ValueRef::Text(text)) => Value::from_json(text).map_err(|error| {
            DataError::database(format!("column `{}` holds what is not JSON: {error}", output.name))
        })?,
        (_, ValueRef::Integer(number)) => Value::from(number),
        (_, ValueRef::Real(number)) => {
            serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
        }
        (_, ValueRef::Text(text)) => Value::text(String::from_utf8_lossy(text)),
        (_, ValueRef::Blob(bytes)) => Value::text(hexadecimal(bytes)),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
