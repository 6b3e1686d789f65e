//! Plans of what reads: rows, counts, aggregates.

use std::sync::Arc;

use flux_model::Value;

use super::access::Ground;
use super::include::IncludePlan;
use super::{Condition, Planner, cost};
use crate::DataError;
use crate::nearest::suggestion;
use crate::place::Place;
use crate::query::{Aggregate, Direction, Filter, Function, Operation, Order, Select, Start};
use crate::schema::{Column, ColumnKind, Table};
use crate::shape::QueryShape;

/// Rows of one table, with what is included.
#[derive(Debug)]
pub(crate) struct RowsPlan<'a> {
    pub table: &'a Table,
    pub columns: Vec<&'a Column>,
    pub condition: Option<Condition<'a>>,
    pub sort: Vec<Sort<'a>>,
    pub limit: u32,
    pub paging: Paging,
    pub includes: Vec<IncludePlan<'a>>,
    /// The tenant that a cursor is made for.
    pub owner: Option<Value>,
}

/// A column to sort by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sort<'a> {
    pub column: &'a Column,
    pub direction: Direction,
}

/// Where rows begin and whether a cursor leads on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Paging {
    /// At most one row, or rows inside another one: nothing leads on.
    Whole,
    /// Rows after an offset; a cursor leads on where the order is total.
    Offset(u64),
    /// Rows after the one that had these values of the columns that are sorted by.
    After(Vec<Value>),
}

/// A number of rows.
#[derive(Debug)]
pub(crate) struct CountPlan<'a> {
    pub table: &'a Table,
    pub condition: Option<Condition<'a>>,
}

/// Values computed over rows.
#[derive(Debug)]
pub(crate) struct AggregatePlan<'a> {
    pub table: &'a Table,
    pub group_by: Vec<&'a Column>,
    pub measures: Vec<MeasurePlan<'a>>,
    pub condition: Option<Condition<'a>>,
    pub sort: Vec<SortBy>,
    pub limit: u32,
}

/// One computed value.
#[derive(Debug)]
pub(crate) struct MeasurePlan<'a> {
    pub name: Arc<str>,
    pub function: Function,
    pub column: Option<&'a Column>,
}

/// A column of an aggregate's answer to sort by, by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SortBy {
    pub place: usize,
    pub direction: Direction,
}

