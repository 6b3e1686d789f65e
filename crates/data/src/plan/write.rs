//! Plans of what writes: insert, upsert, update, delete.

use std::sync::Arc;

use flux_model::Value;
use flux_model::value::Object;

use super::access::{Ground, check_written};
use super::{Condition, Planner, Tenancy};
use crate::DataError;
use crate::limits::PARAMETERS_MAX;
use crate::place::Place;
use crate::query::{Columns, Delete, Filter, Insert, Operation, Reach, Resolution, Update, Upsert};
use crate::schema::{Column, ForeignKey, Table};

/// A change of rows of one table.
#[derive(Debug)]
pub(crate) struct WritePlan<'a> {
    pub table: &'a Table,
    pub operation: Operation,
    pub change: Change<'a>,
    pub guard: Guard<'a>,
    /// The tenant, for the history.
    pub tenancy: Option<Tenancy<'a>>,
    /// The columns to answer; none where no rows are.
    pub returning: Option<Vec<&'a Column>>,
}

/// What is changed.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    Insert { columns: Vec<&'a Column>, rows: Vec<Vec<Value>>, conflict: Option<ConflictPlan<'a>> },
    Update { set: Vec<(&'a Column, Value)>, condition: Option<Condition<'a>> },
    Delete { condition: Option<Condition<'a>> },
}

/// What an upsert does with a row that is there.
#[derive(Debug)]
pub(crate) struct ConflictPlan<'a> {
    /// The columns that decide whether it is there.
    pub target: Vec<&'a Column>,
    /// The columns that are set to the given values; none leaves the row as it is.
    pub update: Vec<&'a Column>,
    /// The rows that may be changed.
    pub condition: Option<Condition<'a>>,
}

/// What must be true of every row that was written, or nothing is.
#[derive(Debug, Default)]
pub(crate) struct Guard<'a> {
    /// The rows that the role may have.
    pub rows: Option<Condition<'a>>,
    /// References that must lead to rows which exist for the caller.
    pub references: Vec<ReferenceGuard<'a>>,
}

/// A foreign key whose other row must exist for the caller. The database checks that it exists at all;
/// without this, a row could be tied to a row of another tenant.
#[derive(Debug)]
pub(crate) struct ReferenceGuard<'a> {
    pub key: &'a ForeignKey,
    pub table: &'a Table,
    pub condition: Condition<'a>,
}

