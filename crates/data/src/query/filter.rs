//! Conditions on rows: `where` of a query object, and row conditions of a policy file.

use std::sync::Arc;

use flux_model::Value;
use flux_model::value::Object;

use super::reader::{mistyped, object, unknown};
use crate::DataError;
use crate::limits::{FILTER_DEPTH_MAX, LIST_MAX};
use crate::place::Place;

/// A condition on the columns of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them hold.
    All(Vec<Self>),
    /// At least one of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A test of one column.
    Test(Test),
}

/// A test of one column against a value. Against null every test but `isNull` fails, as in SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The column.
    pub column: Arc<str>,
    /// How to compare.
    pub op: Op,
    /// With what: a list for `in` and `nin`, two values for `between`, a boolean for `isNull`.
    pub value: Value,
}

/// The operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// One of a list.
    In,
    /// None of a list.
    Nin,
    /// Matches a pattern: `%` any text, `_` any letter, `\` takes the next literally.
    Like,
    /// The same without regard to case (of ASCII letters on SQLite).
    Ilike,
    /// Is null, or is not.
    IsNull,
    /// From the first to the second value, both included.
    Between,
    /// A text holds this text; a JSON array or an array column holds this element.
    Contains,
}

impl Op {
    /// Every operator.
    pub const ALL: [Self; 13] = [
        Self::Eq,
        Self::Neq,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::In,
        Self::Nin,
        Self::Like,
        Self::Ilike,
        Self::IsNull,
        Self::Between,
        Self::Contains,
    ];

    /// The name in query objects.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::In => "in",
            Self::Nin => "nin",
            Self::Like => "like",
            Self::Ilike => "ilike",
            Self::IsNull => "isNull",
            Self::Between => "between",
            Self::Contains => "contains",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }
}

/// Reads a condition; an object without members is none.
pub(crate) fn filter(value: &Value, place: &Place<'_>) -> Result<Option<Filter>, DataError> {
    conditions(value, place, FILTER_DEPTH_MAX)
}

fn conditions(value: &Value, place: &Place<'_>, depth: u32) -> Result<Option<Filter>, DataError> {
    if depth == 0 {
        let max = FILTER_DEPTH_MAX as usize;
        return Err(DataError::limit(place, "FILTER_DEPTH_MAX", max + 1, max));
    }
    let mut all = Vec::new();
    for (name, value) in object(value, place)? {
        let place = place.member(name);
        match &**name {
            "and" => all.push(Filter::All(branches(value, &place, depth)?)),
            "or" => all.push(Filter::Any(branches(value, &place, depth)?)),
            "not" => match conditions(value, &place, depth - 1)? {
                Some(inner) => all.push(Filter::Not(Box::new(inner))),
                None => return Err(DataError::query(place, "an empty condition cannot be negated")),
            },
            _ => tests(name, value, &place, &mut all)?,
        }
    }
    Ok(if all.len() > 1 { Some(Filter::All(all)) } else { all.pop() })
}

fn branches(value: &Value, place: &Place<'_>, depth: u32) -> Result<Vec<Filter>, DataError> {
    let items = value.as_array().ok_or_else(|| mistyped(place, "a list of conditions", value))?;
    if items.is_empty() {
        return Err(DataError::query(place, "needs at least one condition"));
    }
    let mut filters = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = place.element(index);
        let filter = conditions(item, &place, depth - 1)?;
        filters.push(filter.ok_or_else(|| DataError::query(place, "is an empty condition"))?);
    }
    Ok(filters)
}

fn tests(
    column: &Arc<str>,
    value: &Value,
    place: &Place<'_>,
    into: &mut Vec<Filter>,
) -> Result<(), DataError> {
    let test = |op, value: &Value| equality(column, op, value);
    match value {
        Value::Object(members) => from_operators(column, members, place, into),
        Value::Array(_) => {
            let message = format!("a list is not one value; write {{\"{column}\": {{\"in\": […]}}}}");
            Err(DataError::query(place, message))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) => {
            into.push(test(Op::Eq, value));
            Ok(())
        }
    }
}

fn from_operators(
    column: &Arc<str>,
    members: &Object,
    place: &Place<'_>,
    into: &mut Vec<Filter>,
) -> Result<(), DataError> {
    if members.is_empty() {
        return Err(DataError::query(place, "names no operator; write {\"eq\": value}"));
    }
    for (name, value) in members {
        let place = place.member(name);
        let op = Op::parse(name)
            .ok_or_else(|| unknown(&place, "operator", name, Op::ALL.iter().map(|op| op.as_str())))?;
        check_operand(op, value, &place)?;
        into.push(equality(column, op, value));
    }
    Ok(())
}

/// A test; equality with null is what people mean by `isNull`.
fn equality(column: &Arc<str>, op: Op, value: &Value) -> Filter {
    let column = Arc::clone(column);
    match (op, value) {
        (Op::Eq, Value::Null) => Filter::Test(Test { column, op: Op::IsNull, value: Value::Bool(true) }),
        (Op::Neq, Value::Null) => Filter::Test(Test { column, op: Op::IsNull, value: Value::Bool(false) }),
        _ => Filter::Test(Test { column, op, value: value.clone() }),
    }
}

fn check_operand(op: Op, value: &Value, place: &Place<'_>) -> Result<(), DataError> {
    match op {
        Op::Eq | Op::Neq => Ok(()),
        Op::In | Op::Nin => {
            let items = value.as_array().ok_or_else(|| mistyped(place, "a list", value))?;
            if items.len() > LIST_MAX {
                return Err(DataError::limit(place, "LIST_MAX", items.len(), LIST_MAX));
            }
            match items.iter().position(Value::is_null) {
                Some(index) => {
                    Err(DataError::query(place.element(index), "null is in no list; use isNull beside it"))
                }
                None => Ok(()),
            }
        }
        Op::Between => match value.as_array() {
            Some([low, high]) if !low.is_null() && !high.is_null() => Ok(()),
            Some(_) | None => Err(mistyped(place, "a list of two values", value)),
        },
        Op::IsNull if value.as_bool().is_none() => Err(mistyped(place, "true or false", value)),
        Op::Like | Op::Ilike if value.as_str().is_none() => Err(mistyped(place, "a text", value)),
        Op::Gt | Op::Gte | Op::Lt | Op::Lte | Op::Contains if value.is_null() => {
            Err(DataError::query(place, "null is neither greater, less nor contained; use isNull"))
        }
        Op::IsNull | Op::Like | Op::Ilike | Op::Gt | Op::Gte | Op::Lt | Op::Lte | Op::Contains => Ok(()),
    }
}
