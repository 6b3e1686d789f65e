//! JSON Schemas that users write, for inputs and forms.
//!
//! References outside the schema are refused, patterns run in linear time, and every error names
//! the field it is about.

use flux_model::Value;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde::Serialize;

/// Bytes of one schema, as JSON.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Fields of one value that errors are reported about.
pub const ERRORS_MAX: usize = 20;
/// Bytes that a regular expression of a schema may take when compiled.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// A schema that values can be checked against.
#[derive(Debug, Clone)]
pub struct Schema {
    validator: Validator,
}

/// What is wrong with one field of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct FieldError {
    /// The field as a dotted path; empty for the value as a whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Why it is not a schema that can be used.
    pub fn parse(schema: &Value) -> Result<Self, String> {
        if schema.as_object().is_none() {
            return Err(format!("a JSON Schema is an object, not of type {}", schema.type_name()));
        }
        let weight = schema.weight(SCHEMA_BYTES_MAX);
        if weight > SCHEMA_BYTES_MAX {
            return Err(format!("the schema is larger than {SCHEMA_BYTES_MAX} bytes (SCHEMA_BYTES_MAX)"));
        }
        let patterns =
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options =
            jsonschema::options().offline().should_validate_formats(true).with_pattern_options(patterns);
        let validator = options.build(&schema.to_serde()).map_err(|error| error.to_string())?;
        Ok(Self { validator })
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The first thing that is wrong with each field, at most [`ERRORS_MAX`].
    pub fn check(&self, value: &Value) -> Result<(), Vec<FieldError>> {
        let json = value.to_serde();
        let mut errors: Vec<FieldError> = Vec::new();
        for error in self.validator.iter_errors(&json).map(describe) {
            if errors.len() == ERRORS_MAX {
                break;
            }
            if !errors.iter().any(|earlier| earlier.field == error.field) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn describe(error: ValidationError<'_>) -> FieldError {
    let path: String = error.instance_path().to_string();
    let field = path.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
    if let ValidationErrorKind::Required { property } = error.kind() {
        let name = property.as_str().unwrap_or_default();
        let place = if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        return FieldError::new(place, "is required");
    }
    FieldError::new(field, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::from_json(json.as_bytes()).unwrap()
    }

    fn check(schema: &str, input: &str, expected: &[&str]) {
        let found = Schema::parse(&value(schema)).unwrap().check(&value(input)).err().unwrap_or_default();
        let fields: Vec<&str> = found.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, expected, "{schema} {input}: {found:?}");
    }

    #[test]
    fn errors_name_their_fields() {
        let schema = r##"{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/n"},
            "b":{"type":"array","items":{"type":"object","required":["c"]}},
            "mail":{"type":"string","format":"email"}},"$defs":{"n":{"type":"integer","minimum":1}}}"##;
        check(schema, r#"{"a":1}"#, &[]);
        check(schema, "{}", &["a"]);
        check(schema, "[]", &[""]);
        check(schema, r#"{"a":0,"b":[{"c":1},{}],"mail":"x"}"#, &["a", "b.1.c", "mail"]);
    }

    #[test]
    fn unusable_schemas_are_refused() {
        for schema in [
            r#""string""#,
            r#"{"type":"strin"}"#,
            r#"{"$ref":"https://example.com/schema.json"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
            r##"{"$ref":"#/$defs/none"}"##,
            r#"{"pattern":"("}"#,
        ] {
            assert!(Schema::parse(&value(schema)).is_err(), "{schema}");
        }
        let large = Value::object([("title", Value::from("x".repeat(SCHEMA_BYTES_MAX)))]);
        assert!(Schema::parse(&large).unwrap_err().contains("SCHEMA_BYTES_MAX"));
    }

    #[test]
    fn many_errors_are_cut_and_patterns_are_linear() {
        let items: Vec<Value> = (0..100).map(|_| Value::from("x")).collect();
        let schema = Schema::parse(&value(r#"{"items":{"type":"number"}}"#)).unwrap();
        assert_eq!(schema.check(&Value::array(items)).unwrap_err().len(), ERRORS_MAX);
        let schema = Schema::parse(&value(r#"{"pattern":"^(a+)+$"}"#)).unwrap();
        assert!(schema.check(&Value::from("a".repeat(50_000) + "!")).is_err());
    }
}
