//! A change as a sequence of statements in one transaction, the same for both databases: read what is
//! there before, change it, look whether the guards hold, record it. What the rows mean is decided here,
//! without I/O.

use std::cmp::Ordering;
use std::sync::Arc;

use flux_model::Value;

use super::answer::{Row, objects};
use crate::DataError;
use crate::compile::{self, Dialect, Output, Parameter, Statement};
use crate::error::ConstraintKind;
use crate::history::{Change, Image};
use crate::limits::ROWS_CHANGED_MAX;
use crate::plan::{self, WritePlan};
use crate::query::Operation;

/// A change that can be carried out: nothing in it borrows the schema.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    /// Reads the rows as they are before.
    pub before: Option<Statement>,
    /// Changes them, and gives them back as they are after; a delete, as they were.
    pub change: Statement,
    /// The parameter of `change` that takes the places of the rows that `before` locked (PostgreSQL).
    pub places: Option<usize>,
    pub table: Arc<str>,
    operation: Operation,
    /// Whether a row that is given and not changed by an upsert is an error.
    every_row: Option<usize>,
    columns: Vec<Arc<str>>,
    key: Vec<usize>,
    tenant: Option<Value>,
    returning: Option<Vec<usize>>,
}

/// What a change did.
pub(crate) struct Done {
    pub rows: Value,
    pub affected: u64,
    pub images: Vec<Image>,
}

impl Steps {
    pub(crate) fn of(dialect: Dialect, plan: &WritePlan<'_>) -> Self {
        let before = compile::before(dialect, plan);
        let (change, places) = compile::write(dialect, plan);
        let place_of = |column: &&crate::schema::Column| {
            plan.table.columns.iter().position(|known| known.name == column.name)
        };
        let every_row = match &plan.change {
            plan::Change::Insert { rows, conflict, .. } => {
                let keeps = conflict.as_ref().is_some_and(|conflict| conflict.update.is_empty());
                (!keeps).then_some(rows.len())
            }
            plan::Change::Update { .. } | plan::Change::Delete { .. } => None,
        };
        Self {
            before,
            change,
            places,
            table: Arc::clone(&plan.table.name),
            operation: plan.operation,
            every_row,
            columns: plan.table.columns.iter().map(|column| Arc::clone(&column.name)).collect(),
            key: plan.table.primary_key.clone(),
            tenant: plan.tenancy.as_ref().map(|tenancy| tenancy.value.clone()),
            returning: plan.returning.as_ref().map(|columns| columns.iter().filter_map(place_of).collect()),
        }
    }

    /// The statement that changes the rows which were found before.
    pub(crate) fn change_of(&self, before: &[Row]) -> Statement {
        let mut change = self.change.clone();
        if let Some(parameter) = self.places.and_then(|place| change.parameters.get_mut(place)) {
            let place = |row: &Row| row.get(self.columns.len()).and_then(Value::as_str).map(Arc::from);
            *parameter = Parameter::Texts(before.iter().map(place).collect());
        }
        change
    }

    /// Whether there is anything to change; an update whose rows were looked for and not found has none.
    pub(crate) fn has_work(&self, before: &[Row]) -> bool {
        self.operation != Operation::Update || !before.is_empty()
    }

    /// Refuses a change of more rows than allowed.
    ///
    /// # Errors
    /// [`DataError::Limit`].
    pub(crate) fn check_reach(&self, rows: usize) -> Result<(), DataError> {
        if rows > ROWS_CHANGED_MAX {
            let place = format!("rows of {} to {}", self.table, self.operation.as_str());
            return Err(DataError::limit(place, "ROWS_CHANGED_MAX", rows, ROWS_CHANGED_MAX));
        }
        Ok(())
    }

