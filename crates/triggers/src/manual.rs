//! `trigger.manual`: a flow started by API, command line or another flow, with an input that may
//! have to fit a schema.

use flux_model::config;
use flux_model::{Diagnostic, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::schema::{FieldError, Schema};

/// The config of `trigger.manual`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManualConfig {
    /// A JSON Schema that the input must fit. Absent: any input.
    #[serde(default)]
    pub input_schema: Option<Value>,
}

/// A manual trigger whose config is valid.
#[derive(Debug, Clone)]
pub struct Manual {
    schema: Option<Schema>,
}

impl Manual {
    /// Reads the config of a manual trigger.
    ///
    /// # Errors
    /// Everything that is wrong with it, each naming its field.
    pub fn parse(config: &Value) -> Result<Self, Vec<Diagnostic>> {
        let parsed: ManualConfig = config::read(config).map_err(|error| vec![error])?;
        let schema = parsed.input_schema.as_ref().map(Schema::parse).transpose();
        let schema = schema.map_err(|error| vec![config::invalid("input_schema", error)])?;
        Ok(Self { schema })
    }

    /// Checks an input.
    ///
    /// # Errors
    /// What is wrong with it, field by field.
    pub fn check(&self, input: &Value) -> Result<(), Vec<FieldError>> {
        self.schema.as_ref().map_or(Ok(()), |schema| schema.check(input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manual(config: &str) -> Result<Manual, Vec<Diagnostic>> {
        Manual::parse(&Value::from_json(config.as_bytes()).unwrap())
    }

    #[test]
    fn inputs_are_checked_where_there_is_a_schema() {
        assert_eq!(manual("null").unwrap().check(&Value::from("anything")), Ok(()));
        let typed = manual(r#"{"input_schema":{"type":"object","required":["id"]}}"#).unwrap();
        assert_eq!(typed.check(&Value::object([("id", Value::from(1i64))])), Ok(()));
        assert_eq!(typed.check(&Value::object::<&str>([])).unwrap_err()[0].field, "id");
    }

    #[test]
    fn a_wrong_schema_names_its_field() {
        let wrong = manual(r#"{"input_schema":{"type":"objekt"}}"#).unwrap_err();
        assert_eq!(wrong[0].field.as_deref(), Some("config.input_schema"));
    }
}
