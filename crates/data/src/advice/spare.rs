//! Indexes that help nobody: covered by another one, or used by nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::schema::{Index, Schema, Table, quoted};

/// An index that helps nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpareIndex {
    /// The table.
    pub table: Arc<str>,
    /// The index.
    pub name: String,
    /// Why.
    pub reason: SpareReason,
    /// The statement that would remove it.
    pub sql: String,
}

/// Why an index helps nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpareReason {
    /// This index, or the primary key, begins with the same columns.
    Duplicate(String),
    /// Nothing uses it: no plan of the observed calls, or on PostgreSQL no query since its statistics
    /// began.
    Unused,
}

/// The spare indexes of a schema. Only tables that were `touched` can say that one is unused. Indexes that
/// enforce something never are spare.
pub(super) fn spare(
    schema: &Schema,
    touched: &BTreeSet<&str>,
    is_unused: impl Fn(&str) -> bool,
) -> Vec<SpareIndex> {
    let mut found = Vec::new();
    for table in schema.tables() {
        for index in table.indexes.iter().filter(|index| is_free(index)) {
            let reason = match covering(table, index) {
                Some(other) => SpareReason::Duplicate(other),
                None if touched.contains(&*table.name) && is_unused(&index.name) => SpareReason::Unused,
                None => continue,
            };
            let sql = format!("DROP INDEX {}", quoted(&index.name));
            found.push(SpareIndex { table: Arc::clone(&table.name), name: index.name.clone(), reason, sql });
        }
    }
    found
}

fn is_free(index: &Index) -> bool {
    !index.unique && !index.constraint && !index.partial && !index.columns.is_empty()
}

/// Another index that serves everything this one does. Of two equal ones the later by name is spare.
fn covering(table: &Table, index: &Index) -> Option<String> {
    let key: Vec<Arc<str>> = table.key().map(|column| Arc::clone(&column.name)).collect();
    if key.starts_with(&index.columns) {
        return Some("the primary key".to_owned());
    }
    let serves = |other: &&Index| {
        let is_same = other.columns == index.columns;
        let comes_first = other.name < index.name || !is_free(other);
        !other.partial && other.columns.starts_with(&index.columns) && (!is_same || comes_first)
    };
    let others = table.indexes.iter().filter(|other| other.name != index.name);
    others.into_iter().find(serves).map(|other| other.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::table;

    #[test]
    fn duplicates_and_unused_ones_are_named() {
        let index = |name: &str, columns: &[&str], unique| Index {
            name: name.to_owned(),
            columns: columns.iter().map(|name| Arc::from(*name)).collect(),
            unique,
            partial: false,
            constraint: false,
        };
        let mut orders = table("orders", &["id INTEGER", "a TEXT", "b TEXT"], &[]);
        orders.indexes = vec![
            index("ab", &["a", "b"], false),
            index("a", &["a"], false),
            index("b", &["b"], false),
            index("b2", &["b"], false),
            index("b3", &["b", "a"], true),
            index("id", &["id"], false),
        ];
        let schema = Schema::new(vec![orders]);
        let found = spare(&schema, &BTreeSet::from(["orders"]), |name| name == "ab");
        let told: Vec<String> =
            found.iter().map(|spare| format!("{}: {:?}", spare.name, spare.reason)).collect();
        assert_eq!(
            told,
            [
                "ab: Unused",
                "a: Duplicate(\"ab\")",
                "b: Duplicate(\"b3\")",
                "b2: Duplicate(\"b\")",
                "id: Duplicate(\"the primary key\")",
            ]
        );
        assert_eq!(found[0].sql, "DROP INDEX \"ab\"");
    }
}