    /// What the rows before and after mean.
    ///
    /// # Errors
    /// If a guard does not hold or a row was not the caller's to change; the transaction must be rolled
    /// back.
    pub(crate) fn conclude(&self, before: Vec<Row>, mut after: Vec<Row>) -> Result<Done, DataError> {
        self.check_reach(after.len())?;
        self.check_guards(&after)?;
        if self.every_row.is_some_and(|rows| after.len() < rows) {
            return Err(DataError::Constraint {
                kind: ConstraintKind::Unique,
                table: self.table.to_string(),
                message: "a row with this key is there and is not the caller's to change".to_owned(),
            });
        }
        if matches!(self.operation, Operation::Update | Operation::Delete) {
            // Databases give changed rows back in the order in which they came upon them.
            after.sort_by(|left, right| by_key(&self.key, left, right));
        }
        let affected = after.len() as u64;
        let images = after
            .iter()
            .enumerate()
            .map(|(index, row)| self.image(earlier(&before, index, row, &self.key), row))
            .collect();
        let rows = match &self.returning {
            None => Value::array(Vec::new()),
            Some(places) => {
                let outputs: Vec<Output> =
                    places.iter().filter_map(|place| self.change.outputs.get(*place).cloned()).collect();
                let pick = |row: Row| places.iter().filter_map(|place| row.get(*place).cloned()).collect();
                objects(&outputs, after.into_iter().map(pick).collect())
            }
        };
        Ok(Done { rows, affected, images })
    }

    fn check_guards(&self, after: &[Row]) -> Result<(), DataError> {
        let guards = self.change.outputs.get(self.columns.len()..).unwrap_or_default();
        for row in after {
            let held = row.get(self.columns.len()..).unwrap_or_default();
            for (guard, held) in guards.iter().zip(held) {
                if held.as_bool() == Some(true) {
                    continue;
                }
                if &*guard.name == "policy" {
                    let message =
                        format!("a row of `{}` would leave the rows that the policy allows", self.table);
                    return Err(DataError::forbidden("policy", message));
                }
                return Err(DataError::Constraint {
                    kind: ConstraintKind::ForeignKey,
                    table: self.table.to_string(),
                    message: format!("a row of `{}` that is referred to does not exist", guard.name),
                });
            }
        }
        Ok(())
    }

    fn image(&self, earlier: Option<&Row>, row: &Row) -> Image {
        let change = match (self.operation, earlier) {
            (Operation::Delete, _) => Change::Delete,
            (Operation::Update, _) | (Operation::Upsert, Some(_)) => Change::Update,
            (Operation::Insert | Operation::Upsert, _) => Change::Insert,
            // Reads make no images.
            (Operation::Select | Operation::Count | Operation::Aggregate, _) => Change::Update,
        };
        let object = |row: &Row| Value::object(self.columns.iter().zip(row.iter().cloned()));
        let (old, new) = match change {
            Change::Delete => (Some(row), None),
            Change::Insert => (None, Some(row)),
            Change::Update => (earlier, Some(row)),
        };
        let differs =
            |place: &usize| old.and_then(|row| row.get(*place)) != new.and_then(|row| row.get(*place));
        let changed = (0..self.columns.len()).filter(differs);
        Image {
            table: Arc::clone(&self.table),
            key: Value::object(
                self.key.iter().filter_map(|place| {
                    Some((Arc::clone(self.columns.get(*place)?), row.get(*place)?.clone()))
                }),
            ),
            change,
            changed: changed.filter_map(|place| self.columns.get(place).cloned()).collect(),
            before: old.map(object),
            after: new.map(object),
            tenant: self.tenant.clone(),
        }
    }
}

/// The row as it was before: usually at the same place. Without a key only a single row can be told.
fn earlier<'a>(before: &'a [Row], index: usize, row: &Row, key: &[usize]) -> Option<&'a Row> {
    if key.is_empty() {
        return before.first().filter(|_| before.len() == 1);
    }
    let is_same = |other: &&Row| key.iter().all(|place| other.get(*place) == row.get(*place));
    before.get(index).filter(is_same).or_else(|| before.iter().find(is_same))
}

/// The order of the primary key.
fn by_key(key: &[usize], left: &Row, right: &Row) -> Ordering {
    let compare = |place: &usize| match (left.get(*place), right.get(*place)) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Some(Value::Text(left)), Some(Value::Text(right))) => left.cmp(right),
        _ => Ordering::Equal,
    };
    key.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
