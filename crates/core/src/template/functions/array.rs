//! Functions over arrays. Elements are shared with the result, never copied.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use flux_model::value::{Object, Value};

use super::check::{compare, equal};
use super::number::{Num, arithmetic};
use super::{Call, Doc, Function};
use crate::template::error::TemplateError;
use crate::template::meter::{ELEMENT_BYTES, MEMBER_BYTES};
use crate::template::path::{Segment, parse_segments, shorten, step};

pub(super) const TABLE: &[Function] = &[
    Function::new("first", "items", Doc("The first element, or null.", "first([1, 2, 3])", "1"), |call| {
        Ok(call.array(0)?.first().cloned().unwrap_or_default())
    }),
    Function::new("last", "items", Doc("The last element, or null.", "last([1, 2, 3])", "3"), |call| {
        Ok(call.array(0)?.last().cloned().unwrap_or_default())
    }),
    Function::new(
        "map",
        "items, field",
        Doc(
            "What each element has at this field; the field may be a path such as `\"user.name\"`.",
            "map([{\"id\": 1}, {\"id\": 2}], \"id\")",
            "[1,2]",
        ),
        |call| {
            let (items, field) = elements_and_field(call)?;
            Ok(Value::array(items.iter().map(|item| field.of(item)).collect()))
        },
    ),
    Function::new(
        "filter",
        "items, field, value?",
        Doc(
            "The elements whose field is this value or, without one, is true.",
            "filter([{\"id\": 1, \"open\": true}, {\"id\": 2}], \"open\")",
            "[{\"id\":1,\"open\":true}]",
        ),
        |call| Ok(Value::array(matching(call, usize::MAX)?)),
    ),
    Function::new(
        "find",
        "items, field, value?",
        Doc(
            "The first element whose field is this value or is true, or null.",
            "find([{\"id\": 1}, {\"id\": 2}], \"id\", 2)",
            "{\"id\":2}",
        ),
        |call| Ok(matching(call, 1)?.pop().unwrap_or_default()),
    ),
    Function::new(
        "sort",
        "items, field?, descending?",
        Doc("In rising order of the elements or of a field; nulls come first.", "sort([3, 1, 2])", "[1,2,3]"),
        sort,
    ),
    Function::new("reverse", "items", Doc("In the opposite order.", "reverse([1, 2])", "[2,1]"), |call| {
        Ok(Value::array(call.elements(0)?.iter().rev().cloned().collect()))
    }),
    Function::new(
        "unique",
        "items, field?",
        Doc(
            "Without elements that are the same, or whose field is the same, as an earlier one.",
            "unique([1, 2, 1])",
            "[1,2]",
        ),
        unique,
    ),
    Function::new(
        "flatten",
        "items",
        Doc("Arrays within the array laid out, one level.", "flatten([1, [2, 3]])", "[1,2,3]"),
        flatten,
    ),
    Function::new(
        "compact",
        "items",
        Doc("Without null, false, 0 and empty elements.", "compact([1, null, \"\"])", "[1]"),
        |call| Ok(Value::array(call.elements(0)?.iter().filter(|item| item.is_true()).cloned().collect())),
    ),
    Function::new(
        "chunk",
        "items, size",
        Doc("In arrays of at most so many elements.", "chunk([1, 2, 3], 2)", "[[1,2],[3]]"),
        |call| {
            let size = call.count(1)?.max(1);
            Ok(Value::array(call.elements(0)?.chunks(size).map(|part| Value::array(part.to_vec())).collect()))
        },
    ),
    Function::new(
        "sum",
        "items, field?",
        Doc("The sum of the elements, or of a field; nulls count nothing.", "sum([1, 2, 3.5])", "6.5"),
        sum,
    ),
    Function::new(
        "group_by",
        "items, field",
        Doc(
            "An object from each value of the field to the elements that have it.",
            "group_by([{\"k\": \"a\"}, {\"k\": \"b\"}], \"k\")",
            "{\"a\":[{\"k\":\"a\"}],\"b\":[{\"k\":\"b\"}]}",
        ),
        group_by,
    ),
];

/// A field of elements, given as text such as `user.name`; without one, the element itself.
struct Field {
    segments: Vec<Segment>,
}

impl Field {
    fn read(call: &Call<'_>, index: usize) -> Result<Self, TemplateError> {
        if !call.has(index) {
            return Ok(Self { segments: Vec::new() });
        }
        let text = call.text(index)?;
        let segments =
            parse_segments(&text).ok_or_else(|| call.wrong_type(index, "a field such as \"user.name\""))?;
        Ok(Self { segments })
    }

    fn of(&self, item: &Value) -> Value {
        self.part(item).cloned().unwrap_or_default()
    }

    fn part<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        self.segments.iter().try_fold(item, step)
    }
}

/// The elements that a function goes through, and the field that it looks at in each. Every step of
/// a field is a step of the budget.
fn elements_and_field<'a>(call: &Call<'a>) -> Result<(&'a [Value], Field), TemplateError> {
    let field = Field::read(call, 1)?;
    let items = call.array(0)?;
    call.meter().steps(items.len().saturating_mul(field.segments.len().max(1)))?;
    Ok((items, field))
}

