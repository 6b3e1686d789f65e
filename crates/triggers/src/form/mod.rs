//! `trigger.form`: a page with a form, drawn from a JSON Schema, whose submission starts a flow.
//!
//! The schema is flat: an object of texts, numbers, choices and tick boxes. The page needs no
//! script and loads nothing; [`content_security_policy`] says so to the browser. This module never
//! serves the page and never admits an execution.

mod field;
mod page;
mod submission;

use flux_model::config;
use flux_model::{Diagnostic, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use self::field::Field;
pub use self::page::content_security_policy;
pub use self::submission::{Encoding, Rejected};
use crate::route::PathPattern;
use crate::schema::Schema;

/// Fields of one form.
pub const FORM_FIELDS_MAX: usize = 100;
/// Bytes of one submission.
pub const SUBMISSION_BYTES_MAX: usize = 1024 * 1024;

/// The config of `trigger.form`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormConfig {
    /// The path below `/forms/`.
    pub path: String,
    /// The heading of the page.
    pub title: String,
    /// What stands above the fields, as plain text.
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON Schema of type object. Each property is a field: a `string` (with `enum` a choice,
    /// with `format` `email`, `date`, `uri` or `textarea`), a `number`, an `integer` or a
    /// `boolean`. `title` is its label, `description` its hint.
    pub schema: Value,
    /// The label of the button. `Submit` where absent.
    #[serde(default)]
    pub submit_label: Option<String>,
    /// What is shown after a submission. `Thank you.` where absent.
    #[serde(default)]
    pub success_message: Option<String>,
}

/// A form whose config is valid.
#[derive(Debug, Clone)]
pub struct Form {
    path: PathPattern,
    title: String,
    description: Option<String>,
    submit_label: String,
    success_message: String,
    fields: Vec<Field>,
    schema: Schema,
}

impl Form {
    /// Reads the config of a form trigger.
    ///
    /// # Errors
    /// Everything that is wrong with it, each naming its field.
    pub fn parse(config: &Value) -> Result<Self, Vec<Diagnostic>> {
        let parsed: FormConfig = config::read(config).map_err(|error| vec![error])?;
        let mut wrong = Vec::new();
        let path = PathPattern::parse(&parsed.path).and_then(|path| match path.is_literal() {
            true => Ok(path),
            false => Err("the path of a form has no parameters".to_owned()),
        });
        let path = path.map_err(|error| wrong.push(config::invalid("path", error)));
        let schema =
            Schema::parse(&parsed.schema).map_err(|error| wrong.push(config::invalid("schema", error)));
        let fields = field::read_all(&parsed.schema).map_err(|error| wrong.push(error));
        let (Ok(path), Ok(schema), Ok(fields)) = (path, schema, fields) else { return Err(wrong) };
        Ok(Self {
            path,
            title: parsed.title,
            description: parsed.description,
            submit_label: parsed.submit_label.unwrap_or_else(|| "Submit".to_owned()),
            success_message: parsed.success_message.unwrap_or_else(|| "Thank you.".to_owned()),
            fields,
            schema,
        })
    }

    /// The path below `/forms/`.
    pub fn path(&self) -> &PathPattern {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn form() -> Form {
        let config = r#"{"path":"contact","title":"Contact <us>","description":"We & you","schema":{
            "type":"object","required":["name","topic","agree"],"properties":{
            "name":{"type":"string","title":"Your \"name\"","minLength":1,"maxLength":40},
            "mail":{"type":"string","format":"email"},
            "day":{"type":"string","format":"date"},
            "text":{"type":"string","format":"textarea","description":"At <length>"},
            "topic":{"type":"string","enum":["sales","<b>support</b>"],"default":"sales"},
            "count":{"type":"integer","minimum":1,"maximum":9},
            "price":{"type":"number"},
            "agree":{"type":"boolean","const":true}}}}"#;
        Form::parse(&Value::from_json(config.as_bytes()).unwrap()).unwrap()
    }

    fn check(config: &str, field: &str) {
        let found = Form::parse(&Value::from_json(config.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(found[0].field.as_deref(), Some(field), "{config}: {found:?}");
    }

    #[test]
    fn wrong_configs_name_the_field() {
        check(r#"{"title":"t","schema":{}}"#, "config.path");
        check(
            r#"{"path":"a/{b}","title":"t","schema":{"properties":{"a":{"type":"string"}}}}"#,
            "config.path",
        );
        check(r#"{"path":"a","title":"t","schema":{"type":"nothing"}}"#, "config.schema");
        check(r#"{"path":"a","title":"t","schema":{"type":"object"}}"#, "config.schema.properties");
        check(
            r#"{"path":"a","title":"t","schema":{"properties":{"b":{"type":"object"}}}}"#,
            "config.schema.properties.b",
        );
        let remote =
            r#"{"path":"a","title":"t","schema":{"properties":{"b":{"$ref":"https://example.com/x"}}}}"#;
        check(remote, "config.schema");
    }
}
