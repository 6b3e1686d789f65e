//! From the properties of a schema to the fields of a form.

use flux_model::config;
use flux_model::{Diagnostic, Value};

use super::FORM_FIELDS_MAX;

/// A text longer than this gets a box of several lines.
const SINGLE_LINE_CHARS_MAX: i64 = 200;

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) hint: Option<String>,
    pub(super) required: bool,
    pub(super) default: Value,
    pub(super) kind: FieldKind,
}

/// What a field asks for, with the bounds a browser can check.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldKind {
    Line { input_type: &'static str, length_max: Option<i64> },
    Lines { length_max: Option<i64> },
    Choice { values: Vec<Value> },
    Number { integer: bool, min: Option<f64>, max: Option<f64> },
    Tick,
}

/// Reads every property of a schema, in its order.
pub(super) fn read_all(schema: &Value) -> Result<Vec<Field>, Diagnostic> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return Err(config::invalid("schema.properties", "a form needs at least one property"));
    };
    if properties.len() > FORM_FIELDS_MAX {
        let message =
            format!("{} fields are more than {FORM_FIELDS_MAX} (FORM_FIELDS_MAX)", properties.len());
        return Err(config::invalid("schema.properties", message));
    }
    let required = schema.get("required").and_then(Value::as_array).unwrap_or_default();
    let is_required = |name: &str| required.iter().any(|one| one.as_str() == Some(name));
    properties.iter().map(|(name, property)| read(name, property, is_required(name))).collect()
}

fn read(name: &str, property: &Value, required: bool) -> Result<Field, Diagnostic> {
    let text = |member: &str| property.get(member).and_then(Value::as_str).map(str::to_owned);
    let length_max = property.get("maxLength").and_then(Value::as_i64);
    let format = property.get("format").and_then(Value::as_str);
    let choices = property.get("enum").and_then(Value::as_array);
    let kind = match (property.get("type").and_then(Value::as_str), choices) {
        (Some("string" | "number" | "integer"), Some(values)) => {
            FieldKind::Choice { values: values.to_vec() }
        }
        (Some("string"), None) => text_kind(format, length_max),
        (Some(number @ ("number" | "integer")), None) => FieldKind::Number {
            integer: number == "integer",
            min: property.get("minimum").and_then(Value::as_f64),
            max: property.get("maximum").and_then(Value::as_f64),
        },
        (Some("boolean"), None) => FieldKind::Tick,
        (_, _) => {
            let message = "a form field is a `string`, a `number`, an `integer` or a `boolean`";
            return Err(config::invalid(&format!("schema.properties.{name}"), message));
        }
    };
    Ok(Field {
        name: name.to_owned(),
        label: text("title").unwrap_or_else(|| name.to_owned()),
        hint: text("description"),
        required,
        default: property.get("default").cloned().unwrap_or_default(),
        kind,
    })
}

fn text_kind(format: Option<&str>, length_max: Option<i64>) -> FieldKind {
    let input_type = match format {
        Some("textarea") => return FieldKind::Lines { length_max },
        Some("email") => "email",
        Some("date") => "date",
        Some("uri") => "url",
        Some(_) | None if length_max.is_some_and(|max| max > SINGLE_LINE_CHARS_MAX) => {
            return FieldKind::Lines { length_max };
        }
        Some(_) | None => "text",
    };
    FieldKind::Line { input_type, length_max }
}
