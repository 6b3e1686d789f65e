//! A select with its order, page and includes.

use std::sync::Arc;

use flux_model::Value;

use super::{Dialect, Qualifier, Statement, Writer};
use crate::plan::{Paging, RowsPlan, Sort};
use crate::query::Direction;

/// The prefix of columns that only the cursor needs. No column of an answer begins like it: they are
/// counted from the end.
const CURSOR_COLUMN: &str = "cursor";

/// The statement for rows. It asks for one more than the limit, which tells whether a page follows; the
/// columns that are sorted by come last.
pub(crate) fn rows(dialect: Dialect, plan: &RowsPlan<'_>) -> Statement {
    let mut writer = Writer::new(dialect);
    let at = writer.alias();
    writer.push("SELECT ");
    writer.each(&plan.columns, ", ", |writer, column| {
        let form = writer.rendered(at, column);
        writer.output(&column.name, form);
    });
    for include in &plan.includes {
        writer.push(", ");
        writer.include(at, include);
        writer.output(&include.name, super::Form::Json);
    }
    if plan.paging != Paging::Whole {
        let name = Arc::from(CURSOR_COLUMN);
        for sort in &plan.sort {
            writer.push(", ");
            let form = writer.rendered(at, sort.column);
            writer.output(&name, form);
        }
    }
    writer.from(at, plan);
    let more = u64::from(plan.paging != Paging::Whole && plan.limit > 0);
    writer.push(" LIMIT ");
    writer.number(u64::from(plan.limit) + more);
    if let Paging::Offset(offset @ 1..) = plan.paging {
        writer.push(" OFFSET ");
        writer.number(offset);
    }
    writer.finish()
}

impl Writer {
    /// ` FROM … WHERE … ORDER BY …` of rows.
    fn from(&mut self, at: Qualifier<'_>, plan: &RowsPlan<'_>) {
        self.push(" FROM ");
        self.push(&plan.table.sql);
        self.push(" ");
        self.qualifier(at);
        let mut word = " WHERE ";
        if let Some(condition) = &plan.condition {
            self.push(word);
            self.condition(at, condition);
            word = " AND ";
        }
        if let Paging::After(values) = &plan.paging {
            self.push(word);
            self.after(at, &plan.sort, values);
        }
        self.order(at, &plan.sort);
    }

    pub(super) fn order(&mut self, at: Qualifier<'_>, sort: &[Sort<'_>]) {
        if sort.is_empty() {
            return;
        }
        self.push(" ORDER BY ");
        self.each(sort, ", ", |writer, sort| {
            writer.column(at, sort.column);
            writer.direction(sort.direction, sort.column.nullable);
        });
    }

    /// Null is the largest, as in PostgreSQL; SQLite has to be told.
    pub(super) fn direction(&mut self, direction: Direction, nullable: bool) {
        let told = nullable && self.dialect == Dialect::Sqlite;
        self.push(match (direction, told) {
            (Direction::Ascending, false) => "",
            (Direction::Ascending, true) => " NULLS LAST",
            (Direction::Descending, false) => " DESC",
            (Direction::Descending, true) => " DESC NULLS FIRST",
        });
    }

    /// The rows after the one with these values. Where all columns go one way and none is null, a row
    /// comparison, which both databases answer from an index; else the same spelled out.
    fn after(&mut self, at: Qualifier<'_>, sort: &[Sort<'_>], values: &[Value]) {
        let direction = sort.first().map_or(Direction::Ascending, |first| first.direction);
        let is_plain = |(sort, value): (&Sort<'_>, &Value)| {
            sort.direction == direction && !sort.column.nullable && !value.is_null()
        };
        if sort.iter().zip(values).all(is_plain) {
            self.push("(");
            self.each(sort, ", ", |writer, sort| writer.column(at, sort.column));
            self.push(match direction {
                Direction::Ascending => ") > (",
                Direction::Descending => ") < (",
            });
            self.each(sort.iter().zip(values), ", ", |writer, (sort, value)| {
                writer.value(sort.column, value)
            });
            self.push(")");
            return;
        }
        self.push("(");
        self.each(0..sort.len(), " OR ", |writer, place| {
            writer.push("(");
            for (sort, value) in sort.iter().zip(values).take(place) {
                writer.same(at, sort, value);
                writer.push(" AND ");
            }
            if let (Some(sort), Some(value)) = (sort.get(place), values.get(place)) {
                writer.beyond(at, sort, value);
            }
            writer.push(")");
        });
        self.push(")");
    }

    fn same(&mut self, at: Qualifier<'_>, sort: &Sort<'_>, value: &Value) {
        if value.is_null() {
            self.column(at, sort.column);
            self.push(" IS NULL");
        } else {
            self.compare(at, sort.column, " = ", value);
        }
    }

    fn beyond(&mut self, at: Qualifier<'_>, sort: &Sort<'_>, value: &Value) {
        match (sort.direction, value.is_null()) {
            (Direction::Ascending, true) => self.push("1 = 0"),
            (Direction::Ascending, false) => {
                self.push("(");
                self.compare(at, sort.column, " > ", value);
                if sort.column.nullable {
                    self.push(" OR ");
                    self.column(at, sort.column);
                    self.push(" IS NULL");
                }
                self.push(")");
            }
            (Direction::Descending, true) => {
                self.column(at, sort.column);
                self.push(" IS NOT NULL");
            }
            (Direction::Descending, false) => self.compare(at, sort.column, " < ", value),
        }
    }
}
