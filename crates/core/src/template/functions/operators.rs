//! The operators, and what the grammar writes with signs: members, slices, array and object
//! literals. They are functions like the others, but cannot be called by name.

use std::cmp::Ordering;
use std::sync::Arc;

use flux_model::value::{Object, Value};

use super::check::{compare, contains, equal};
use super::number::{Num, arithmetic};
use super::{Body, Call, Doc, Function, Manner, array, text};
use crate::template::error::TemplateError;
use crate::template::path::{Near, Segment, Stop, explain, shorten, step};

/// Every operator; `name` is how messages write it.
pub(super) static OPERATORS: &[Function] = &[
    entry("+", Manner::Total, add),
    entry("-", Manner::Total, |call| calculate(call, "-")),
    entry("*", Manner::Total, |call| calculate(call, "*")),
    entry("/", Manner::Total, |call| calculate(call, "/")),
    entry("//", Manner::Total, |call| calculate(call, "//")),
    entry("%", Manner::Total, |call| calculate(call, "%")),
    entry("**", Manner::Total, |call| calculate(call, "**")),
    entry("negate", Manner::Total, negate),
    entry("~", Manner::Total, join),
    entry("==", Manner::Total, |call| same(call).map(Value::Bool)),
    entry("!=", Manner::Total, |call| same(call).map(|same| Value::Bool(!same))),
    entry("<", Manner::Total, |call| order(call, Ordering::is_lt)),
    entry("<=", Manner::Total, |call| order(call, Ordering::is_le)),
    entry(">", Manner::Total, |call| order(call, Ordering::is_gt)),
    entry(">=", Manner::Total, |call| order(call, Ordering::is_ge)),
    entry("in", Manner::Total, |call| contains(call, call.value(1), call.value(0)).map(Value::Bool)),
    entry("[]", Manner::Total, member),
    entry("[:]", Manner::Total, text::slice),
    entry("array", Manner::Placing, |call| Ok(Value::array(call.args.to_vec()))),
    entry("object", Manner::Placing, object),
];

/// The operator that the parser means by `name`.
pub(crate) fn operator(name: &str) -> &'static Function {
    OPERATORS.iter().find(|entry| entry.name == name).expect("the parser names operators of the table")
}

const fn entry(name: &'static str, manner: Manner, body: Body) -> Function {
    Function::new(name, "left, right", Doc("", "", ""), body).treating(manner)
}

fn add(call: &Call<'_>) -> Result<Value, TemplateError> {
    match (call.value(0), call.value(1)) {
        (Value::Text(_), Value::Text(_)) => join(call),
        (Value::Array(_), Value::Array(_)) => array::concat_arrays(call),
        _ => calculate(call, "+"),
    }
}

fn calculate(call: &Call<'_>, sign: &str) -> Result<Value, TemplateError> {
    let (left, right) = (call.value(0), call.value(1));
    match (Num::read(left), Num::read(right)) {
        (Some(a), Some(b)) => arithmetic(sign, a, b).map_err(|why| {
            TemplateError::failed(format!(
                "cannot calculate {} {sign} {}: {why}",
                left.to_json(),
                right.to_json()
            ))
        }),
        _ => {
            let error = TemplateError::failed(format!(
                "`{sign}` does not apply to {} and {}",
                left.type_name(),
                right.type_name()
            ));
            Err(match sign {
                "+" => error.suggest("join texts with `~`, turn texts into numbers with `number(text)`"),
                "*" => error.suggest("repeat a text with `repeat(text, count)`"),
                _ => error.suggest("turn texts into numbers with `number(text)`"),
            })
        }
    }
}

fn negate(call: &Call<'_>) -> Result<Value, TemplateError> {
    let zero = Num::Integer(0);
    let number = Num::read(call.value(0));
    let number = number.ok_or_else(|| {
        TemplateError::failed(format!("`-` does not apply to {}", call.value(0).type_name()))
    })?;
    arithmetic("-", zero, number).map_err(TemplateError::failed)
}

fn join(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut joined = call.builder();
    call.args.iter().try_for_each(|part| joined.push_value(part))?;
    Ok(joined.value())
}

fn same(call: &Call<'_>) -> Result<bool, TemplateError> {
    equal(call, call.value(0), call.value(1))
}

/// Nothing is less or greater than null: a path that led nowhere makes a condition false.
fn order(call: &Call<'_>, wanted: fn(Ordering) -> bool) -> Result<Value, TemplateError> {
    let (left, right) = (call.value(0), call.value(1));
    if left.is_null() || right.is_null() {
        return Ok(Value::Bool(false));
    }
    let order = compare(left, right).ok_or_else(|| {
        TemplateError::failed(format!("cannot compare {} with {}", left.type_name(), right.type_name()))
            .suggest("only numbers with numbers and texts with texts have an order")
    })?;
    Ok(Value::Bool(wanted(order)))
}

/// `value[key]` where either is computed. A part that is not there is reported
/// as a path that leads nowhere is.
fn member(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (of, key) = (call.value(0), call.value(1));
    let segment = match key {
        Value::Text(name) => Segment::Key(name.clone()),
        Value::Null => return Ok(Value::Null),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
            Segment::Index(call.integer(1).map_err(|_| {
                TemplateError::failed(format!(
                    "a member is named by a string or number, not by {}",
                    key.type_name()
                ))
            })?)
        }
    };
    match step(of, &segment) {
        Some(part) => Ok(part.clone()),
        None => {
            let message = format!("a computed value {}", explain(of, &segment));
            let path = format!("(…)[{}]", shorten(&key.to_json()));
            call.run.missing(Stop { path, message, near: Near::Part(of.clone(), segment) })
        }
    }
}

fn object(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut members = Object::with_capacity(call.args.len() / 2);
    for member in call.args.chunks_exact(2) {
        if let [Value::Text(name), value] = member {
            members.insert(name.clone(), value.clone());
        }
    }
    Ok(Value::Object(Arc::new(members)))
}
