//! Columns as an answer shows them, the same in a row and inside the JSON of an include.

use super::{Dialect, Form, Qualifier, Writer};
use crate::schema::{Column, ColumnKind};

impl Writer {
    /// A column of an answer; says how its value comes back.
    pub(super) fn rendered(&mut self, at: Qualifier<'_>, column: &Column) -> Form {
        match self.dialect {
            Dialect::Sqlite => {
                self.column(at, column);
                match column.kind {
                    ColumnKind::Bool => Form::Bool,
                    ColumnKind::Json => Form::Json,
                    ColumnKind::Integer
                    | ColumnKind::Real
                    | ColumnKind::Decimal
                    | ColumnKind::LongDecimal
                    | ColumnKind::Text
                    | ColumnKind::Timestamp
                    | ColumnKind::Date
                    | ColumnKind::Time
                    | ColumnKind::Uuid
                    | ColumnKind::Bytes
                    | ColumnKind::Array
                    | ColumnKind::Other => Form::Plain,
                }
            }
            Dialect::Postgres => self.rendered_postgres(at, column),
        }
    }

    fn rendered_postgres(&mut self, at: Qualifier<'_>, column: &Column) -> Form {
        let (before, after, form) = match column.kind {
            ColumnKind::Bool | ColumnKind::Integer | ColumnKind::Real => ("", "", Form::Plain),
            ColumnKind::Text => ("", "::text", Form::Plain),
            ColumnKind::Decimal => ("", "::float8", Form::Plain),
            ColumnKind::LongDecimal | ColumnKind::Uuid => ("", "::text", Form::Plain),
            ColumnKind::Bytes => ("encode(", ", 'hex')", Form::Plain),
            ColumnKind::Json => ("", "::text", Form::Json),
            // JSON writes times as ISO 8601, text does not.
            ColumnKind::Timestamp
            | ColumnKind::Date
            | ColumnKind::Time
            | ColumnKind::Array
            | ColumnKind::Other => ("to_json(", ")::text", Form::Json),
        };
        self.push(before);
        self.column(at, column);
        self.push(after);
        form
    }

    /// The same column as a value inside JSON.
    pub(super) fn rendered_in_json(&mut self, at: Qualifier<'_>, column: &Column) {
        let (before, after) = match (self.dialect, column.kind) {
            (Dialect::Sqlite, ColumnKind::Bool) => {
                self.push("CASE WHEN ");
                self.column(at, column);
                self.push(" THEN json('true') WHEN NOT ");
                self.column(at, column);
                self.push(" THEN json('false') END");
                return;
            }
            // SQLite's hex makes an empty text of null.
            (Dialect::Sqlite, ColumnKind::Bytes) => {
                self.push("CASE WHEN ");
                self.column(at, column);
                self.push(" IS NOT NULL THEN lower(hex(");
                self.column(at, column);
                self.push(")) END");
                return;
            }
            (Dialect::Sqlite, ColumnKind::Json) => ("json(", ")"),
            (Dialect::Postgres, ColumnKind::Decimal) => ("", "::float8"),
            (Dialect::Postgres, ColumnKind::LongDecimal) => ("", "::text"),
            (Dialect::Postgres, ColumnKind::Bytes) => ("encode(", ", 'hex')"),
            (Dialect::Sqlite | Dialect::Postgres, _) => ("", ""),
        };
        self.push(before);
        self.column(at, column);
        self.push(after);
    }
}
