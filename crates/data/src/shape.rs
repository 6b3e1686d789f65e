//! The shape of a query: everything but its values. Two queries that could be one batched query have the
//! same shape, in every database and for every caller.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::query::{
    Action, Columns, Direction, Filter, Include, Order, Query, Reach, Resolution, Select, Start,
};

/// What identifies a shape: the beginning of the hash of its parts. Stable between releases, since
/// journals hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryShape(u64);

impl QueryShape {
    /// The shape of a query.
    pub fn of(query: &Query) -> Self {
        let mut parts = Parts(Sha256::new());
        parts.word(query.operation().as_str());
        parts.word(&query.table);
        match &query.action {
            Action::Select(select) => parts.select(select),
            Action::Count(filter) => parts.filter(filter.as_ref()),
            Action::Aggregate(aggregate) => {
                for measure in &aggregate.measures {
                    parts.word(measure.function.as_str());
                    parts.word(measure.column.as_deref().unwrap_or("*"));
                    parts.word(&measure.name);
                }
                parts.words("group", &aggregate.group_by);
                parts.filter(aggregate.filter.as_ref());
                parts.order(&aggregate.order);
            }
            Action::Insert(insert) => {
                parts.rows(&insert.rows);
                parts.returning(insert.returning.as_ref());
            }
            Action::Upsert(upsert) => {
                parts.rows(&upsert.rows);
                parts.words("conflict", &upsert.conflict);
                match &upsert.resolution {
                    Resolution::UpdateGiven => parts.word("given"),
                    Resolution::Keep => parts.word("keep"),
                    Resolution::Update(columns) => parts.words("update", columns),
                }
                parts.returning(upsert.returning.as_ref());
            }
            Action::Update(update) => {
                parts.words("set", update.set.keys());
                parts.reach(&update.reach);
                parts.returning(update.returning.as_ref());
            }
            Action::Delete(delete) => {
                parts.reach(&delete.reach);
                parts.returning(delete.returning.as_ref());
            }
        }
        let digest = parts.0.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(bytes))
    }

    /// The 64 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for QueryShape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// Parts that go into the hash, each with its length, so that no two lists of parts read the same.
struct Parts(Sha256);

impl Parts {
    fn word(&mut self, word: &str) {
        self.0.update((word.len() as u64).to_le_bytes());
        self.0.update(word);
    }

    fn words<T: AsRef<str>>(&mut self, what: &str, words: impl IntoIterator<Item = T>) {
        self.word(what);
        words.into_iter().for_each(|word| self.word(word.as_ref()));
        self.word("end");
    }

    fn select(&mut self, select: &Select) {
        self.columns(&select.columns);
        self.filter(select.filter.as_ref());
        self.order(&select.order);
        self.word(match select.start {
            // A first page and the pages that its cursor leads to are one query.
            Start::First | Start::Cursor(_) => "first",
            Start::Offset(_) => "offset",
        });
        select.include.iter().for_each(|include| self.include(include));
        self.word("end");
    }

    fn include(&mut self, include: &Include) {
        self.word("include");
        self.word(&include.name);
        self.word(include.table.as_deref().unwrap_or_default());
        self.word(include.via.as_deref().unwrap_or_default());
        self.select(&include.select);
    }

    fn columns(&mut self, columns: &Columns) {
        match columns {
            Columns::All => self.word("*"),
            Columns::Named(names) => self.words("columns", names),
        }
    }

    fn returning(&mut self, columns: Option<&Columns>) {
        match columns {
            None => self.word("nothing"),
            Some(columns) => self.columns(columns),
        }
    }

    fn filter(&mut self, filter: Option<&Filter>) {
        match filter {
            None => self.word("any"),
            Some(Filter::All(inner)) => self.filters("and", inner),
            Some(Filter::Any(inner)) => self.filters("or", inner),
            Some(Filter::Not(inner)) => self.filters("not", std::slice::from_ref(inner)),
            Some(Filter::Test(test)) => {
                self.word(test.op.as_str());
                self.word(&test.column);
            }
        }
    }

    fn filters(&mut self, what: &str, filters: &[Filter]) {
        self.word(what);
        filters.iter().for_each(|filter| self.filter(Some(filter)));
        self.word("end");
    }

    fn order(&mut self, order: &[Order]) {
        for order in order {
            self.word(match order.direction {
                Direction::Ascending => "asc",
                Direction::Descending => "desc",
            });
            self.word(&order.column);
        }
    }

    fn reach(&mut self, reach: &Reach) {
        match reach {
            Reach::Where(filter) => self.filter(Some(filter)),
            Reach::All => self.word("all"),
        }
    }

    fn rows(&mut self, rows: &[std::sync::Arc<flux_model::value::Object>]) {
        self.words("values", rows.first().map(|row| row.keys()).into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use flux_model::Value;

    use super::*;

    fn shape(json: &str) -> QueryShape {
        QueryShape::of(&Query::parse(&Value::from_json(json.as_bytes()).unwrap()).unwrap())
    }

    fn check(left: &str, right: &str, same: bool) {
        assert_eq!(shape(left) == shape(right), same, "{left} {right}");
    }

    #[test]
    fn values_do_not_count_and_everything_else_does() {
        let base = r#"{"table":"a","where":{"b":1},"include":{"c":{"where":{"d":"x"}}}}"#;
        check(base, r#"{"table":"a","where":{"b":2},"include":{"c":{"where":{"d":"y"}}},"limit":7}"#, true);
        for other in [
            r#"{"table":"a","where":{"b":{"gt":1}},"include":{"c":{"where":{"d":"x"}}}}"#,
            r#"{"table":"a","where":{"c":1},"include":{"c":{"where":{"d":"x"}}}}"#,
            r#"{"table":"a","where":{"b":1},"include":{"e":{"where":{"d":"x"}}}}"#,
            r#"{"table":"a","where":{"b":1},"include":{"c":{}}}"#,
            r#"{"table":"a","where":{"or":[{"b":1}]},"include":{"c":{"where":{"d":"x"}}}}"#,
            r#"{"table":"a","columns":["b"],"where":{"b":1},"include":{"c":{"where":{"d":"x"}}}}"#,
            r#"{"table":"a","order":"b","where":{"b":1},"include":{"c":{"where":{"d":"x"}}}}"#,
        ] {
            check(base, other, false);
        }
        check(
            r#"{"table":"a","where":{"b":{"in":[1]}}}"#,
            r#"{"table":"a","where":{"b":{"in":[1,2]}}}"#,
            true,
        );
        check(r#"{"table":"ab"}"#, r#"{"table":"a"}"#, false);
    }

    #[test]
    fn a_shape_stays_what_it_is() {
        assert_eq!(shape(r#"{"table":"orders","where":{"id":1}}"#).to_string(), "e65ef1fa2a7b4c30");
    }
}
