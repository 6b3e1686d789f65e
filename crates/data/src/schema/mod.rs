//! What a project's database looks like: tables, columns, keys, indexes, foreign keys. Read from the
//! database, never from the client; every identifier in SQL comes from here.

mod kind;
mod relation;

pub use kind::ColumnKind;
pub(crate) use relation::{Relation, RelationDirection, relations};

use std::collections::HashMap;
use std::sync::Arc;

/// The tables of one database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    tables: Vec<Table>,
    by_name: HashMap<Arc<str>, usize>,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name, as it is written.
    pub name: Arc<str>,
    /// Whether rows can be written.
    pub kind: TableKind,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// The places of the primary key's columns, in the order of the key; empty where there is none.
    pub primary_key: Vec<usize>,
    /// Its indexes, those of keys included.
    pub indexes: Vec<Index>,
    /// References to other tables.
    pub foreign_keys: Vec<ForeignKey>,
    /// About how many rows it has, where the database knows.
    pub row_estimate: Option<u64>,
    /// Whether triggers may write elsewhere when it is written.
    pub triggers: Triggers,
    /// The name as SQL has it, with its schema.
    pub(crate) sql: Box<str>,
}

/// Whether rows can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// A table.
    Table,
    /// A view: it is read only.
    View,
}

/// Whether a table has triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triggers {
    /// None.
    None,
    /// Some, which may write any table.
    Some,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, as it is written.
    pub name: Arc<str>,
    /// What its values are.
    pub kind: ColumnKind,
    /// The type as the database declares it.
    pub declared: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// What is stored where nothing is given, as SQL.
    pub default: Option<String>,
    /// Whether the database computes it, so that nobody may set it.
    pub generated: bool,
    /// Whether the database numbers it by itself.
    pub numbered: bool,
    /// The name as SQL has it.
    pub(crate) sql: Box<str>,
    /// The type a parameter is cast to, without length or precision (PostgreSQL).
    pub(crate) cast: Box<str>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its columns in order; empty where it is over expressions.
    pub columns: Vec<Arc<str>>,
    /// Whether it allows a combination once.
    pub unique: bool,
    /// Whether it covers only some rows.
    pub partial: bool,
    /// Whether it belongs to a primary key or unique constraint.
    pub constraint: bool,
}

/// A reference to another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The columns that refer, in order.
    pub columns: Vec<Arc<str>>,
    /// The table that is referred to.
    pub table: Arc<str>,
    /// Its columns, in the same order.
    pub references: Vec<Arc<str>>,
    /// Whether deleting or changing the other row changes this one.
    pub cascades: bool,
}

impl Schema {
    /// A schema of these tables.
    pub(crate) fn new(mut tables: Vec<Table>) -> Self {
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        let by_name =
            tables.iter().enumerate().map(|(place, table)| (Arc::clone(&table.name), place)).collect();
        Self { tables, by_name }
    }

    /// All tables, by name.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name).and_then(|place| self.tables.get(*place))
    }

    /// The tables whose rows may change when rows of `table` do: itself, those that cascade from it, and
    /// all of them where a trigger is involved.
    pub(crate) fn changed_with<'a>(&'a self, table: &'a Table) -> Vec<&'a Table> {
        let mut changed = vec![table];
        let mut next = 0;
        while let Some(at) = changed.get(next).copied() {
            if at.triggers == Triggers::Some {
                return self.tables.iter().collect();
            }
            for other in &self.tables {
                let follows = other.foreign_keys.iter().any(|key| key.cascades && key.table == at.name);
                if follows && !changed.iter().any(|known| known.name == other.name) {
                    changed.push(other);
                }
            }
            next += 1;
        }
        changed
    }
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        // Tables are narrow: a scan is faster than a map.
        self.columns.iter().find(|column| &*column.name == name)
    }

    /// The columns of the primary key, in its order.
    pub fn key(&self) -> impl Iterator<Item = &Column> + Clone {
        self.primary_key.iter().filter_map(|place| self.columns.get(*place))
    }

    /// Whether at most one row has a combination of values of these columns.
    pub(crate) fn is_unique<'a>(&self, columns: impl Iterator<Item = &'a str> + Clone) -> bool {
        let covers = |mut needed: Vec<&str>| {
            needed.retain(|name| !columns.clone().any(|column| column == *name));
            needed.is_empty()
        };
        let key: Vec<&str> = self.key().map(|column| &*column.name).collect();
        let whole = |index: &&Index| index.unique && !index.partial && !index.columns.is_empty();
        (!key.is_empty() && covers(key))
            || self
                .indexes
                .iter()
                .filter(whole)
                .any(|index| covers(index.columns.iter().map(|n| &**n).collect()))
    }
}

