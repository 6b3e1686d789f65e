//! Query strings and submitted forms as values.

use flux_model::Value;
use flux_model::value::Object;
use std::sync::Arc;

/// Fields of one query string or form.
pub(crate) const FIELDS_MAX: usize = 1_000;

/// Reads `a=1&b=2` into an object of texts; a name that occurs several times becomes an array.
///
/// # Errors
/// The limit, when there are more than [`FIELDS_MAX`] fields.
pub(crate) fn parse(text: &[u8]) -> Result<Value, String> {
    let mut members = Object::new();
    for (count, (name, value)) in url::form_urlencoded::parse(text).enumerate() {
        if count == FIELDS_MAX {
            return Err(format!("more than {FIELDS_MAX} fields (FIELDS_MAX)"));
        }
        let value = Value::text(value);
        match members.get_mut(&*name) {
            None => {
                members.insert(Arc::from(&*name), value);
            }
            Some(Value::Array(items)) => Arc::make_mut(items).push(value),
            Some(first) => *first = Value::array(vec![std::mem::take(first), value]),
        }
    }
    Ok(Value::Object(Arc::new(members)))
}