/// The value at a path given as text, for `get`.
pub(super) fn at_path(call: &Call<'_>, of: &Value, index: usize) -> Result<Option<Value>, TemplateError> {
    let field = Field::read(call, index)?;
    call.meter().steps(field.segments.len())?;
    Ok(field.part(of).cloned())
}

/// Arrays one behind the other; what is not an array is one element.
pub(super) fn concat_arrays(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut joined = Vec::new();
    for part in call.args {
        match part {
            Value::Array(items) => {
                call.meter().steps(items.len())?;
                joined.extend_from_slice(items);
            }
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) | Value::Secret(_) => {
                joined.push(part.clone());
            }
        }
    }
    Ok(Value::array(joined))
}

fn matching(call: &Call<'_>, most: usize) -> Result<Vec<Value>, TemplateError> {
    let (items, field) = elements_and_field(call)?;
    let mut found = Vec::new();
    for item in items {
        let part = field.of(item);
        let fits = match call.args.get(2) {
            Some(value) => equal(call, &part, value)?,
            None => part.is_true(),
        };
        if fits {
            found.push(item.clone());
        }
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

fn sort(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (items, field) = elements_and_field(call)?;
    let descending = call.value(2).is_true();
    let mut keyed: Vec<(Value, Value)> = items.iter().map(|item| (field.of(item), item.clone())).collect();
    let text: usize = keyed.iter().filter_map(|(key, _)| key.as_str()).map(str::len).sum();
    // Each element is compared about log2(n) times.
    let rounds = keyed.len().checked_ilog2().unwrap_or(0) as usize + 1;
    call.meter().read(text.saturating_add(ELEMENT_BYTES * keyed.len()).saturating_mul(rounds))?;
    let kinds: BTreeSet<&str> =
        keyed.iter().map(|(key, _)| key.type_name()).filter(|kind| *kind != "null").collect();
    if let Some(kind) = kinds.iter().find(|kind| !["string", "number", "boolean"].contains(kind)) {
        let error = call.error(format!("cannot order elements that are of type {kind}"));
        return Err(error.suggest("name the field to sort by: `sort(items, \"name\")`"));
    }
    if kinds.len() > 1 {
        let kinds: Vec<&str> = kinds.into_iter().collect();
        return Err(call.error(format!("cannot order a mixture of {}", kinds.join(" and "))));
    }
    keyed.sort_by(|(a, _), (b, _)| {
        let order = key_order(a, b);
        if descending { order.reverse() } else { order }
    });
    Ok(Value::array(keyed.into_iter().map(|(_, item)| item).collect()))
}

fn key_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => compare(a, b).unwrap_or_else(|| b.is_null().cmp(&a.is_null())),
    }
}

fn unique(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (items, field) = elements_and_field(call)?;
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for item in items {
        if seen.insert(identity(call, &field.of(item))?) {
            kept.push(item.clone());
        }
    }
    Ok(Value::array(kept))
}

/// A text that two values share exactly if they are the same: JSON with sorted members and with
/// `1.0` written as `1`.
fn identity(call: &Call<'_>, value: &Value) -> Result<String, TemplateError> {
    let mut text = call.builder();
    text.push_json(&sorted(call, value)?)?;
    text.take()
}

fn sorted(call: &Call<'_>, value: &Value) -> Result<Value, TemplateError> {
    call.meter().steps(1)?;
    call.meter().made(MEMBER_BYTES)?;
    Ok(match value {
        Value::Number(number) => match number.as_f64().and_then(super::number::whole) {
            Some(whole) => Value::from(whole),
            None => value.clone(),
        },
        Value::Array(items) => {
            Value::array(items.iter().map(|item| sorted(call, item)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let mut names: Vec<&Arc<str>> = members.keys().collect();
            names.sort_unstable();
            let mut object = Object::with_capacity(members.len());
            for name in names {
                object.insert(name.clone(), sorted(call, &members[name])?);
            }
            Value::Object(Arc::new(object))
        }
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::Secret(_) => value.clone(),
    })
}

fn flatten(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut flat = Vec::new();
    for item in call.elements(0)? {
        match item.as_array() {
            Some(inner) => {
                call.meter().steps(inner.len())?;
                call.meter().made(ELEMENT_BYTES * inner.len())?;
                flat.extend_from_slice(inner);
            }
            None => flat.push(item.clone()),
        }
    }
    Ok(Value::array(flat))
}

fn sum(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (items, field) = elements_and_field(call)?;
    let mut total = Value::from(0_i64);
    for item in items {
        let part = field.of(item);
        if part.is_null() {
            continue;
        }
        let (Some(a), Some(b)) = (Num::read(&total), Num::read(&part)) else {
            let error = call.error(format!("cannot add {}", shorten(&part.to_json())));
            return Err(error.suggest("turn texts into numbers with `number(text)`"));
        };
        total = arithmetic("+", a, b).map_err(|why| call.error(why))?;
    }
    Ok(total)
}

fn group_by(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (items, field) = elements_and_field(call)?;
    let mut groups: indexmap::IndexMap<String, Vec<Value>> = indexmap::IndexMap::new();
    for item in items {
        let mut name = call.builder();
        name.push_value(&field.of(item))?;
        call.meter().made(MEMBER_BYTES)?;
        groups.entry(name.take()?).or_default().push(item.clone());
    }
    Ok(Value::object(groups.into_iter().map(|(name, items)| (name, Value::array(items)))))
}
