//! Conditions as SQL.

use std::sync::Arc;

use flux_model::Value;

use super::{Dialect, Parameter, Qualifier, Writer, text_of};
use crate::plan::{Condition, Operand};
use crate::schema::{Column, ColumnKind};

impl Writer {
    pub(super) fn condition(&mut self, at: Qualifier<'_>, condition: &Condition<'_>) {
        match condition {
            Condition::All(inner) => self.joined(at, inner, " AND "),
            Condition::Any(inner) => self.joined(at, inner, " OR "),
            Condition::Not(inner) => {
                self.push("NOT (");
                self.condition(at, inner);
                self.push(")");
            }
            Condition::Test { column, operand } => self.test(at, column, operand),
        }
    }

    fn joined(&mut self, at: Qualifier<'_>, conditions: &[Condition<'_>], word: &str) {
        self.push("(");
        self.each(conditions, word, |writer, inner| writer.condition(at, inner));
        self.push(")");
    }

    fn test(&mut self, at: Qualifier<'_>, column: &Column, operand: &Operand) {
        match operand {
            Operand::Eq(value) => self.compare(at, column, " = ", value),
            Operand::Neq(value) => self.compare(at, column, " <> ", value),
            Operand::Gt(value) => self.compare(at, column, " > ", value),
            Operand::Gte(value) => self.compare(at, column, " >= ", value),
            Operand::Lt(value) => self.compare(at, column, " < ", value),
            Operand::Lte(value) => self.compare(at, column, " <= ", value),
            Operand::IsNull => {
                self.column(at, column);
                self.push(" IS NULL");
            }
            Operand::IsNotNull => {
                self.column(at, column);
                self.push(" IS NOT NULL");
            }
            Operand::Between(low, high) => {
                self.compare(at, column, " BETWEEN ", low);
                self.push(" AND ");
                self.value(column, high);
            }
            Operand::In(values) => self.list(at, column, values, Membership::In),
            Operand::Nin(values) => self.list(at, column, values, Membership::NotIn),
            Operand::Like(pattern) => self.like(at, column, pattern),
            Operand::Ilike(pattern) => self.ilike(at, column, pattern),
            Operand::Contains(value) => self.contains(at, column, value),
        }
    }

    pub(super) fn compare(&mut self, at: Qualifier<'_>, column: &Column, operator: &str, value: &Value) {
        self.column(at, column);
        self.push(operator);
        self.value(column, value);
    }

    /// A list is one parameter, so that its length changes neither the statement nor its plan.
    fn list(&mut self, at: Qualifier<'_>, column: &Column, values: &Arc<Vec<Value>>, membership: Membership) {
        self.column(at, column);
        match self.dialect {
            Dialect::Sqlite => {
                self.push(match membership {
                    Membership::In => " IN (SELECT ",
                    Membership::NotIn => " NOT IN (SELECT ",
                });
                self.push(if column.kind == ColumnKind::Bytes { "unhex(value)" } else { "value" });
                self.push(" FROM json_each(");
                self.place(Parameter::Text(Value::Array(Arc::clone(values)).to_json().into()));
                self.push("))");
            }
            Dialect::Postgres => {
                self.push(match membership {
                    Membership::In => " = ANY(",
                    Membership::NotIn => " <> ALL(",
                });
                let is_bytes = column.kind == ColumnKind::Bytes;
                let hex = |text: Arc<str>| if is_bytes { Arc::from(format!("\\x{text}")) } else { text };
                self.place(Parameter::Texts(values.iter().map(|value| text_of(value).map(hex)).collect()));
                self.push("::text[]::");
                self.push(&column.cast);
                self.push("[])");
            }
        }
    }

    fn like(&mut self, at: Qualifier<'_>, column: &Column, pattern: &Arc<str>) {
        self.column(at, column);
        match self.dialect {
            // SQLite's LIKE does not regard case; GLOB does, and can use an index.
            Dialect::Sqlite => {
                self.push(" GLOB ");
                self.place(Parameter::Text(glob(pattern).into()));
            }
            Dialect::Postgres => {
                self.push(" LIKE ");
                self.place(Parameter::Text(closed(pattern)));
                self.push("::text");
            }
        }
    }

    fn ilike(&mut self, at: Qualifier<'_>, column: &Column, pattern: &Arc<str>) {
        self.column(at, column);
        match self.dialect {
            Dialect::Sqlite => {
                self.push(" LIKE ");
                self.place(Parameter::Text(closed(pattern)));
                self.push(" ESCAPE '\\'");
            }
            Dialect::Postgres => {
                self.push(" ILIKE ");
                self.place(Parameter::Text(closed(pattern)));
                self.push("::text");
            }
        }
    }

    fn contains(&mut self, at: Qualifier<'_>, column: &Column, value: &Value) {
        match (self.dialect, column.kind) {
            (Dialect::Sqlite, ColumnKind::Json) => {
                self.push("(json_type(");
                self.column(at, column);
                self.push(") = 'array' AND EXISTS (SELECT 1 FROM json_each(");
                self.column(at, column);
                self.push(") WHERE atom = ");
                self.place(super::parameter(self.dialect, ColumnKind::Other, value));
                // In SQLite true is 1: the type keeps them apart.
                self.push(match value {
                    Value::Bool(true) => " AND type = 'true'))",
                    Value::Bool(false) => " AND type = 'false'))",
                    Value::Text(_) => " AND type = 'text'))",
                    Value::Null
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_)
                    | Value::Secret(_) => " AND type IN ('integer', 'real')))",
                });
            }
            (Dialect::Postgres, ColumnKind::Json) => {
                self.push("(jsonb_typeof(");
                self.column(at, column);
                self.push("::jsonb) = 'array' AND ");
                self.column(at, column);
                self.push("::jsonb @> ");
                self.place(Parameter::Text(value.to_json().into()));
                self.push("::text::jsonb)");
            }
            (Dialect::Postgres, ColumnKind::Array) => {
                self.place(text_of(value).map_or(Parameter::Null, Parameter::Text));
                self.push("::text = ANY(");
                self.column(at, column);
                self.push("::text[])");
            }
            (Dialect::Sqlite, _) => {
                self.push("instr(");
                self.column(at, column);
                self.push(", ");
                self.value(column, value);
                self.push(") > 0");
            }
            (Dialect::Postgres, _) => {
                self.push("strpos(");
                self.column(at, column);
                self.push("::text, ");
                self.value(column, value);
                self.push(") > 0");
            }
        }
    }
}

