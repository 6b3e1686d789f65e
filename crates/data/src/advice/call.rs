//! Calls as they were observed: what a journal says about one query.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flux_model::{ExecutionId, Value};

use crate::DataError;
use crate::context::Access;
use crate::query::Query;
use crate::shape::QueryShape;

/// One query that was made.
#[derive(Debug, Clone)]
pub struct ObservedCall {
    /// The query object as it was sent.
    pub source: Value,
    /// The same, parsed.
    pub query: Query,
    /// Its shape.
    pub shape: QueryShape,
    /// Where in the code it was called.
    pub site: Option<CallSite>,
    /// The execution that made it.
    pub execution: Option<ExecutionId>,
    /// On whose behalf: the tenant's predicate is part of what an index must serve.
    pub access: Access,
    /// How long it took.
    pub took: Duration,
}

impl ObservedCall {
    /// A call with that query object.
    ///
    /// # Errors
    /// If it is not a query object.
    pub fn new(source: Value, took: Duration) -> Result<Self, DataError> {
        let query = Query::parse(&source)?;
        let shape = QueryShape::of(&query);
        Ok(Self { source, query, shape, site: None, execution: None, access: Access::Service, took })
    }
}

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSite {
    /// The file, within the project.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl fmt::Display for CallSite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file, self.line, self.column)
    }
}
