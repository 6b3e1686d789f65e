//! Reads members of a JSON object strictly: each once, of one type, and nothing that is not known.

use std::sync::Arc;

use flux_model::Value;
use flux_model::value::Object;

use crate::DataError;
use crate::nearest::suggestion;
use crate::place::Place;

/// How much of a wrong value an error shows.
const SHOWN_CHARS_MAX: usize = 40;

pub(crate) fn object<'a>(value: &'a Value, place: &Place<'_>) -> Result<&'a Object, DataError> {
    value.as_object().ok_or_else(|| mistyped(place, "an object", value))
}

pub(crate) fn text<'a>(value: &'a Value, place: &Place<'_>) -> Result<&'a Arc<str>, DataError> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Secret(_) => Err(mistyped(place, "a text", value)),
    }
}

/// A list of texts, or one text.
pub(crate) fn texts(value: &Value, place: &Place<'_>) -> Result<Vec<Arc<str>>, DataError> {
    let Some(items) = value.as_array() else { return Ok(vec![Arc::clone(text(value, place)?)]) };
    let mut names: Vec<Arc<str>> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let name = text(item, &place.element(index))?;
        if names.contains(name) {
            return Err(DataError::query(place.element(index), format!("`{}` is there twice", show(item))));
        }
        names.push(Arc::clone(name));
    }
    Ok(names)
}

/// A whole number from 0 to `max`.
pub(crate) fn count(
    value: &Value,
    place: &Place<'_>,
    limit: &'static str,
    max: u64,
) -> Result<u64, DataError> {
    let whole = match value {
        Value::Number(number) => number.as_u64().or_else(|| whole_double(number.as_f64()?)),
        Value::Null
        | Value::Bool(_)
        | Value::Text(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Secret(_) => None,
    };
    match whole {
        None => Err(mistyped(place, "a whole number that is not negative", value)),
        Some(measured) if measured > max => {
            Err(DataError::Limit { place: place.to_string(), limit, measured, max })
        }
        Some(number) => Ok(number),
    }
}

/// JavaScript writes 100 as 100, but other callers write 100.0.
fn whole_double(number: f64) -> Option<u64> {
    // 2^53: every whole double below is exact.
    (number >= 0.0 && number.fract() == 0.0 && number < 9_007_199_254_740_992.0).then_some(number as u64)
}

/// The error for a value of the wrong type.
pub(crate) fn mistyped(place: &Place<'_>, expected: &str, found: &Value) -> DataError {
    let message = format!("expected {expected}, found {} {}", found.type_name(), show(found));
    DataError::query(place, message)
}

/// The error for a name that is not known, with the one that was probably meant.
pub(crate) fn unknown<'a>(
    place: &Place<'_>,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> DataError {
    let shown: String = name.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    DataError::query(place, format!("unknown {what} `{shown}`{}", suggestion(name, known)))
}

/// The beginning of a value, for an error.
fn show(value: &Value) -> String {
    let text = match value {
        Value::Null | Value::Array(_) | Value::Object(_) => return String::new(),
        Value::Text(text) => text.to_string(),
        Value::Bool(_) | Value::Number(_) | Value::Secret(_) => value.to_json(),
    };
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