/// Whether a value is to be in a list or not.
#[derive(Clone, Copy)]
enum Membership {
    In,
    NotIn,
}

/// A pattern of LIKE as one of GLOB: `%` is `*`, `_` is `?`, everything else stands for itself.
fn glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len() + 8);
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '\\' => literal(letters.next().unwrap_or('\\'), &mut glob),
            other => literal(other, &mut glob),
        }
    }
    glob
}

fn literal(letter: char, glob: &mut String) {
    match letter {
        '*' | '?' | '[' => glob.extend(['[', letter, ']']),
        other => glob.push(other),
    }
}

/// A pattern that does not end within an escape, which PostgreSQL refuses.
fn closed(pattern: &Arc<str>) -> Arc<str> {
    let backslashes = pattern.chars().rev().take_while(|letter| *letter == '\\').count();
    if backslashes % 2 == 1 { Arc::from(format!("{pattern}\\")) } else { Arc::clone(pattern) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_the_same_in_both_databases() {
        for (like, expected) in
            [("a%_", "a*?"), (r"\%\_", "%_"), ("*?[", "[*][?][[]"), (r"a\", r"a\"), (r"\*", "[*]")]
        {
            assert_eq!(glob(like), expected, "{like}");
        }
        assert_eq!(&*closed(&Arc::from("a\\")), "a\\\\");
        assert_eq!(&*closed(&Arc::from("a\\\\")), "a\\\\");
    }
}
