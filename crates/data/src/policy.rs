//! The policy file: which column names the tenant, and what each role may do to which rows and columns.
//! It only says what is allowed; the planner puts it into every statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use flux_model::Value;
use serde::Deserialize;

use crate::DataError;
use crate::place::Place;
use crate::query::{Filter, Operation, filter};

/// The rules of a project's database. The default allows everything to everybody.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    pub(crate) tenant: Option<TenantRule>,
    /// Tables without the tenant's column that callers may use all the same.
    pub(crate) shared: Vec<Arc<str>>,
    /// Rules by role and table; none means that every role may do everything.
    pub(crate) roles: Option<BTreeMap<String, BTreeMap<String, TableRule>>>,
}

/// How a row is known to belong to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantRule {
    /// The column, in every table that has it.
    pub column: Arc<str>,
    /// The claim that its value must equal.
    pub claim: String,
}

/// What a role may do to one table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableRule {
    pub operations: Vec<Operation>,
    /// Columns that may be read, filtered and sorted by; none means all.
    pub columns: Option<Vec<Arc<str>>>,
    /// Columns that may be set; those that may be read where there are none.
    pub writable: Option<Vec<Arc<str>>>,
    /// Which rows exist for the role. Rows that it writes must be among them afterwards.
    pub rows: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    tenant: Option<TenantFile>,
    #[serde(default)]
    shared: Vec<String>,
    roles: Option<BTreeMap<String, BTreeMap<String, RuleFile>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    column: String,
    claim: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    operations: Vec<String>,
    columns: Option<Vec<Arc<str>>>,
    writable: Option<Vec<Arc<str>>>,
    rows: Option<Value>,
}

impl Policy {
    /// Reads `policies.json` or `policies.yaml`; `name` is the file's name, for errors.
    ///
    /// # Errors
    /// [`DataError::Configuration`] names the place in the file.
    pub fn parse(name: &str, text: &str) -> Result<Self, DataError> {
        let invalid = |message: String| DataError::Configuration { place: name.to_owned(), message };
        let file: PolicyFile = if name.ends_with(".json") {
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?
        } else {
            serde_saphyr::from_str(text).map_err(|error| invalid(error.to_string()))?
        };
        let root = Place::root(name);
        let roles = file.roles.map(|roles| roles_of(roles, &root.member("roles"))).transpose()?;
        let tenant =
            file.tenant.map(|tenant| TenantRule { column: tenant.column.into(), claim: tenant.claim });
        Ok(Self { tenant, shared: file.shared.into_iter().map(Arc::from).collect(), roles })
    }

    /// The rule for a table, where roles are restricted.
    ///
    /// # Errors
    /// [`DataError::Forbidden`] if no rule allows the role this operation.
    pub(crate) fn rule(
        &self,
        role: Option<&str>,
        table: &str,
        operation: Operation,
        place: &Place<'_>,
    ) -> Result<Option<&TableRule>, DataError> {
        let Some(roles) = &self.roles else { return Ok(None) };
        let Some(role) = role else {
            return Err(DataError::forbidden(
                place,
                "the caller has no role, and the policy file asks for one",
            ));
        };
        let tables = roles.get(role);
        let rule = tables.and_then(|tables| tables.get(table).or_else(|| tables.get("*")));
        match rule {
            Some(rule) if rule.operations.contains(&operation) => Ok(Some(rule)),
            Some(_) | None => Err(refusal(role, operation, table, place)),
        }
    }
}

/// The error for what no rule allows, with the rule that would.
pub(crate) fn refusal(role: &str, operation: Operation, table: &str, place: &Place<'_>) -> DataError {
    let operation = operation.as_str();
    let way_out = format!("add `{operation}` to roles.{role}.{table}.operations of the policy file");
    DataError::forbidden(place, format!("role `{role}` may not {operation} `{table}`; {way_out}"))
}