impl<'a> Planner<'a> {
    pub(super) fn insert(
        &mut self,
        table: &str,
        insert: &Insert,
        place: &Place<'_>,
    ) -> Result<WritePlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Insert, place)?;
        let (columns, rows) = given(&ground, &insert.rows, place)?;
        let guard = self.guard(&ground, &columns)?;
        let change = Change::Insert { columns, rows, conflict: None };
        finish(&ground, Operation::Insert, change, guard, insert.returning.as_ref())
    }

    pub(super) fn upsert(
        &mut self,
        table: &str,
        upsert: &Upsert,
        place: &Place<'_>,
    ) -> Result<WritePlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Upsert, place)?;
        let (columns, rows) = given(&ground, &upsert.rows, place)?;
        let at = place.member("onConflict");
        let target = target(&ground, &upsert.conflict, &at)?;
        if let Some(column) =
            target.iter().find(|column| columns.iter().all(|given| given.name != column.name))
        {
            let message = format!("`{}` decides whether a row is there and must be in values", column.name);
            return Err(DataError::query(at, message));
        }
        let in_target = |column: &&Column| target.iter().any(|target| target.name == column.name);
        let is_tenant = |column: &&Column| {
            ground.tenancy.as_ref().is_some_and(|tenancy| tenancy.column.name == column.name)
        };
        let update = match &upsert.resolution {
            Resolution::Keep => Vec::new(),
            Resolution::UpdateGiven => {
                columns.iter().copied().filter(|column| !in_target(column) && !is_tenant(column)).collect()
            }
            Resolution::Update(names) => {
                let place = at.member("update");
                let mut update = Vec::with_capacity(names.len());
                for name in names {
                    let column = ground.writable(name, &place)?;
                    if columns.iter().all(|given| given.name != column.name) {
                        return Err(DataError::query(place, format!("`{name}` is not in values")));
                    }
                    update.push(column);
                }
                update
            }
        };
        let guard = self.guard(&ground, &columns)?;
        let condition = Condition::all(ground.conditions());
        let conflict = Some(ConflictPlan { target, update, condition });
        let change = Change::Insert { columns, rows, conflict };
        finish(&ground, Operation::Upsert, change, guard, upsert.returning.as_ref())
    }

    pub(super) fn update(
        &mut self,
        table: &str,
        update: &Update,
        place: &Place<'_>,
    ) -> Result<WritePlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Update, place)?;
        let at = place.member("set");
        let mut set = Vec::with_capacity(update.set.len());
        for (name, value) in update.set.iter() {
            let place = at.member(name);
            let column = ground.writable(name, &place)?;
            if ground.table.key().any(|key| key.name == column.name) {
                let message = "is the row's identity, which its history is kept by; insert a new row instead";
                return Err(DataError::query(place, message));
            }
            check_written(ground.table, column, value, &place)?;
            set.push((column, value.clone()));
        }
        let condition = self.reached(&ground, &update.reach, place)?;
        let columns: Vec<&Column> = set.iter().map(|(column, _)| *column).collect();
        let guard = self.guard(&ground, &columns)?;
        let change = Change::Update { set, condition };
        finish(&ground, Operation::Update, change, guard, update.returning.as_ref())
    }

    pub(super) fn delete(
        &mut self,
        table: &str,
        delete: &Delete,
        place: &Place<'_>,
    ) -> Result<WritePlan<'a>, DataError> {
        let ground = self.enter(table, Operation::Delete, place)?;
        let condition = self.reached(&ground, &delete.reach, place)?;
        let change = Change::Delete { condition };
        finish(&ground, Operation::Delete, change, Guard::default(), delete.returning.as_ref())
    }

    fn reached(
        &mut self,
        ground: &Ground<'a>,
        reach: &Reach,
        place: &Place<'_>,
    ) -> Result<Option<Condition<'a>>, DataError> {
        let filter: Option<&Filter> = match reach {
            Reach::Where(filter) => Some(filter),
            Reach::All => None,
        };
        self.filtered(ground, filter, place)
    }

    fn guard(&self, ground: &Ground<'a>, written: &[&'a Column]) -> Result<Guard<'a>, DataError> {
        let mut guard = Guard { rows: ground.rows.clone(), references: Vec::new() };
        let Some(tenancy) = &ground.tenancy else { return Ok(guard) };
        for key in &ground.table.foreign_keys {
            let is_written = key.columns.iter().any(|name| written.iter().any(|column| column.name == *name));
            // A key that holds the tenant itself cannot lead to another one.
            let holds_tenant = key.columns.contains(&tenancy.column.name);
            let Some(table) = self.scene.schema.table(&key.table).filter(|_| is_written && !holds_tenant)
            else {
                continue;
            };
            if let Some(column) = table.column(&tenancy.column.name) {
                let operand = super::Operand::Eq(tenancy.value.clone());
                let condition = Condition::Test { column, operand };
                guard.references.push(ReferenceGuard { key, table, condition });
            }
        }
        Ok(guard)
    }
}

fn finish<'a>(
    ground: &Ground<'a>,
    operation: Operation,
    change: Change<'a>,
    guard: Guard<'a>,
    returning: Option<&Columns>,
) -> Result<WritePlan<'a>, DataError> {
    let root = Place::root("");
    let place = root.member("returning");
    let returning = returning.map(|columns| ground.returned(columns, &place)).transpose()?;
    let (table, tenancy) = (ground.table, ground.tenancy.clone());
    Ok(WritePlan { table, operation, change, guard, tenancy, returning })
}

