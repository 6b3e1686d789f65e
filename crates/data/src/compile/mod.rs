//! From a plan to one parametrised statement. Identifiers come from the schema, values are parameters;
//! the only numbers in the text are limits and offsets, which are integers by then. Cannot fail.

mod aggregate;
mod condition;
mod include;
mod read;
mod render;
mod write;

pub(crate) use aggregate::{aggregate, count};
pub(crate) use read::rows;
pub(crate) use write::{before, write};

use std::sync::Arc;

use flux_model::Value;

use crate::schema::{Column, ColumnKind};

/// Which database's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// One statement with its parameters and what its columns are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub sql: String,
    pub parameters: Vec<Parameter>,
    pub outputs: Vec<Output>,
}

/// A parameter as it is sent. Its type is written beside its place in the SQL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(Arc<str>),
    /// A list of texts, one parameter whatever its length (PostgreSQL).
    Texts(Vec<Option<Arc<str>>>),
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    pub name: Arc<str>,
    pub form: Form,
}

/// How a value comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the database has it; bytes as hexadecimal text.
    Plain,
    /// A boolean, which SQLite has as 0 or 1.
    Bool,
    /// JSON text.
    Json,
}

/// A statement that is being written.
pub(crate) struct Writer {
    pub(super) dialect: Dialect,
    sql: String,
    parameters: Vec<Parameter>,
    outputs: Vec<Output>,
    aliases: u32,
}

/// What a column is qualified with: an alias of a select, or the table that is written.
#[derive(Clone, Copy)]
pub(super) enum Qualifier<'a> {
    Alias(u32),
    Table(&'a str),
}

impl Writer {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            sql: String::with_capacity(256),
            parameters: Vec::new(),
            outputs: Vec::new(),
            aliases: 0,
        }
    }

    pub(crate) fn finish(self) -> Statement {
        Statement { sql: self.sql, parameters: self.parameters, outputs: self.outputs }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    pub(super) fn number(&mut self, number: u64) {
        let mut digits = [0_u8; 20];
        let mut rest = number;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.sql.extend(digits[at..].iter().map(|digit| char::from(*digit)));
    }

    /// Items with a separator between them.
    pub(super) fn each<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        separator: &str,
        mut write: impl FnMut(&mut Self, T),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(separator);
            }
            write(self, item);
        }
    }

    pub(super) fn alias(&mut self) -> Qualifier<'static> {
        self.aliases += 1;
        Qualifier::Alias(self.aliases)
    }

    pub(super) fn qualifier(&mut self, qualifier: Qualifier<'_>) {
        match qualifier {
            Qualifier::Alias(number) => {
                self.push("t");
                self.number(u64::from(number));
            }
            Qualifier::Table(name) => self.push(name),
        }
    }

    pub(super) fn column(&mut self, qualifier: Qualifier<'_>, column: &Column) {
        self.qualifier(qualifier);
        self.push(".");
        self.push(&column.sql);
    }

    pub(super) fn output(&mut self, name: &Arc<str>, form: Form) {
        self.outputs.push(Output { name: Arc::clone(name), form });
    }

    /// The place of a new parameter: `?3` or `$3`.
    pub(super) fn place(&mut self, parameter: Parameter) {
        self.parameters.push(parameter);
        self.push(match self.dialect {
            Dialect::Sqlite => "?",
            Dialect::Postgres => "$",
        });
        self.number(self.parameters.len() as u64);
    }

    /// A value as one of a column's kind.
    pub(super) fn value(&mut self, column: &Column, value: &Value) {
        let parameter = parameter(self.dialect, column.kind, value);
        match self.dialect {
            Dialect::Sqlite if column.kind == ColumnKind::Bytes => {
                self.push("unhex(");
                self.place(parameter);
                self.push(")");
            }
            Dialect::Sqlite => self.place(parameter),
            Dialect::Postgres => self.cast_value(column, parameter),
        }
    }

    fn cast_value(&mut self, column: &Column, parameter: Parameter) {
        let by_text = |writer: &mut Self, parameter| {
            writer.place(parameter);
            writer.push("::text::");
            writer.push(&column.cast);
        };
        match column.kind {
            ColumnKind::Bool => {
                self.place(parameter);
                self.push("::bool");
            }
            ColumnKind::Integer => {
                self.place(parameter);
                self.push("::int8");
            }
            ColumnKind::Real => {
                self.place(parameter);
                self.push("::float8::");
                self.push(&column.cast);
            }
            ColumnKind::Text => {
                self.place(parameter);
                self.push("::text");
            }
            ColumnKind::Bytes => {
                self.push("decode(");
                self.place(parameter);
                self.push("::text, 'hex')");
            }
            ColumnKind::Array => {
                self.place(parameter);
                self.push("::text[]::");
                self.push(&column.cast);
            }
            ColumnKind::Decimal
            | ColumnKind::LongDecimal
            | ColumnKind::Json
            | ColumnKind::Timestamp
            | ColumnKind::Date
            | ColumnKind::Time
            | ColumnKind::Uuid
            | ColumnKind::Other => by_text(self, parameter),
        }
    }
}

/// A value as it is sent for a column of that kind.
fn parameter(dialect: Dialect, kind: ColumnKind, value: &Value) -> Parameter {
    match (kind, value) {
        (_, Value::Null) => Parameter::Null,
        (ColumnKind::Json, value) => Parameter::Text(value.to_json().into()),
        (ColumnKind::Array, Value::Array(items)) => Parameter::Texts(items.iter().map(text_of).collect()),
        (ColumnKind::Decimal | ColumnKind::LongDecimal | ColumnKind::Other, value)
            if dialect == Dialect::Postgres =>
        {
            text_of(value).map_or(Parameter::Null, Parameter::Text)
        }
        (_, Value::Bool(value)) => Parameter::Bool(*value),
        (ColumnKind::Real, Value::Number(number)) => Parameter::Real(number.as_f64().unwrap_or(f64::NAN)),
        (_, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Parameter::Integer(whole),
            // What counts as an integer was checked: a double without fraction is one.
            (None, Some(double)) if kind == ColumnKind::Integer => Parameter::Integer(double as i64),
            (None, Some(double)) => Parameter::Real(double),
            (None, None) => Parameter::Null,
        },
        (_, Value::Text(text)) => Parameter::Text(Arc::clone(text)),
        (_, Value::Array(_) | Value::Object(_) | Value::Secret(_)) => Parameter::Text(value.to_json().into()),
    }
}

/// A simple value as text, which PostgreSQL casts; null has none.
pub(super) fn text_of(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(Arc::clone(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
            Some(value.to_json().into())
        }
    }
}

#[cfg(test)]
mod tests;