fn roles_of(
    roles: BTreeMap<String, BTreeMap<String, RuleFile>>,
    place: &Place<'_>,
) -> Result<BTreeMap<String, BTreeMap<String, TableRule>>, DataError> {
    let mut read = BTreeMap::new();
    for (role, tables) in roles {
        let place = place.member(&role);
        let mut rules = BTreeMap::new();
        for (table, rule) in tables {
            let rule = rule_of(rule, &place.member(&table))?;
            rules.insert(table, rule);
        }
        read.insert(role, rules);
    }
    Ok(read)
}

fn rule_of(rule: RuleFile, place: &Place<'_>) -> Result<TableRule, DataError> {
    let mut operations = Vec::new();
    for name in &rule.operations {
        match Operation::ALL.into_iter().find(|operation| operation.as_str() == name) {
            Some(operation) => operations.push(operation),
            None if name == "*" => operations.extend(Operation::ALL),
            None => {
                let known = Operation::ALL.iter().map(|operation| operation.as_str());
                let hint = crate::nearest::suggestion(name, known);
                return Err(configuration(
                    place.member("operations"),
                    format!("unknown operation `{name}`{hint}"),
                ));
            }
        }
    }
    let rows_place = place.member("rows");
    let rows = rule.rows.map(|value| filter(&value, &rows_place)).transpose();
    let rows = rows.map_err(|error| {
        if let DataError::Query { place, message } = error { configuration(place, message) } else { error }
    })?;
    Ok(TableRule { operations, columns: rule.columns, writable: rule.writable, rows: rows.flatten() })
}

fn configuration(place: impl ToString, message: String) -> DataError {
    DataError::Configuration { place: place.to_string(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "tenant": {"column": "tenant", "claim": "tenant"},
        "shared": ["countries"],
        "roles": {
            "member": {"orders": {"operations": ["select", "insert"], "columns": ["id"], "rows": {"owner": "$claims.sub"}}},
            "admin": {"*": {"operations": ["*"]}}
        }
    }"#;

    #[test]
    fn json_and_yaml_say_the_same() {
        let value: serde_json::Value = serde_json::from_str(FILE).unwrap();
        let yaml = "tenant: {column: tenant, claim: tenant}\nshared: [countries]\nroles:\n  member:\n    orders:\n      operations: [select, insert]\n      columns: [id]\n      rows: {owner: $claims.sub}\n  admin:\n    '*': {operations: ['*']}\n";
        assert_eq!(Policy::parse("p.json", &value.to_string()), Policy::parse("p.yaml", yaml));
    }

    #[test]
    fn what_no_rule_allows_is_refused_with_the_way_out() {
        let policy = Policy::parse("p.json", FILE).unwrap();
        let place = Place::root("");
        let check = |role, table, operation, allowed: bool| {
            let rule = policy.rule(role, table, operation, &place);
            assert_eq!(rule.is_ok(), allowed, "{role:?} {table} {operation:?}: {rule:?}");
        };
        check(Some("member"), "orders", Operation::Select, true);
        check(Some("member"), "orders", Operation::Delete, false);
        check(Some("member"), "items", Operation::Select, false);
        check(Some("admin"), "items", Operation::Delete, true);
        check(Some("other"), "orders", Operation::Select, false);
        check(None, "orders", Operation::Select, false);
        let error = policy.rule(Some("member"), "orders", Operation::Delete, &place).unwrap_err().to_string();
        assert!(error.contains("add `delete` to roles.member.orders.operations"), "{error}");
    }

    #[test]
    fn mistakes_name_their_place() {
        let check = |file: &str, expected: &str| {
            let error = Policy::parse("p.json", file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(r#"{"tenent": {}}"#, "unknown field `tenent`");
        check(
            r#"{"roles": {"a": {"b": {"operations": ["selct"]}}}}"#,
            "p.json.roles.a.b.operations: unknown operation `selct`; did you mean `select`?",
        );
        check(
            r#"{"roles": {"a": {"b": {"operations": [], "rows": {"c": {"eqq": 1}}}}}}"#,
            "p.json.roles.a.b.rows.c.eqq: unknown operator `eqq`",
        );
    }
}
