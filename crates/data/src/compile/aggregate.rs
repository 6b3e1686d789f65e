//! Counts and aggregates.

use std::sync::Arc;

use super::{Dialect, Form, Qualifier, Statement, Writer};
use crate::plan::{AggregatePlan, Condition, CountPlan, MeasurePlan};
use crate::query::Function;
use crate::schema::{ColumnKind, Table};

/// The statement for a number of rows.
pub(crate) fn count(dialect: Dialect, plan: &CountPlan<'_>) -> Statement {
    let mut writer = Writer::new(dialect);
    let at = writer.alias();
    writer.push("SELECT count(*)");
    writer.output(&Arc::from("count"), Form::Plain);
    writer.source(at, plan.table, plan.condition.as_ref());
    writer.finish()
}

/// The statement for values computed over rows.
pub(crate) fn aggregate(dialect: Dialect, plan: &AggregatePlan<'_>) -> Statement {
    let mut writer = Writer::new(dialect);
    let at = writer.alias();
    writer.push("SELECT ");
    writer.each(&plan.group_by, ", ", |writer, column| {
        let form = writer.rendered(at, column);
        writer.output(&column.name, form);
    });
    for (index, measure) in plan.measures.iter().enumerate() {
        if index > 0 || !plan.group_by.is_empty() {
            writer.push(", ");
        }
        let form = writer.measure(at, measure);
        writer.output(&measure.name, form);
    }
    writer.source(at, plan.table, plan.condition.as_ref());
    if !plan.group_by.is_empty() {
        writer.push(" GROUP BY ");
        writer.each(&plan.group_by, ", ", |writer, column| writer.column(at, column));
    }
    if !plan.sort.is_empty() {
        writer.push(" ORDER BY ");
        writer.each(&plan.sort, ", ", |writer, sort| {
            match (
                plan.group_by.get(sort.place),
                plan.measures.get(sort.place.wrapping_sub(plan.group_by.len())),
            ) {
                (Some(column), _) => writer.column(at, column),
                (None, Some(measure)) => writer.computed(at, measure),
                (None, None) => writer.number(1),
            }
            writer.direction(sort.direction, true);
        });
    }
    writer.push(" LIMIT ");
    writer.number(u64::from(plan.limit));
    writer.finish()
}

impl Writer {
    fn source(&mut self, at: Qualifier<'_>, table: &Table, condition: Option<&Condition<'_>>) {
        self.push(" FROM ");
        self.push(&table.sql);
        self.push(" ");
        self.qualifier(at);
        if let Some(condition) = condition {
            self.push(" WHERE ");
            self.condition(at, condition);
        }
    }

    /// A measure as an answer shows it.
    fn measure(&mut self, at: Qualifier<'_>, measure: &MeasurePlan<'_>) -> Form {
        let kind = measure.column.map_or(ColumnKind::Integer, |column| column.kind);
        if self.dialect == Dialect::Sqlite {
            self.computed(at, measure);
            return Form::Plain;
        }
        let (before, after, form) = match (measure.function, kind) {
            (Function::Count | Function::CountDistinct, _) => ("", "", Form::Plain),
            (Function::Avg, _) => ("", "::float8", Form::Plain),
            // The sum of 64-bit integers is a decimal in PostgreSQL; here it is an integer, and one that
            // does not fit is an error.
            (Function::Sum, ColumnKind::Integer) => ("", "::int8", Form::Plain),
            (Function::Sum | Function::Min | Function::Max, ColumnKind::LongDecimal) => {
                ("", "::text", Form::Plain)
            }
            (Function::Sum | Function::Min | Function::Max, ColumnKind::Decimal | ColumnKind::Real) => {
                ("", "::float8", Form::Plain)
            }
            (Function::Min | Function::Max, ColumnKind::Timestamp | ColumnKind::Date | ColumnKind::Time) => {
                ("to_json(", ")::text", Form::Json)
            }
            (Function::Min | Function::Max, ColumnKind::Text) => ("", "::text", Form::Plain),
            (Function::Sum | Function::Min | Function::Max, _) => ("", "", Form::Plain),
        };
        self.push(before);
        self.computed(at, measure);
        self.push(after);
        form
    }

    fn computed(&mut self, at: Qualifier<'_>, measure: &MeasurePlan<'_>) {
        self.push(match measure.function {
            Function::Count => "count(",
            Function::CountDistinct => "count(DISTINCT ",
            Function::Sum => "sum(",
            Function::Avg => "avg(",
            Function::Min => "min(",
            Function::Max => "max(",
        });
        match measure.column {
            Some(column) => self.column(at, column),
            None => self.push("*"),
        }
        self.push(")");
    }
}
