//! From a query to a plan: every name resolved, every value checked against its column, the tenant's and
//! the policy's conditions added, the cost weighed. A plan cannot be wrong any more: turning it into SQL
//! has no errors. Nothing here does I/O.

mod access;
mod condition;
mod cost;
mod include;
mod read;
mod write;

pub(crate) use condition::{Condition, Operand};
pub(crate) use include::IncludePlan;
pub(crate) use read::{AggregatePlan, CountPlan, MeasurePlan, Paging, RowsPlan, Sort};
pub(crate) use write::{Change, ConflictPlan, Guard, WritePlan};

use flux_model::Value;

use crate::context::Access;
use crate::place::Place;
use crate::policy::Policy;
use crate::query::{Action, Query};
use crate::schema::Schema;
use crate::shape::QueryShape;
use crate::{DataError, cursor};

/// What planning reads beside the query.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub schema: &'a Schema,
    pub policy: &'a Policy,
    pub access: &'a Access,
    pub cursors: &'a cursor::Sealer,
}

/// A query that fits the schema and is allowed.
#[derive(Debug)]
pub(crate) enum Plan<'a> {
    Rows(RowsPlan<'a>),
    Count(CountPlan<'a>),
    Aggregate(AggregatePlan<'a>),
    Write(WritePlan<'a>),
}

/// Plans a query.
///
/// # Errors
/// [`DataError::Query`], [`DataError::Limit`], [`DataError::Forbidden`] and [`DataError::Cursor`], each
/// before any work of the database.
pub(crate) fn plan<'a>(scene: Scene<'a>, query: &Query, shape: QueryShape) -> Result<Plan<'a>, DataError> {
    let root = Place::root("");
    let mut planner = Planner { scene, cost: cost::Cost::default() };
    let plan = match &query.action {
        Action::Select(select) => Plan::Rows(planner.select(&query.table, select, shape, &root)?),
        Action::Count(filter) => Plan::Count(planner.count(&query.table, filter.as_ref(), &root)?),
        Action::Aggregate(aggregate) => Plan::Aggregate(planner.aggregate(&query.table, aggregate, &root)?),
        Action::Insert(insert) => Plan::Write(planner.insert(&query.table, insert, &root)?),
        Action::Upsert(upsert) => Plan::Write(planner.upsert(&query.table, upsert, &root)?),
        Action::Update(update) => Plan::Write(planner.update(&query.table, update, &root)?),
        Action::Delete(delete) => Plan::Write(planner.delete(&query.table, delete, &root)?),
    };
    planner.cost.check(&root)?;
    Ok(plan)
}

/// Plans one query and adds up what it costs.
struct Planner<'a> {
    scene: Scene<'a>,
    cost: cost::Cost,
}

/// The tenant's column of a table and the value that the caller's claims give it.
#[derive(Debug, Clone)]
pub(crate) struct Tenancy<'a> {
    pub column: &'a crate::schema::Column,
    pub value: Value,
}

#[cfg(test)]
mod tests;
