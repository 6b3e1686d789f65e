//! Includes: rows of other tables as JSON inside the same statement, so that no depth costs a further
//! round trip.

use super::{Dialect, Qualifier, Writer};
use crate::plan::IncludePlan;
use crate::schema::RelationDirection;

impl Writer {
    /// An include of the rows that `outer` stands for, as a scalar subquery.
    pub(super) fn include(&mut self, outer: Qualifier<'_>, include: &IncludePlan<'_>) {
        match self.dialect {
            Dialect::Sqlite => self.include_sqlite(outer, include),
            Dialect::Postgres => self.include_postgres(outer, include),
        }
    }

    /// `json_group_array` over a limited, ordered subquery. The inner `json` marks as JSON what a
    /// subquery gives back as text.
    fn include_sqlite(&mut self, outer: Qualifier<'_>, include: &IncludePlan<'_>) {
        match include.relation.direction {
            RelationDirection::ToOne => {
                let at = self.alias();
                self.push("(SELECT ");
                self.json_object(at, include);
                self.inner(outer, at, include);
                self.push(" LIMIT 1)");
            }
            RelationDirection::ToMany => {
                let at = self.alias();
                self.push("(SELECT json_group_array(json(o)) FROM (SELECT ");
                self.json_object(at, include);
                self.push(" AS o");
                self.inner(outer, at, include);
                self.push(" LIMIT ");
                self.number(u64::from(include.rows.limit));
                self.push("))");
            }
        }
    }

    fn json_object(&mut self, at: Qualifier<'_>, include: &IncludePlan<'_>) {
        self.push("json_object(");
        self.each(&include.rows.columns, ", ", |writer, column| {
            writer.text_literal(&column.name);
            writer.push(", ");
            writer.rendered_in_json(at, column);
        });
        for inner in &include.rows.includes {
            self.push(", ");
            self.text_literal(&inner.name);
            self.push(", json(");
            self.include(at, inner);
            self.push(")");
        }
        self.push(")");
    }

    /// `row_to_json` over a subquery: functions of PostgreSQL take a hundred arguments at most.
    fn include_postgres(&mut self, outer: Qualifier<'_>, include: &IncludePlan<'_>) {
        let at = self.alias();
        let row = self.alias();
        let is_one = include.relation.direction == RelationDirection::ToOne;
        self.push(if is_one { "(SELECT row_to_json(" } else { "(SELECT coalesce(json_agg(row_to_json(" });
        self.qualifier(row);
        self.push(if is_one { ")" } else { ")), '[]'::json)" });
        // Inside another include the value must stay JSON; outside it is read as text.
        if matches!(outer, Qualifier::Alias(1)) {
            self.push("::text");
        }
        self.push(" FROM (SELECT ");
        self.each(&include.rows.columns, ", ", |writer, column| {
            writer.rendered_in_json(at, column);
            writer.push(" AS ");
            writer.push(&column.sql);
        });
        for inner in &include.rows.includes {
            self.push(", ");
            self.include(at, inner);
            self.push(" AS ");
            let name = crate::schema::quoted(&inner.name);
            self.push(&name);
        }
        self.inner(outer, at, include);
        self.push(" LIMIT ");
        self.number(if is_one { 1 } else { u64::from(include.rows.limit) });
        self.push(") ");
        self.qualifier(row);
        self.push(")");
    }

    /// ` FROM … WHERE …`: joined to the outer row, and every condition of the table itself.
    fn inner(&mut self, outer: Qualifier<'_>, at: Qualifier<'_>, include: &IncludePlan<'_>) {
        let table = include.rows.table;
        self.push(" FROM ");
        self.push(&table.sql);
        self.push(" ");
        self.qualifier(at);
        self.push(" WHERE ");
        self.each(include.relation.pairs(), " AND ", |writer, (ours, theirs)| {
            writer.named(at, theirs);
            writer.push(" = ");
            writer.named(outer, ours);
        });
        if let Some(condition) = &include.rows.condition {
            self.push(" AND ");
            self.condition(at, condition);
        }
        self.order(at, &include.rows.sort);
    }

    /// A column of a foreign key, whose name the schema gave.
    pub(super) fn named(&mut self, at: Qualifier<'_>, name: &str) {
        self.qualifier(at);
        self.push(".");
        let quoted = crate::schema::quoted(name);
        self.push(&quoted);
    }

    /// The name of a member of JSON. It comes from the schema, or is the client's name of an include,
    /// and so is a parameter.
    fn text_literal(&mut self, name: &std::sync::Arc<str>) {
        self.place(super::Parameter::Text(std::sync::Arc::clone(name)));
    }
}
