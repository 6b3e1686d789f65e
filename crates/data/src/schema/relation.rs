//! Which tables belong to a table, along foreign keys in both directions, and by which names.

use super::{ForeignKey, Schema, Table};

/// One way from a table to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relation<'a> {
    /// The table it leads to.
    pub table: &'a Table,
    /// The foreign key it goes along.
    pub key: &'a ForeignKey,
    /// Which way.
    pub direction: RelationDirection,
}

/// Which way a relation goes along its foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelationDirection {
    /// From the row that refers to the one it refers to: one row or none.
    ToOne,
    /// From the row that is referred to, to those that refer to it: a list.
    ToMany,
}

impl Relation<'_> {
    /// Whether a member `name` of `include` can mean this: the name of the table it leads to, or of the
    /// column it goes along, with or without `_id`.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        &*self.table.name == name || (self.direction == RelationDirection::ToOne && self.goes_along(name))
    }

    /// Whether `name` is the key's only column, with or without `_id` or `Id`.
    pub(crate) fn goes_along(&self, name: &str) -> bool {
        let [column] = self.key.columns.as_slice() else { return false };
        let stem = column.strip_suffix("_id").or_else(|| column.strip_suffix("Id"));
        &**column == name || stem == Some(name)
    }

    /// Pairs of columns that are equal: this side's, the other side's.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.key.columns.iter().zip(&self.key.references);
        pairs.map(|(refers, referred)| match self.direction {
            RelationDirection::ToOne => (&**refers, &**referred),
            RelationDirection::ToMany => (&**referred, &**refers),
        })
    }
}

/// Every way from `table` to another one, or to itself.
pub(crate) fn relations<'a>(schema: &'a Schema, table: &'a Table) -> impl Iterator<Item = Relation<'a>> {
    let to_one = table.foreign_keys.iter().filter_map(|key| {
        let table = schema.table(&key.table)?;
        Some(Relation { table, key, direction: RelationDirection::ToOne })
    });
    let to_many = schema.tables().iter().flat_map(move |other| {
        let keys = other.foreign_keys.iter().filter(|key| key.table == table.name);
        keys.map(move |key| Relation { table: other, key, direction: RelationDirection::ToMany })
    });
    to_one.chain(to_many)
}