impl<'a> Planner<'a> {
    pub(super) fn select(
        &mut self,
        table: &str,
        select: &Select,
        shape: QueryShape,
        place: &Place<'_>,
    ) -> Result<RowsPlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Select, place)?;
        let mut rows = self.rows(&ground, select, place)?;
        rows.paging = match &select.start {
            _ if rows.sort.is_empty() => match &select.start {
                Start::First => Paging::Whole,
                Start::Offset(offset) => Paging::Offset(*offset),
                Start::Cursor(_) => {
                    let message = "needs rows in a total order, and this table has no primary key";
                    return Err(DataError::query(place.member("cursor"), message));
                }
            },
            Start::First => Paging::Offset(0),
            Start::Offset(offset) => Paging::Offset(*offset),
            Start::Cursor(cursor) => {
                Paging::After(self.scene.cursors.open(cursor, shape, rows.owner.as_ref(), rows.sort.len())?)
            }
        };
        let branch = cost::branch(1, select.limit.max(1), place)?;
        rows.includes =
            self.includes(&ground, &select.include, super::include::Branch::new(branch), place)?;
        Ok(rows)
    }

    /// The rows of a table that the caller asked for and may see, without what they include.
    pub(super) fn rows(
        &mut self,
        ground: &Ground<'a>,
        select: &Select,
        place: &Place<'_>,
    ) -> Result<RowsPlan<'a>, DataError> {
        let condition = self.filtered(ground, select.filter.as_ref(), place)?;
        let columns = ground.answer(&select.columns, &place.member("columns"))?;
        let pinned = condition.as_ref().map(Condition::pinned).unwrap_or_default();
        let sort = match ground.table.is_unique(pinned.iter().copied()) {
            true => {
                // The order of one row is still checked: a wrong name is an error whatever the filter.
                self.sort(ground, &select.order, place)?;
                Vec::new()
            }
            false => total(ground.table, self.sort(ground, &select.order, place)?),
        };
        Ok(RowsPlan {
            table: ground.table,
            columns,
            condition,
            sort,
            limit: select.limit,
            paging: Paging::Whole,
            includes: Vec::new(),
            owner: ground.tenancy.as_ref().map(|tenancy| tenancy.value.clone()),
        })
    }

    pub(super) fn count(
        &mut self,
        table: &str,
        filter: Option<&Filter>,
        place: &Place<'_>,
    ) -> Result<CountPlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Count, place)?;
        let condition = self.filtered(&ground, filter, place)?;
        Ok(CountPlan { table: ground.table, condition })
    }

    pub(super) fn aggregate(
        &mut self,
        table: &str,
        aggregate: &Aggregate,
        place: &Place<'_>,
    ) -> Result<AggregatePlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Aggregate, place)?;
        let condition = self.filtered(&ground, aggregate.filter.as_ref(), place)?;
        let by = place.member("groupBy");
        let mut group_by = Vec::with_capacity(aggregate.group_by.len());
        for (index, name) in aggregate.group_by.iter().enumerate() {
            let place = by.element(index);
            let column = ground.readable(name, &place)?;
            if !column.kind.is_ordered() {
                let message =
                    format!("{}.{name} ({}) cannot be grouped by", ground.table.name, column.declared);
                return Err(DataError::query(place, message));
            }
            self.cost.sort();
            group_by.push(column);
        }
        let at = place.member("aggregate");
        let mut measures = Vec::with_capacity(aggregate.measures.len());
        for measure in &aggregate.measures {
            let place = at.member(&measure.name);
            let place = place.member(measure.function.as_str());
            let column = measure.column.as_ref().map(|name| ground.readable(name, &place)).transpose()?;
            if let Some(column) = column.filter(|column| !computes(measure.function, column.kind)) {
                let function = measure.function.as_str();
                let (table, name, declared) = (&ground.table.name, &column.name, &column.declared);
                let message = format!("`{function}` does not go with {table}.{name} ({declared})");
                return Err(DataError::query(place, message));
            }
            self.cost.sort();
            measures.push(MeasurePlan {
                name: Arc::clone(&measure.name),
                function: measure.function,
                column,
            });
        }
        let sort = self.sort_measures(aggregate, place)?;
        let (table, limit) = (ground.table, aggregate.limit);
        Ok(AggregatePlan { table, group_by, measures, condition, sort, limit })
    }

    /// The client's condition and those it cannot take away.
    pub(super) fn filtered(
        &mut self,
        ground: &Ground<'a>,
        filter: Option<&Filter>,
        place: &Place<'_>,
    ) -> Result<Option<Condition<'a>>, DataError> {
        let mut conditions = ground.conditions();
        if let Some(filter) = filter {
            conditions.push(self.condition(filter, ground, &place.member("where"))?);
        }
        Ok(Condition::all(conditions))
    }

    fn sort(
        &mut self,
        ground: &Ground<'a>,
        order: &[Order],
        place: &Place<'_>,
    ) -> Result<Vec<Sort<'a>>, DataError> {
        let place = place.member("order");
        let mut sort: Vec<Sort<'a>> = Vec::with_capacity(order.len() + 1);
        for (index, order) in order.iter().enumerate() {
            let place = place.element(index);
            let column = ground.readable(&order.column, &place)?;
            if !column.kind.is_ordered() {
                let message =
                    format!("{}.{} ({}) has no order", ground.table.name, column.name, column.declared);
                return Err(DataError::query(place, message));
            }
            if sort.iter().any(|sort| sort.column.name == column.name) {
                return Err(DataError::query(place, format!("`{}` is there twice", column.name)));
            }
            self.cost.sort();
            sort.push(Sort { column, direction: order.direction });
        }
        Ok(sort)
    }

    fn sort_measures(&mut self, aggregate: &Aggregate, place: &Place<'_>) -> Result<Vec<SortBy>, DataError> {
        let names: Vec<&str> = aggregate
            .group_by
            .iter()
            .map(|name| &**name)
            .chain(aggregate.measures.iter().map(|measure| &*measure.name))
            .collect();
        let at = place.member("order");
        let mut sort = Vec::with_capacity(names.len());
        for (index, order) in aggregate.order.iter().enumerate() {
            let Some(place) = names.iter().position(|name| **name == *order.column) else {
                let hint = suggestion(&order.column, names.iter().copied());
                let message = format!("`{}` is neither grouped by nor computed{hint}", order.column);
                return Err(DataError::query(at.element(index), message));
            };
            self.cost.sort();
            sort.push(SortBy { place, direction: order.direction });
        }
        // The same query must give the same groups in the same order, in every database.
        for place in 0..aggregate.group_by.len() {
            if !sort.iter().any(|sort| sort.place == place) {
                sort.push(SortBy { place, direction: Direction::Ascending });
            }
        }
        Ok(sort)
    }
}

/// The order made total: the primary key breaks ties. Without a key there is only what was asked for,
/// and no cursor.
fn total<'a>(table: &'a Table, mut sort: Vec<Sort<'a>>) -> Vec<Sort<'a>> {
    let sorted = sort.clone();
    if !table.is_unique(sorted.iter().map(|sort| &*sort.column.name)) {
        for column in table.key().filter(|column| sorted.iter().all(|sort| sort.column.name != column.name)) {
            sort.push(Sort { column, direction: Direction::Ascending });
        }
    }
    sort
}

const fn computes(function: Function, kind: ColumnKind) -> bool {
    match function {
        Function::Count => true,
        Function::CountDistinct => kind.is_ordered(),
        Function::Sum | Function::Avg => kind.is_number(),
        Function::Min | Function::Max => {
            kind.is_number()
                || matches!(
                    kind,
                    ColumnKind::Text | ColumnKind::Timestamp | ColumnKind::Date | ColumnKind::Time
                )
        }
    }
}
