//! The mutation history: who changed which row, from what to what, in the transaction that changed it.

use std::sync::Arc;

use flux_model::{ExecutionId, Timestamp, Value};

use crate::context::Context;
use crate::limits::HISTORY_VALUE_BYTES_MAX;
use crate::schema::Table;

/// The table of the history. Its name is reserved, no query object reaches it.
pub(crate) const TABLE: &str = "_flux_mutations";
/// Names of tables that belong to the engine begin like this.
pub(crate) const RESERVED_PREFIX: &str = "_flux_";

/// The history's table on SQLite.
pub(crate) const SQLITE: &str = r#"
CREATE TABLE IF NOT EXISTS _flux_mutations (
    id INTEGER PRIMARY KEY,
    "table" TEXT NOT NULL, key TEXT NOT NULL, tenant TEXT, operation TEXT NOT NULL, before TEXT, after TEXT,
    changed TEXT NOT NULL, execution TEXT, request TEXT, call INTEGER NOT NULL, at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS _flux_mutations_row ON _flux_mutations ("table", key, id);
"#;

/// The history's table on PostgreSQL.
pub(crate) const POSTGRES: &str = r#"
CREATE TABLE IF NOT EXISTS _flux_mutations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "table" text NOT NULL, key text NOT NULL, tenant text, operation text NOT NULL, before json, after json,
    changed text NOT NULL, execution text, request text, call bigint NOT NULL, at bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS _flux_mutations_row ON _flux_mutations ("table", key, id);
"#;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was added.
    Insert,
    /// It was changed.
    Update,
    /// It was removed.
    Delete,
}

impl Change {
    /// The name in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|change| change.as_str() == name)
    }
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutation {
    /// Its place in the order of all changes.
    pub id: i64,
    /// What happened.
    pub change: Change,
    /// The row before; none where it was added.
    pub before: Option<Value>,
    /// The row after; none where it was removed.
    pub after: Option<Value>,
    /// The columns that differ.
    pub changed: Vec<Arc<str>>,
    /// The execution that changed it.
    pub execution: Option<ExecutionId>,
    /// The request id of its trace.
    pub request_id: Option<Arc<str>>,
    /// Which boundary call of the execution it was.
    pub call: u32,
    /// When.
    pub at: Timestamp,
}

/// Who last changed a column of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Blame {
    /// The column.
    pub column: Arc<str>,
    /// The value that the change gave it.
    pub value: Value,
    /// The change.
    pub mutation: Mutation,
}

/// A change of one row that is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Image {
    pub table: Arc<str>,
    pub key: Value,
    pub change: Change,
    pub changed: Vec<Arc<str>>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub tenant: Option<Value>,
}

/// An image as it is stored, together with who made it.
pub(crate) struct Record {
    pub table: Arc<str>,
    pub key: String,
    pub tenant: Option<String>,
    pub operation: &'static str,
    pub before: Option<String>,
    pub after: Option<String>,
    pub changed: String,
    pub execution: Option<String>,
    pub request: Option<Arc<str>>,
    pub call: i64,
    pub at: i64,
}

impl Record {
    pub(crate) fn of(image: &Image, context: &Context) -> Self {
        let stored = |row: &Option<Value>| row.as_ref().map(|row| shortened(row).to_json());
        Self {
            table: Arc::clone(&image.table),
            key: image.key.to_json(),
            tenant: image.tenant.as_ref().map(Value::to_json),
            operation: image.change.as_str(),
            before: stored(&image.before),
            after: stored(&image.after),
            changed: image.changed.join(","),
            execution: context.execution.map(|execution| execution.to_string()),
            request: context.request_id.clone(),
            call: i64::from(context.call),
            at: context.at.millis(),
        }
    }
}

/// The last change of each column, newest first in `mutations`.
pub(crate) fn blame(table: &Table, mutations: &[Mutation]) -> Vec<Blame> {
    let last = |column: &crate::schema::Column| {
        let mutation = mutations.iter().find(|mutation| mutation.changed.contains(&column.name))?;
        let row = mutation.after.as_ref().or(mutation.before.as_ref())?;
        let value = row.get(&column.name).cloned().unwrap_or_default();
        Some(Blame { column: Arc::clone(&column.name), value, mutation: mutation.clone() })
    };
    table.columns.iter().filter_map(last).collect()
}

/// A row whose long values are replaced by their size.
fn shortened(row: &Value) -> Value {
    let Some(members) = row.as_object() else { return row.clone() };
    let is_long = |value: &Value| value.weight(HISTORY_VALUE_BYTES_MAX) > HISTORY_VALUE_BYTES_MAX;
    if !members.values().any(is_long) {
        return row.clone();
    }
    Value::object(members.iter().map(|(name, value)| match is_long(value) {
        true => {
            let bytes = value.to_json().len() as u64;
            (Arc::clone(name), Value::object([("$omitted", Value::object([("bytes", Value::from(bytes))]))]))
        }
        false => (Arc::clone(name), value.clone()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_named_by_their_size() {
        let row = Value::object([("id", Value::from(1_i64)), ("body", Value::from("x".repeat(20_000)))]);
        assert_eq!(shortened(&row).to_json(), r#"{"id":1,"body":{"$omitted":{"bytes":20002}}}"#);
        let short = Value::object([("id", Value::from(1_i64))]);
        assert_eq!(shortened(&short), short);
    }
}
