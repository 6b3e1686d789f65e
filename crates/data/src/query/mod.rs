//! The query object: what a caller may ask of the database, parsed and nothing else. It knows no
//! schema and no SQL; names are checked when it is planned.

mod filter;
mod read;
mod reader;

pub(crate) use filter::filter;
pub use filter::{Filter, Op, Test};

use std::sync::Arc;
use std::time::Duration;

use flux_model::Value;
use flux_model::value::Object;

use crate::DataError;

/// One query, in a form that can be planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The table.
    pub table: Arc<str>,
    /// What to do with it.
    pub action: Action,
    /// For how long an answer may be served from the read cache, and may have been.
    pub cache: Option<Duration>,
}

impl Query {
    /// Reads a query object: `{table, operation, …}`.
    ///
    /// # Errors
    /// [`DataError::Query`] names the place, the value and the nearest known name;
    /// [`DataError::Limit`] the bound that was exceeded.
    pub fn parse(object: &Value) -> Result<Self, DataError> {
        read::query(object)
    }

    /// Whether it changes nothing.
    pub const fn is_read(&self) -> bool {
        match self.action {
            Action::Select(_) | Action::Count(_) | Action::Aggregate(_) => true,
            Action::Insert(_) | Action::Upsert(_) | Action::Update(_) | Action::Delete(_) => false,
        }
    }

    /// The operation, as the query object has it.
    pub const fn operation(&self) -> Operation {
        match self.action {
            Action::Select(_) => Operation::Select,
            Action::Insert(_) => Operation::Insert,
            Action::Update(_) => Operation::Update,
            Action::Delete(_) => Operation::Delete,
            Action::Upsert(_) => Operation::Upsert,
            Action::Count(_) => Operation::Count,
            Action::Aggregate(_) => Operation::Aggregate,
        }
    }
}

/// The operations by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads rows.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// Adds rows, or changes those that are there.
    Upsert,
    /// Counts rows.
    Count,
    /// Computes over rows.
    Aggregate,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 7] =
        [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Upsert, Self::Count, Self::Aggregate];

    /// The name in query objects, policies and journals.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Upsert => "upsert",
            Self::Count => "count",
            Self::Aggregate => "aggregate",
        }
    }
}

/// What a query does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Reads rows.
    Select(Select),
    /// Adds rows.
    Insert(Insert),
    /// Changes rows.
    Update(Update),
    /// Removes rows.
    Delete(Delete),
    /// Adds rows, or changes those that are there.
    Upsert(Upsert),
    /// Counts rows.
    Count(Option<Filter>),
    /// Computes over rows.
    Aggregate(Aggregate),
}

/// Which columns an answer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// All that the caller may read.
    All,
    /// These.
    Named(Vec<Arc<str>>),
}

/// Rows to read. An include has the same parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// Which columns.
    pub columns: Columns,
    /// Which rows.
    pub filter: Option<Filter>,
    /// In which order; the primary key breaks ties, and decides where there is none.
    pub order: Vec<Order>,
    /// How many at most.
    pub limit: u32,
    /// Where to begin.
    pub start: Start,
    /// What to bring along from other tables.
    pub include: Vec<Include>,
}

/// Where a select begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At the first row.
    First,
    /// After so many rows.
    Offset(u64),
    /// After the row that this cursor stands for.
    Cursor(Arc<str>),
}

/// One column to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The column, or the name of an aggregate.
    pub column: Arc<str>,
    /// Which way.
    pub direction: Direction,
}

/// Which way to sort. Null counts as larger than everything, in every database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Small before large.
    Ascending,
    /// Large before small.
    Descending,
}

/// Rows of another table that belong to each row, along a foreign key in either direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Include {
    /// The member of the answer that holds them.
    pub name: Arc<str>,
    /// The other table, where the name does not say.
    pub table: Option<Arc<str>>,
    /// The column of the foreign key, where several lead there.
    pub via: Option<Arc<str>>,
    /// Which of its rows and columns; it begins at the first row.
    pub select: Select,
}

/// Rows to add.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The rows, each a member per column.
    pub rows: Vec<Arc<Object>>,
    /// What to answer.
    pub returning: Option<Columns>,
}

/// Rows to add, or to change where they are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Upsert {
    /// The rows.
    pub rows: Vec<Arc<Object>>,
    /// The columns that decide whether a row is there; the primary key where there are none.
    pub conflict: Vec<Arc<str>>,
    /// What to do with a row that is there.
    pub resolution: Resolution,
    /// What to answer.
    pub returning: Option<Columns>,
}

/// What an upsert does with a row that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Sets every column that was given and is not part of the conflict.
    UpdateGiven,
    /// Sets these columns.
    Update(Vec<Arc<str>>),
    /// Leaves it as it is.
    Keep,
}

/// Rows to change.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Which.
    pub reach: Reach,
    /// New values by column.
    pub set: Arc<Object>,
    /// What to answer.
    pub returning: Option<Columns>,
}

/// Rows to remove.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// Which.
    pub reach: Reach,
    /// What to answer.
    pub returning: Option<Columns>,
}

/// Which rows an update or delete reaches. Reaching all must be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// Those that pass.
    Where(Filter),
    /// All of them: `all: true`.
    All,
}

/// Values computed over rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// What to compute.
    pub measures: Vec<Measure>,
    /// One answer row per combination of these columns.
    pub group_by: Vec<Arc<str>>,
    /// Over which rows.
    pub filter: Option<Filter>,
    /// By grouped columns or measures.
    pub order: Vec<Order>,
    /// Groups at most.
    pub limit: u32,
}

/// One computed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// The member of the answer that holds it.
    pub name: Arc<str>,
    /// What is computed.
    pub function: Function,
    /// From which column; none counts rows.
    pub column: Option<Arc<str>>,
}

/// What a measure computes. Nulls are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// How many.
    Count,
    /// How many different ones.
    CountDistinct,
    /// The sum.
    Sum,
    /// The mean, as a double.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Function {
    /// Every function.
    pub(crate) const ALL: [Self; 6] =
        [Self::Count, Self::CountDistinct, Self::Sum, Self::Avg, Self::Min, Self::Max];

    /// The name in query objects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::CountDistinct => "countDistinct",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}
