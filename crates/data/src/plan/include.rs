//! Plans of what a select brings along from other tables, to any allowed depth.

use std::sync::Arc;

use super::access::Ground;
use super::{Planner, RowsPlan, cost};
use crate::DataError;
use crate::nearest::suggestion;
use crate::place::Place;
use crate::query::{Include, Operation};
use crate::schema::{Relation, RelationDirection, Table, relations};

/// Rows of another table that belong to each row.
#[derive(Debug)]
pub(crate) struct IncludePlan<'a> {
    pub name: Arc<str>,
    pub relation: Relation<'a>,
    pub rows: RowsPlan<'a>,
}

/// How deep a branch of includes is, and how many rows it may bring so far.
#[derive(Clone, Copy)]
pub(super) struct Branch {
    depth: u32,
    rows: u64,
}

impl Branch {
    pub(super) const fn new(rows: u64) -> Self {
        Self { depth: 1, rows }
    }
}

impl<'a> Planner<'a> {
    pub(super) fn includes(
        &mut self,
        ground: &Ground<'a>,
        includes: &[Include],
        branch: Branch,
        place: &Place<'_>,
    ) -> Result<Vec<IncludePlan<'a>>, DataError> {
        let at = place.member("include");
        includes
            .iter()
            .map(|include| self.include(ground, include, branch, &at.member(&include.name)))
            .collect()
    }

    fn include(
        &mut self,
        ground: &Ground<'a>,
        include: &Include,
        branch: Branch,
        place: &Place<'_>,
    ) -> Result<IncludePlan<'a>, DataError> {
        if !is_plain_name(&include.name) {
            let message = "is not a name: letters, digits and underscores, at most 63";
            return Err(DataError::query(place, message));
        }
        if ground.table.column(&include.name).is_some() {
            let message = format!(
                "`{}` is a column of `{}`; use another name and say `table` or `via`",
                include.name, ground.table.name
            );
            return Err(DataError::query(place, message));
        }
        let relation = self.relation(ground.table, include, place)?;
        self.cost.include(branch.depth);
        let other = self.enter(&relation.table.name, Operation::Select, place)?;
        let select = &include.select;
        let mut rows = self.rows(&other, select, place)?;
        let limit = match relation.direction {
            RelationDirection::ToOne => {
                rows.sort.clear();
                1
            }
            RelationDirection::ToMany => select.limit.max(1),
        };
        let branch = Branch { depth: branch.depth + 1, rows: cost::branch(branch.rows, limit, place)? };
        rows.includes = self.includes(&other, &select.include, branch, place)?;
        Ok(IncludePlan { name: Arc::clone(&include.name), relation, rows })
    }

    /// The one way from `table` that an include can mean.
    fn relation(
        &self,
        table: &'a Table,
        include: &Include,
        place: &Place<'_>,
    ) -> Result<Relation<'a>, DataError> {
        let all: Vec<Relation<'a>> = relations(self.scene.schema, table).collect();
        let meant = |relation: &&Relation<'a>| {
            let by_table = include.table.as_ref().is_none_or(|wanted| relation.table.name == *wanted);
            let by_via = include.via.as_ref().is_none_or(|via| relation.goes_along(via));
            let says_nothing = include.table.is_none() && include.via.is_none();
            by_table && by_via && (!says_nothing || relation.answers_to(&include.name))
        };
        let found: Vec<&Relation<'a>> = all.iter().filter(meant).collect();
        // Where the column names one of several ways to the same table, the name decides.
        let exact: Vec<&&Relation<'a>> =
            found.iter().filter(|relation| relation.goes_along(&include.name)).collect();
        match (found.as_slice(), exact.as_slice()) {
            ([only], _) => Ok(**only),
            (_, [only]) => Ok(***only),
            ([], _) => Err(DataError::query(place, unrelated(table, include, &all))),
            (several, _) => {
                let ways: Vec<String> = several.iter().map(|relation| describe(relation)).collect();
                let message = format!("can mean {}; say which with `table` and `via`", ways.join(" or "));
                Err(DataError::query(place, message))
            }
        }
    }
}

/// The name of a member becomes an identifier in SQL. It is quoted there, and plain as well.
fn is_plain_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_plain && (1..=63).contains(&name.len())
}

fn unrelated(table: &Table, include: &Include, all: &[Relation<'_>]) -> String {
    let wanted = include.table.as_ref().unwrap_or(&include.name);
    let known = all.iter().map(|relation| &*relation.table.name);
    let hint = if all.is_empty() { String::new() } else { suggestion(wanted, known) };
    format!("no foreign key joins `{}` and `{wanted}`{hint}", table.name)
}

fn describe(relation: &Relation<'_>) -> String {
    let columns = relation.key.columns.join(", ");
    match relation.direction {
        RelationDirection::ToOne => format!("`{}` along {columns}", relation.table.name),
        RelationDirection::ToMany => format!("`{}` by its {columns}", relation.table.name),
    }
}
