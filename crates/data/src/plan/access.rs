//! Entering a table: does it exist, may the caller do this to it, which of its rows and columns exist for
//! the caller. There is no other way to a table, so no query can leave the tenant's rows.

use flux_model::Value;

use super::condition::{Condition, Operand, check_value};
use super::{Planner, Tenancy};
use crate::DataError;
use crate::context::Access;
use crate::nearest::suggestion;
use crate::place::Place;
use crate::policy::{TableRule, refusal};
use crate::query::{Columns, Operation};
use crate::schema::{Column, Table, TableKind};

/// A table as the caller may use it for one operation.
#[derive(Debug, Clone)]
pub(super) struct Ground<'a> {
    pub table: &'a Table,
    /// The rule of the caller's role, where roles are restricted.
    pub rule: Option<&'a TableRule>,
    /// The caller's role, for errors.
    pub role: &'a str,
    /// The tenant's column, where the table has it and the caller is not Flux itself.
    pub tenancy: Option<Tenancy<'a>>,
    /// The rows that exist for the role.
    pub rows: Option<Condition<'a>>,
}

impl<'a> Planner<'a> {
    /// Enters a table for an operation.
    pub(super) fn enter(
        &self,
        name: &str,
        operation: Operation,
        place: &Place<'_>,
    ) -> Result<Ground<'a>, DataError> {
        let Some(table) = self.scene.schema.table(name) else {
            let known = self.scene.schema.tables().iter().map(|table| &*table.name);
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            let message = format!("unknown table `{shown}`{}", suggestion(name, known));
            return Err(DataError::query(place.member("table"), message));
        };
        let is_read = matches!(operation, Operation::Select | Operation::Count | Operation::Aggregate);
        if table.kind == TableKind::View && !is_read {
            return Err(DataError::query(place.member("table"), format!("`{name}` is a view and only read")));
        }
        let mut ground = Ground { table, rule: None, role: "", tenancy: None, rows: None };
        let Access::Claims(claims) = self.scene.access else { return Ok(ground) };
        ground.role = claims.role().unwrap_or_default();
        ground.rule = self.scene.policy.rule(claims.role(), name, operation, place)?;
        ground.tenancy = self.tenancy(table, place)?;
        if let Some(filter) = ground.rule.and_then(|rule| rule.rows.as_ref()) {
            let policy = Place::root("policy");
            ground.rows = Some(self.rule_condition(filter, &ground, &policy.member(&table.name))?);
        }
        Ok(ground)
    }

    /// The tenant's column of a table. A table without it is closed unless the policy file lists it as
    /// shared: forgetting the column must not open the table to everybody.
    fn tenancy(&self, table: &'a Table, place: &Place<'_>) -> Result<Option<Tenancy<'a>>, DataError> {
        let (Some(rule), Access::Claims(claims)) = (&self.scene.policy.tenant, self.scene.access) else {
            return Ok(None);
        };
        let Some(column) = table.column(&rule.column) else {
            if self.scene.policy.shared.contains(&table.name) {
                return Ok(None);
            }
            let message = format!(
                "`{}` has no tenant column `{}`; add it, or list the table in `shared` of the policy file",
                table.name, rule.column
            );
            return Err(DataError::forbidden(place, message));
        };
        let Some(value) = claims.get(&rule.claim) else {
            let message = format!("the caller has no claim `{}`, which names the tenant", rule.claim);
            return Err(DataError::forbidden(place, message));
        };
        check_value(table, column, value, &Place::root("claims").member(&rule.claim))
            .map_err(|error| DataError::forbidden(place, error.to_string()))?;
        Ok(Some(Tenancy { column, value: value.clone() }))
    }
}

impl<'a> Ground<'a> {
    /// The conditions that the client cannot take away: the tenant's and the role's.
    pub(super) fn conditions(&self) -> Vec<Condition<'a>> {
        let tenant = self.tenancy.as_ref().map(|tenancy| Condition::Test {
            column: tenancy.column,
            operand: Operand::Eq(tenancy.value.clone()),
        });
        tenant.into_iter().chain(self.rows.clone()).collect()
    }

    /// The column of that name.
    pub(super) fn column(&self, name: &str, place: &Place<'_>) -> Result<&'a Column, DataError> {
        self.table.column(name).ok_or_else(|| {
            let readable = self.table.columns.iter().filter(|column| self.may_read(column));
            let known = readable.map(|column| &*column.name);
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            let hint = suggestion(name, known);
            DataError::query(place, format!("`{}` has no column `{shown}`{hint}", self.table.name))
        })
    }

    /// The column of that name, which the caller may read.
    pub(super) fn readable(&self, name: &str, place: &Place<'_>) -> Result<&'a Column, DataError> {
        let column = self.column(name, place)?;
        if self.may_read(column) { Ok(column) } else { Err(self.closed("read", "columns", column, place)) }
    }

    /// The column of that name, which the caller may set.
    pub(super) fn writable(&self, name: &str, place: &Place<'_>) -> Result<&'a Column, DataError> {
        let column = self.column(name, place)?;
        if self.tenancy.as_ref().is_some_and(|tenancy| tenancy.column.name == column.name) {
            let message = "is set from the caller's verified claims and cannot be given";
            return Err(DataError::forbidden(place, message));
        }
        if column.generated {
            return Err(DataError::query(place, "is computed by the database and cannot be set"));
        }
        let rule = self.rule.and_then(|rule| rule.writable.as_ref().or(rule.columns.as_ref()));
        match rule.is_none_or(|columns| columns.contains(&column.name)) {
            true => Ok(column),
            false => Err(self.closed("set", "writable", column, place)),
        }
    }

    /// The columns of an answer.
    pub(super) fn answer(&self, columns: &Columns, place: &Place<'_>) -> Result<Vec<&'a Column>, DataError> {
        match columns {
            Columns::All => Ok(self.table.columns.iter().filter(|column| self.may_read(column)).collect()),
            Columns::Named(names) => names
                .iter()
                .enumerate()
                .map(|(index, name)| self.readable(name, &place.element(index)))
                .collect(),
        }
    }

    /// The columns that a change answers with: reading them needs the right to read.
    pub(super) fn returned(
        &self,
        columns: &Columns,
        place: &Place<'_>,
    ) -> Result<Vec<&'a Column>, DataError> {
        if self.rule.is_some_and(|rule| !rule.operations.contains(&Operation::Select)) {
            return Err(refusal(self.role, Operation::Select, &self.table.name, place));
        }
        self.answer(columns, place)
    }

    fn may_read(&self, column: &Column) -> bool {
        let columns = self.rule.and_then(|rule| rule.columns.as_ref());
        columns.is_none_or(|columns| columns.contains(&column.name))
    }

    fn closed(&self, what: &str, list: &str, column: &Column, place: &Place<'_>) -> DataError {
        let (table, name) = (&self.table.name, &column.name);
        let message =
            format!("the caller's role may not {what} {table}.{name}; the policy file's `{list}` lacks it");
        DataError::forbidden(place, message)
    }
}

/// A value of a row that is written: checked, null where the column takes it.
pub(super) fn check_written(
    table: &Table,
    column: &Column,
    value: &Value,
    place: &Place<'_>,
) -> Result<(), DataError> {
    if !value.is_null() {
        return check_value(table, column, value, place);
    }
    match column.nullable {
        true => Ok(()),
        false => Err(DataError::query(place, format!("{}.{} may not be null", table.name, column.name))),
    }
}
