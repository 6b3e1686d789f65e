//! Texts where a template may have given a number or a boolean.

use std::borrow::Cow;

use flux_model::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// A text; numbers and booleans count as the text they are written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        written(&value).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("invalid type: {}, expected a string", value.type_name()))
        })
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// How a scalar is written; `None` for `null`, arrays and objects.
pub(super) fn written(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_json()),
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Secret(_) => None,
    }
}
