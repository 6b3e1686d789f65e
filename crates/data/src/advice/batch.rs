//! The one query that does what several of a shape do.

use std::sync::Arc;

use flux_model::Value;
use flux_model::value::Object;

use super::call::ObservedCall;
use crate::limits::{LIST_MAX, ROWS_DEFAULT, ROWS_WRITTEN_MAX};
use crate::query::Operation;

/// The batched form of calls of one shape, where there is one: they differ in one value that a column must
/// equal, or in the rows they insert.
pub(super) fn batched(calls: &[&ObservedCall]) -> Option<Value> {
    let first = calls.first()?;
    let members = first.source.as_object()?;
    match first.query.operation() {
        Operation::Insert | Operation::Upsert => inserted_together(calls, members),
        operation @ (Operation::Select | Operation::Count | Operation::Update | Operation::Delete) => {
            let (column, values) = only_difference(calls)?;
            Some(listed(members, operation, &column, values))
        }
        Operation::Aggregate => {
            let (column, values) = only_difference(calls)?;
            let mut members = members.clone();
            members.insert("where".into(), listed_where(members.get("where")?.as_object()?, &column, values));
            let mut group: Vec<Value> =
                members.get("groupBy").and_then(Value::as_array).unwrap_or_default().to_vec();
            group.insert(0, Value::Text(column));
            members.insert("groupBy".into(), Value::array(group));
            Some(Value::Object(Arc::new(members)))
        }
    }
}

fn inserted_together(calls: &[&ObservedCall], first: &Object) -> Option<Value> {
    let mut rows = Vec::new();
    for call in calls {
        let values = call.source.get("values")?;
        match values.as_array() {
            Some(several) => rows.extend_from_slice(several),
            None => rows.push(values.clone()),
        }
    }
    rows.truncate(ROWS_WRITTEN_MAX);
    let mut members = first.clone();
    members.insert("values".into(), Value::array(rows));
    Some(Value::Object(Arc::new(members)))
}

/// The column that must equal another value in each call, if that is all that differs.
fn only_difference(calls: &[&ObservedCall]) -> Option<(Arc<str>, Vec<Value>)> {
    let first = calls.first()?;
    let filter = first.source.get("where")?.as_object()?;
    let differs = |column: &&Arc<str>| {
        let test =
            |call: &&ObservedCall| call.source.get("where").and_then(|filter| filter.get(column)).cloned();
        calls.iter().any(|call| test(call) != test(first))
    };
    let differing: Vec<&Arc<str>> = filter.keys().filter(differs).collect();
    let [column] = differing.as_slice() else { return None };
    let rest = |call: &&ObservedCall| {
        let mut members = call.source.as_object()?.clone();
        let mut filter = members.get("where")?.as_object()?.clone();
        filter.shift_remove(*column);
        members.insert("where".into(), Value::Object(Arc::new(filter)));
        Some(members)
    };
    let same = rest(first)?;
    let mut values: Vec<Value> = Vec::new();
    for call in calls {
        if rest(call)? != same {
            return None;
        }
        let value = equal_to(call.source.get("where")?.get(column)?)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values.truncate(LIST_MAX);
    Some((Arc::clone(column), values))
}

/// What `value` or `{"eq": value}` must equal.
fn equal_to(test: &Value) -> Option<Value> {
    match test {
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => Some(test.clone()),
        Value::Object(operators) if operators.len() == 1 => operators.get("eq").cloned(),
        Value::Object(_) | Value::Null | Value::Array(_) | Value::Secret(_) => None,
    }
}

fn listed(first: &Object, operation: Operation, column: &Arc<str>, values: Vec<Value>) -> Value {
    let empty = Object::new();
    let filter = first.get("where").and_then(Value::as_object).unwrap_or(&empty);
    let filter = listed_where(filter, column, values.clone());
    if operation == Operation::Count {
        let count = Value::object([("count", Value::object([("count", Value::from("*"))]))]);
        return Value::object([
            ("table", first.get("table").cloned().unwrap_or_default()),
            ("operation", Value::from("aggregate")),
            ("groupBy", Value::array(vec![Value::Text(Arc::clone(column))])),
            ("aggregate", count),
            ("where", filter),
        ]);
    }
    let mut members = first.clone();
    members.insert("where".into(), filter);
    if members.contains_key("limit") {
        let limit = u64::from(ROWS_DEFAULT).max(values.len() as u64);
        members.insert("limit".into(), Value::from(limit));
    }
    Value::Object(Arc::new(members))
}

fn listed_where(filter: &Object, column: &Arc<str>, values: Vec<Value>) -> Value {
    let mut filter = filter.clone();
    filter.insert(Arc::clone(column), Value::object([("in", Value::array(values))]));
    Value::Object(Arc::new(filter))
}