/// A name as SQL has it. The only place where an identifier is quoted.
pub(crate) fn quoted(name: &str) -> Box<str> {
    format!("\"{}\"", name.replace('"', "\"\"")).into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A column of a made-up schema: `name kind`, with `?` where it may be null.
    pub(crate) fn column(text: &str) -> Column {
        let (name, declared) = text.split_once(' ').unwrap();
        let (declared, nullable) = declared.strip_suffix('?').map_or((declared, false), |d| (d, true));
        Column {
            name: Arc::from(name),
            kind: ColumnKind::of_sqlite(declared),
            declared: declared.to_owned(),
            nullable,
            default: None,
            generated: false,
            numbered: false,
            sql: quoted(name),
            cast: declared.to_lowercase().into(),
        }
    }

    /// A table of a made-up schema whose first column is the key.
    pub(crate) fn table(name: &str, columns: &[&str], references: &[(&str, &str)]) -> Table {
        Table {
            name: Arc::from(name),
            kind: TableKind::Table,
            columns: columns.iter().map(|text| column(text)).collect(),
            primary_key: vec![0],
            indexes: Vec::new(),
            foreign_keys: references
                .iter()
                .map(|(column, table)| ForeignKey {
                    columns: vec![Arc::from(*column)],
                    table: Arc::from(*table),
                    references: vec![Arc::from("id")],
                    cascades: false,
                })
                .collect(),
            row_estimate: None,
            triggers: Triggers::None,
            sql: quoted(name),
        }
    }

    /// Customers, their orders, the orders' items, products and their countries.
    pub(crate) fn shop() -> Schema {
        let text = ["id INTEGER", "tenant TEXT", "name TEXT", "email TEXT?", "active BOOLEAN", "data JSON?"];
        Schema::new(vec![
            table("customers", &text, &[]),
            table(
                "orders",
                &[
                    "id INTEGER",
                    "tenant TEXT",
                    "customer_id INTEGER",
                    "billed_to INTEGER?",
                    "total NUMERIC",
                    "note TEXT?",
                ],
                &[("customer_id", "customers"), ("billed_to", "customers")],
            ),
            table(
                "items",
                &["id INTEGER", "tenant TEXT", "order_id INTEGER", "sku TEXT", "count INTEGER"],
                &[("order_id", "orders")],
            ),
            table("countries", &["code TEXT", "name TEXT"], &[]),
        ])
    }

    #[test]
    fn quoting_leaves_no_way_out() {
        assert_eq!(&*quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }

    #[test]
    fn uniqueness_needs_every_column_of_a_key() {
        let schema = shop();
        let orders = schema.table("orders").unwrap();
        assert!(orders.is_unique(["id", "tenant"].into_iter()));
        assert!(!orders.is_unique(["tenant"].into_iter()));
        assert!(!orders.is_unique([].into_iter()));
    }

    #[test]
    fn changes_cascade_and_triggers_reach_everything() {
        let mut tables = shop().tables;
        let names = |schema: &Schema| {
            let changed = schema.changed_with(schema.table("customers").unwrap());
            changed.iter().map(|table| table.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&Schema::new(tables.clone())), ["customers"]);
        for table in &mut tables {
            table.foreign_keys.iter_mut().for_each(|key| key.cascades = true);
        }
        assert_eq!(names(&Schema::new(tables.clone())), ["customers", "orders", "items"]);
        tables.iter_mut().find(|table| &*table.name == "items").unwrap().triggers = Triggers::Some;
        assert_eq!(names(&Schema::new(tables)).len(), 4);
    }
}
