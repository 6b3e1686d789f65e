//! Comparing values, and the functions that ask something of a value of any type.
//!
//! Comparing walks values that may share parts, so every part it looks at costs a step.

use std::cmp::Ordering;
use std::sync::Arc;

use flux_model::value::Value;

use super::{Call, Doc, Function, Manner};
use crate::template::error::TemplateError;

pub(super) const TABLE: &[Function] = &[
    Function::new(
        "default",
        "value, fallback",
        Doc(
            "The value, or the fallback where it is null or leads nowhere.",
            "default(input.nickname, \"friend\")",
            "\"friend\"",
        ),
        |call| Ok(if call.has(0) { call.value(0).clone() } else { call.value(1).clone() }),
    )
    .treating(Manner::Foreseeing),
    Function::new(
        "exists",
        "value",
        Doc("Whether the value is there and not null.", "exists(input.nickname)", "false"),
        |call| Ok(Value::Bool(call.has(0))),
    )
    .treating(Manner::Foreseeing),
    Function::new(
        "is_empty",
        "value",
        Doc(
            "Whether the value is null, or a text, array or object with nothing in it.",
            "is_empty([])",
            "true",
        ),
        is_empty,
    )
    .treating(Manner::Foreseeing),
    Function::new(
        "contains",
        "container, part",
        Doc(
            "Whether a text holds another, an array an element, or an object a member of that name.",
            "contains(\"invoice 17\", \"invoice\")",
            "true",
        ),
        |call| contains(call, call.value(0), call.value(1)).map(Value::Bool),
    ),
    Function::new(
        "type",
        "value",
        Doc("`string`, `number`, `boolean`, `array`, `object` or `null`.", "type([1])", "\"array\""),
        |call| Ok(Value::text(call.value(0).type_name())),
    )
    .treating(Manner::Total),
];

fn is_empty(call: &Call<'_>) -> Result<Value, TemplateError> {
    Ok(Value::Bool(match call.value(0) {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Secret(_) => false,
    }))
}

/// Whether `container` holds `part`. Nothing holds anything where the container is null.
pub(super) fn contains(call: &Call<'_>, container: &Value, part: &Value) -> Result<bool, TemplateError> {
    match (container, part) {
        (Value::Null, _) => Ok(false),
        (Value::Text(text), Value::Text(part)) => Ok(text.contains(&**part)),
        (Value::Array(items), part) => {
            for item in items.iter() {
                if equal(call, item, part)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Object(members), Value::Text(name)) => Ok(members.contains_key(name)),
        (Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) | Value::Secret(_), _) => {
            Err(TemplateError::failed(format!(
                "cannot look for a {} in a {}",
                part.type_name(),
                container.type_name()
            ))
            .suggest("look for a text in a text, anything in an array, a name in an object"))
        }
    }
}

/// Whether two values are the same. `1` and `1.0` are; the order of members does not count.
pub(super) fn equal(call: &Call<'_>, left: &Value, right: &Value) -> Result<bool, TemplateError> {
    call.meter().steps(1)?;
    match (left, right) {
        (Value::Secret(_), _) | (_, Value::Secret(_)) => Err(call.error("a secret cannot be compared")),
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(call, a, b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(a), Value::Object(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (name, a) in a.iter() {
                let Some(b) = b.get(name) else { return Ok(false) };
                if !equal(call, a, b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Text(a), Value::Text(b)) => {
            call.meter().read(a.len().min(b.len()))?;
            Ok(Arc::ptr_eq(a, b) || a == b)
        }
        (Value::Number(_), Value::Number(_)) => Ok(compare(left, right) == Some(Ordering::Equal)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Null, Value::Null) => Ok(true),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => Ok(false),
    }
}

/// The order of two numbers or two texts; nothing else has one.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        _ => None,
    }
}