/// The columns that the rows give, and their values in that order. The tenant's column is added.
fn given<'a>(
    ground: &Ground<'a>,
    rows: &[Arc<Object>],
    place: &Place<'_>,
) -> Result<(Vec<&'a Column>, Vec<Vec<Value>>), DataError> {
    let place = place.member("values");
    let mut columns: Vec<&'a Column> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let place = place.element(index);
        for name in row.keys() {
            if columns.iter().all(|column| column.name != *name) {
                columns.push(ground.writable(name, &place.member(name))?);
            }
        }
    }
    if columns.is_empty() {
        return Err(DataError::query(place, "names no column"));
    }
    let mut values = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let place = place.element(index);
        let mut line = Vec::with_capacity(columns.len() + 1);
        for column in &columns {
            line.push(value_of(ground, column, row, &place)?);
        }
        line.extend(ground.tenancy.as_ref().map(|tenancy| tenancy.value.clone()));
        values.push(line);
    }
    check_present(ground, &columns, &place)?;
    columns.extend(ground.tenancy.as_ref().map(|tenancy| tenancy.column));
    let parameters = columns.len() * rows.len();
    if parameters > PARAMETERS_MAX {
        return Err(DataError::limit(place, "PARAMETERS_MAX", parameters, PARAMETERS_MAX));
    }
    Ok((columns, values))
}

fn value_of(
    ground: &Ground<'_>,
    column: &Column,
    row: &Object,
    place: &Place<'_>,
) -> Result<Value, DataError> {
    match row.get(&column.name) {
        Some(value) => {
            check_written(ground.table, column, value, &place.member(&column.name))?;
            Ok(value.clone())
        }
        None if column.nullable && column.default.is_none() => Ok(Value::Null),
        None => Err(DataError::query(
            place.member(&column.name),
            "is missing here and given in another row; give it in all rows or in none",
        )),
    }
}

/// A column that needs a value has one. The database would say so too, after a round trip.
fn check_present(ground: &Ground<'_>, columns: &[&Column], place: &Place<'_>) -> Result<(), DataError> {
    let is_tenant =
        |column: &Column| ground.tenancy.as_ref().is_some_and(|tenancy| tenancy.column.name == column.name);
    let has_value = |column: &Column| {
        column.nullable
            || column.numbered
            || column.generated
            || column.default.is_some()
            || is_tenant(column)
            || columns.iter().any(|given| given.name == column.name)
    };
    match ground.table.columns.iter().find(|column| !has_value(column)) {
        None => Ok(()),
        Some(column) => {
            let message = format!("is missing, and {}.{} may not be null", ground.table.name, column.name);
            Err(DataError::query(place.member(&column.name), message))
        }
    }
}

/// The columns that decide whether a row is there: they must be unique, with the tenant's column if not
/// without.
fn target<'a>(
    ground: &Ground<'a>,
    names: &[Arc<str>],
    place: &Place<'_>,
) -> Result<Vec<&'a Column>, DataError> {
    let table = ground.table;
    let mut target: Vec<&'a Column> = if names.is_empty() {
        table.key().collect()
    } else {
        names.iter().map(|name| ground.column(name, place)).collect::<Result<_, _>>()?
    };
    if is_key(table, &target) {
        return Ok(target);
    }
    if let Some(tenancy) = &ground.tenancy {
        target.push(tenancy.column);
        if is_key(table, &target) {
            return Ok(target);
        }
    }
    let mut keys: Vec<String> = table
        .indexes
        .iter()
        .filter(|index| index.unique && !index.partial)
        .map(|index| index.columns.join(", "))
        .collect();
    keys.extend(Some(table.key().map(|column| &*column.name).collect::<Vec<_>>().join(", ")));
    keys.retain(|key| !key.is_empty());
    keys.sort();
    keys.dedup();
    let message = format!("names no unique key of `{}`; it has [{}]", table.name, keys.join("], ["));
    Err(DataError::query(place, message))
}

/// Whether these columns are exactly those of a unique key.
fn is_key(table: &Table, columns: &[&Column]) -> bool {
    let same = |names: Vec<&str>| {
        names.len() == columns.len() && names.iter().all(|name| columns.iter().any(|c| &*c.name == *name))
    };
    let unique =
        table.indexes.iter().filter(|index| index.unique && !index.partial && !index.columns.is_empty());
    !columns.is_empty()
        && (same(table.key().map(|column| &*column.name).collect())
            || unique.into_iter().any(|index| same(index.columns.iter().map(|name| &**name).collect())))
}
