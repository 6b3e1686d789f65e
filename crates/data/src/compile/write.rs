//! Statements that change rows. Each gives back whole rows, for the history, and whether the guard holds
//! for each.

use std::sync::Arc;

use flux_model::Value;

use super::{Dialect, Form, Parameter, Qualifier, Statement, Writer};
use crate::limits::ROWS_CHANGED_MAX;
use crate::plan::{Change, Condition, ConflictPlan, Guard, WritePlan};
use crate::query::Operation;
use crate::schema::{Column, Table};

/// What addresses the rows of a table within one transaction: PostgreSQL's place of a row; SQLite needs
/// nothing, since nobody else writes.
const ROW_PLACE: &str = "ctid::text";

/// The statement that reads the rows which an update or upsert may change, as they are before, and on
/// PostgreSQL locks them. None where nothing can be there before.
pub(crate) fn before(dialect: Dialect, plan: &WritePlan<'_>) -> Option<Statement> {
    let mut writer = Writer::new(dialect);
    let at = Qualifier::Table(&plan.table.sql);
    writer.push("SELECT ");
    writer.whole_row(at, plan.table);
    if dialect == Dialect::Postgres {
        writer.push(", ");
        writer.push(ROW_PLACE);
        writer.output(&Arc::from("place"), Form::Plain);
    }
    writer.push(" FROM ");
    writer.push(&plan.table.sql);
    match &plan.change {
        Change::Update { condition, .. } => writer.restricted(at, condition.as_ref()),
        Change::Insert { conflict: Some(conflict), rows, columns } if !conflict.update.is_empty() => {
            writer.push(" WHERE ");
            writer.keys(at, columns, rows, conflict);
        }
        Change::Insert { .. } | Change::Delete { .. } => return None,
    }
    writer.push(" LIMIT ");
    writer.number(ROWS_CHANGED_MAX as u64 + 1);
    if dialect == Dialect::Postgres {
        writer.push(" FOR UPDATE");
    }
    Some(writer.finish())
}

/// The statement that changes rows, and which of its parameters takes the places of the rows that
/// [`before`] found and locked, on PostgreSQL.
pub(crate) fn write(dialect: Dialect, plan: &WritePlan<'_>) -> (Statement, Option<usize>) {
    let mut writer = Writer::new(dialect);
    let mut places = None;
    let table = plan.table;
    let at = Qualifier::Table(&table.sql);
    match &plan.change {
        Change::Insert { columns, rows, conflict } => {
            writer.push("INSERT INTO ");
            writer.push(&table.sql);
            writer.push(" (");
            writer.each(columns, ", ", |writer, column| writer.push(&column.sql));
            writer.push(") VALUES ");
            writer.each(rows, ", ", |writer, row| {
                writer.push("(");
                writer.each(columns.iter().zip(row), ", ", |writer, (column, value)| {
                    writer.value(column, value)
                });
                writer.push(")");
            });
            if let Some(conflict) = conflict {
                writer.on_conflict(at, conflict);
            }
        }
        Change::Update { set, condition } => {
            writer.push("UPDATE ");
            writer.push(&table.sql);
            writer.push(" SET ");
            writer.each(set, ", ", |writer, (column, value)| {
                writer.push(&column.sql);
                writer.push(" = ");
                writer.value(column, value);
            });
            writer.restricted(at, condition.as_ref());
            places = writer.at_places(condition.as_ref());
        }
        Change::Delete { condition } => {
            writer.push("DELETE FROM ");
            writer.push(&table.sql);
            writer.restricted(at, condition.as_ref());
        }
    }
    writer.push(" RETURNING ");
    writer.whole_row(at, table);
    if plan.operation != Operation::Delete {
        writer.guards(at, &plan.guard);
    }
    (writer.finish(), places)
}

impl Writer {
    fn whole_row(&mut self, at: Qualifier<'_>, table: &Table) {
        self.each(&table.columns, ", ", |writer, column| {
            let form = writer.rendered(at, column);
            writer.output(&column.name, form);
        });
    }

    fn restricted(&mut self, at: Qualifier<'_>, condition: Option<&Condition<'_>>) {
        if let Some(condition) = condition {
            self.push(" WHERE ");
            self.condition(at, condition);
        }
    }

    /// Rows that began to match after they were locked are not changed: their images were not read.
    fn at_places(&mut self, condition: Option<&Condition<'_>>) -> Option<usize> {
        if self.dialect == Dialect::Sqlite {
            return None;
        }
        self.push(if condition.is_some() { " AND ctid = ANY(" } else { " WHERE ctid = ANY(" });
        self.place(Parameter::Texts(Vec::new()));
        self.push("::text[]::tid[])");
        Some(self.parameters.len() - 1)
    }

    fn on_conflict(&mut self, at: Qualifier<'_>, conflict: &ConflictPlan<'_>) {
        self.push(" ON CONFLICT (");
        self.each(&conflict.target, ", ", |writer, column| writer.push(&column.sql));
        if conflict.update.is_empty() {
            self.push(") DO NOTHING");
            return;
        }
        self.push(") DO UPDATE SET ");
        self.each(&conflict.update, ", ", |writer, column| {
            writer.push(&column.sql);
            writer.push(" = excluded.");
            writer.push(&column.sql);
        });
        // Without this, a row of another tenant could be taken over by its key.
        self.restricted(at, conflict.condition.as_ref());
    }

    /// The rows whose key is among those that are written.
    fn keys(
        &mut self,
        at: Qualifier<'_>,
        columns: &[&Column],
        rows: &[Vec<Value>],
        conflict: &ConflictPlan<'_>,
    ) {
        let places: Vec<usize> = conflict
            .target
            .iter()
            .filter_map(|target| columns.iter().position(|column| column.name == target.name))
            .collect();
        self.push("(");
        self.each(&conflict.target, ", ", |writer, column| writer.column(at, column));
        self.push(") IN (VALUES ");
        self.each(rows, ", ", |writer, row| {
            writer.push("(");
            writer.each(&places, ", ", |writer, place| {
                if let (Some(column), Some(value)) = (columns.get(*place), row.get(*place)) {
                    writer.value(column, value);
                }
            });
            writer.push(")");
        });
        self.push(")");
        if let Some(condition) = &conflict.condition {
            self.push(" AND ");
            self.condition(at, condition);
        }
    }

    /// One column per guard, true where it holds. Null does not hold.
    fn guards(&mut self, at: Qualifier<'_>, guard: &Guard<'_>) {
        if let Some(rows) = &guard.rows {
            self.push(", coalesce((");
            self.condition(at, rows);
            self.push("), ");
            self.push_false();
            self.push(")");
            self.output(&Arc::from("policy"), Form::Bool);
        }
        for reference in &guard.references {
            let other = self.alias();
            self.push(", (");
            self.each(&reference.key.columns, " OR ", |writer, name| {
                writer.named(at, name);
                writer.push(" IS NULL");
            });
            self.push(" OR EXISTS (SELECT 1 FROM ");
            self.push(&reference.table.sql);
            self.push(" ");
            self.qualifier(other);
            self.push(" WHERE ");
            self.each(
                reference.key.columns.iter().zip(&reference.key.references),
                " AND ",
                |writer, (ours, theirs)| {
                    writer.named(other, theirs);
                    writer.push(" = ");
                    writer.named(at, ours);
                },
            );
            self.push(" AND ");
            self.condition(other, &reference.condition);
            self.push("))");
            self.output(&reference.table.name, Form::Bool);
        }
    }

    fn push_false(&mut self) {
        self.push(match self.dialect {
            Dialect::Sqlite => "0",
            Dialect::Postgres => "false",
        });
    }
}
