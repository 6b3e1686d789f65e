//! What a query gives back, and how rows of values become it.

use std::sync::Arc;
use std::time::Duration;

use flux_model::Value;
use flux_model::value::Object;

use crate::compile::Output;
use crate::plan::{Paging, RowsPlan};
use crate::shape::QueryShape;

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// A list of objects: the rows, or `[{"count": 3}]`, or a row per group. What a change returns.
    pub rows: Value,
    /// Rows that were read, or changed.
    pub affected: u64,
    /// What leads to the next page, where there is one.
    pub cursor: Option<String>,
    /// How long it took, waiting for a connection included.
    pub took: Duration,
    /// Whether the read cache took part.
    pub cache: CacheStatus,
    /// The query's shape.
    pub shape: QueryShape,
}

impl Answer {
    /// The answer as the caller of `ctx.db.query` gets it: `{rows, affected, cursor?}`.
    pub fn to_value(&self) -> Value {
        let affected = ("affected", Value::from(self.affected));
        let cursor = self.cursor.as_deref().map(|cursor| ("cursor", Value::from(cursor)));
        Value::object([("rows", self.rows.clone()), affected].into_iter().chain(cursor))
    }
}

/// Whether the read cache took part in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// The query did not ask for it.
    Off,
    /// The answer was not there.
    Miss,
    /// The answer came from it.
    Hit,
}

impl CacheStatus {
    /// The name in journals and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Hit => "hit",
        }
    }
}

/// One row as the database gave it.
pub(crate) type Row = Vec<Value>;

/// Rows as objects, with the members that `outputs` name.
pub(crate) fn objects(outputs: &[Output], rows: Vec<Row>) -> Value {
    let object = |row: Row| -> Value {
        let members: Object =
            outputs.iter().zip(row).map(|(output, value)| (Arc::clone(&output.name), value)).collect();
        Value::Object(Arc::new(members))
    };
    Value::array(rows.into_iter().map(object).collect())
}

/// What remains to be done with the rows of a select when they are there.
pub(crate) struct Page {
    limit: usize,
    /// How many columns are only there for the cursor; they are the last.
    cursor_columns: usize,
    owner: Option<Value>,
}

impl Page {
    pub(crate) fn of(plan: &RowsPlan<'_>) -> Self {
        let cursor_columns = if plan.paging == Paging::Whole { 0 } else { plan.sort.len() };
        Self { limit: plan.limit as usize, cursor_columns, owner: plan.owner.clone() }
    }

    /// Cuts the rows to the limit and seals where they end, if more follow.
    pub(crate) fn cut(
        &self,
        outputs: &[Output],
        mut rows: Vec<Row>,
        shape: QueryShape,
        sealer: &crate::cursor::Sealer,
    ) -> (Value, u64, Option<String>) {
        let shown = outputs.len().saturating_sub(self.cursor_columns);
        let more_follow = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().and_then(|row| row.get(shown..)).filter(|key| more_follow && !key.is_empty());
        let cursor = last.and_then(|key| sealer.seal(key, shape, self.owner.as_ref()));
        let affected = rows.len() as u64;
        (objects(outputs.get(..shown).unwrap_or(outputs), rows), affected, cursor)
    }
}
