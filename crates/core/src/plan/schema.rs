//! Checks a node's config against its type's JSON Schema while its templates are still text.
//!
//! A text that holds a template is accepted wherever a value is expected: what it gives is only
//! known later. The part of JSON Schema understood here is the part that derived schemas use:
//! `$ref` into `$defs`, `type`, `properties`, `required`, `additionalProperties`, `items`, `enum`,
//! `const`, `anyOf`, `oneOf`, `allOf`, `minimum`, `maximum`, `minItems`, `minLength`.
//! (JSON Schema 2020-12, sections 8.2 and 10–12 of Core, 6 of Validation.)

use flux_model::Value;
use flux_model::diagnostic::nearest;
use flux_model::error::ErrorCode;
use serde_json::Value as Schema;

/// Nesting of schemas that is followed; derived schemas stay far below.
const DEPTH_MAX: usize = 64;

/// One thing wrong with a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) code: ErrorCode,
    pub(super) field: String,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

/// Everything in which `value` does not fit `schema`; fields are named below `config`.
pub(super) fn misfits(schema: &Schema, value: &Value) -> Vec<Misfit> {
    let mut check = Check { root: schema, found: Vec::new() };
    // An absent config is the empty object: every field may still be required.
    let empty = Value::object::<&str>([]);
    let value = if value.is_null() { &empty } else { value };
    check.value(schema, value, "config", 0);
    check.found
}

struct Check<'a> {
    root: &'a Schema,
    found: Vec<Misfit>,
}

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Schema, value: &Value, field: &str, depth: usize) {
        if depth > DEPTH_MAX || is_template(value) {
            return;
        }
        let schema = self.resolve(schema);
        for part in schema.get("allOf").and_then(Schema::as_array).into_iter().flatten() {
            self.value(part, value, field, depth + 1);
        }
        let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Schema::as_array);
        if let Some(alternatives) = alternatives {
            self.alternatives(alternatives, value, field, depth);
        }
        if self.type_misfits(schema, value, field) || self.constant_misfits(schema, value, field) {
            return;
        }
        self.bounds(schema, value, field);
        match value {
            Value::Object(_) => self.members(schema, value, field, depth),
            Value::Array(items) => {
                if let Some(element) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(element, item, &format!("{field}[{index}]"), depth + 1);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) => {}
        }
    }

    fn resolve(&self, schema: &'a Schema) -> &'a Schema {
        let mut schema = schema;
        for _ in 0..DEPTH_MAX {
            let Some(name) = schema.get("$ref").and_then(Schema::as_str) else { break };
            let Some(target) = name.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else {
                break;
            };
            schema = target;
        }
        schema
    }

    fn members(&mut self, schema: &'a Schema, value: &Value, field: &str, depth: usize) {
        let Some(members) = value.as_object() else { return };
        let properties = schema.get("properties").and_then(Schema::as_object);
        for name in
            schema.get("required").and_then(Schema::as_array).into_iter().flatten().filter_map(Schema::as_str)
        {
            if !members.contains_key(name) {
                let hint =
                    properties.and_then(|all| all.get(name)).and_then(|one| describe(self.resolve(one)));
                let message = format!("`{name}` is required");
                self.push(ErrorCode::ConfigMissing, format!("{field}.{name}"), message, hint);
            }
        }
        for (name, member) in members.iter() {
            match (properties.and_then(|all| all.get(&**name)), schema.get("additionalProperties")) {
                (Some(property), _) => self.value(property, member, &format!("{field}.{name}"), depth + 1),
                (None, Some(Schema::Bool(false))) => {
                    let known = properties.into_iter().flat_map(|all| all.keys()).map(String::as_str);
                    let near = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
                    let message = format!("there is no field `{name}` here");
                    self.push(ErrorCode::ConfigUnknown, format!("{field}.{name}"), message, near);
                }
                (None, Some(rest)) => self.value(rest, member, &format!("{field}.{name}"), depth + 1),
                (None, None) => {}
            }
        }
    }

    /// One alternative must fit. If none does, the one that comes nearest is explained.
    fn alternatives(&mut self, alternatives: &'a [Schema], value: &Value, field: &str, depth: usize) {
        let mut nearest: Option<Vec<Misfit>> = None;
        let mut choices = Vec::new();
        for alternative in alternatives {
            let mut attempt = Check { root: self.root, found: Vec::new() };
            attempt.value(alternative, value, field, depth + 1);
            if attempt.found.is_empty() {
                return;
            }
            choices.extend(choice(self.resolve(alternative)));
            // A wrong constant or type at the field itself means: this alternative was not meant.
            let meant = attempt.found.iter().all(|misfit| misfit.field != field || names_member(misfit))
                && !self.tagged_otherwise(alternative, value);
            let better = nearest.as_ref().is_none_or(|best| attempt.found.len() < best.len());
            if meant && better {
                nearest = Some(attempt.found);
            }
        }
        match nearest {
            Some(found) => self.found.extend(found),
            None => {
                let message = match choices.as_slice() {
                    [] => format!("{} does not fit here", show(value)),
                    choices => format!("{} is not one of {}", show(value), choices.join(", ")),
                };
                let near = value.as_str().and_then(|text| {
                    nearest_choice(text, &choices).map(|near| format!("did you mean `{near}`?"))
                });
                self.push(ErrorCode::ConfigInvalid, field, message, near);
            }
        }
    }

    /// Whether a member that names the alternative (`kind`, say) names another one.
    fn tagged_otherwise(&self, alternative: &'a Schema, value: &Value) -> bool {
        let properties = self.resolve(alternative).get("properties").and_then(Schema::as_object);
        properties.into_iter().flatten().any(|(name, property)| {
            let constant = self.resolve(property).get("const");
            let given = value.get(name).filter(|given| !is_template(given));
            constant.zip(given).is_some_and(|(constant, given)| *constant != given.to_serde())
        })
    }

    fn type_misfits(&mut self, schema: &Schema, value: &Value, field: &str) -> bool {
        let expected: Vec<&str> = match schema.get("type") {
            Some(Schema::String(one)) => vec![one],
            Some(Schema::Array(several)) => several.iter().filter_map(Schema::as_str).collect(),
            Some(_) | None => return false,
        };
        let given = value.type_name();
        let integer = matches!(value, Value::Number(number) if number.is_i64() || number.is_u64());
        let fits = expected.iter().any(|name| *name == given || (*name == "integer" && integer));
        if !fits {
            let message = format!("{} is a {given}; expected {}", show(value), expected.join(" or "));
            self.push(ErrorCode::ConfigInvalid, field, message, describe(schema));
        }
        !fits
    }

    fn constant_misfits(&mut self, schema: &Schema, value: &Value, field: &str) -> bool {
        let allowed: Vec<&Schema> = match (schema.get("const"), schema.get("enum").and_then(Schema::as_array))
        {
            (Some(constant), _) => vec![constant],
            (None, Some(several)) => several.iter().collect(),
            (None, None) => return false,
        };
        let given = value.to_serde();
        if allowed.contains(&&given) {
            return false;
        }
        let names: Vec<String> = allowed.iter().map(|one| format!("`{}`", plain(one))).collect();
        let near = value.as_str().and_then(|text| nearest_choice(text, &names));
        let message = format!("{} is not one of {}", show(value), names.join(", "));
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        self.push(ErrorCode::ConfigInvalid, field, message, hint);
        true
    }

    fn bounds(&mut self, schema: &Schema, value: &Value, field: &str) {
        let bound = |name: &str| schema.get(name).and_then(Schema::as_f64);
        let size = match value {
            Value::Array(items) => Some(("minItems", items.len())),
            Value::Text(text) => Some(("minLength", text.chars().count())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Secret(_) => None,
        };
        let message = match (value.as_f64(), bound("minimum"), bound("maximum"), size) {
            (Some(number), Some(min), _, _) if number < min => format!("{number} is less than {min}"),
            (Some(number), _, Some(max), _) if number > max => format!("{number} is more than {max}"),
            (_, _, _, Some((name, 0))) if bound(name).is_some_and(|min| min >= 1.0) => {
                "it is empty".to_owned()
            }
            (_, _, _, _) => return,
        };
        self.push(ErrorCode::ConfigInvalid, field, message, describe(schema));
    }

    fn push(
        &mut self,
        code: ErrorCode,
        field: impl Into<String>,
        message: String,
        suggestion: Option<String>,
    ) {
        self.found.push(Misfit { code, field: field.into(), message, suggestion });
    }
}

fn names_member(misfit: &Misfit) -> bool {
    matches!(misfit.code, ErrorCode::ConfigMissing | ErrorCode::ConfigUnknown)
}

fn is_template(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{"))
}

/// How an alternative is named when none fits.
fn choice(schema: &Schema) -> Vec<String> {
    if let Some(constant) = schema.get("const") {
        return vec![format!("`{}`", plain(constant))];
    }
    if let Some(several) = schema.get("enum").and_then(Schema::as_array) {
        return several.iter().map(|one| format!("`{}`", plain(one))).collect();
    }
    match schema.get("type").and_then(Schema::as_str) {
        Some("object") => {
            let properties = schema.get("properties").and_then(Schema::as_object);
            let tag =
                properties.into_iter().flatten().find_map(|(name, one)| Some((name, one.get("const")?)));
            if let Some((name, constant)) = tag {
                return vec![format!("an object with `{name}: {}`", plain(constant))];
            }
            let required = schema.get("required").and_then(Schema::as_array).into_iter().flatten();
            let names: Vec<&str> = required.filter_map(Schema::as_str).collect();
            vec![format!(
                "an object with {}",
                if names.is_empty() { "fields".to_owned() } else { names.join(", ") }
            )]
        }
        Some(name) => vec![format!("a {name}")],
        None => Vec::new(),
    }
}

fn nearest_choice<'a>(text: &str, choices: &'a [String]) -> Option<&'a str> {
    nearest(text, choices.iter().map(|choice| choice.trim_matches('`')))
}

fn describe(schema: &Schema) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned())
}

fn plain(value: &Schema) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn show(value: &Value) -> String {
    const SHOWN_CHARS: usize = 40;
    let json = value.to_json();
    if json.chars().count() <= SHOWN_CHARS {
        return format!("`{json}`");
    }
    format!("`{}…`", json.chars().take(SHOWN_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        json!({
            "type": "object",
            "properties": {
                "method": {"$ref": "#/$defs/Method"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 9},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "auth": {"oneOf": [
                    {"type": "object", "properties": {"kind": {"const": "none"}}, "required": ["kind"]},
                    {"type": "object", "properties": {"kind": {"const": "bearer"}, "token": {"type": "string"}},
                     "required": ["kind", "token"]}
                ]},
                "body": {"anyOf": [{"$ref": "#/$defs/Body"}, {"type": "null"}]}
            },
            "required": ["method"],
            "additionalProperties": false,
            "$defs": {
                "Method": {"oneOf": [{"const": "GET"}, {"const": "POST"}]},
                "Body": {"oneOf": [
                    {"type": "object", "properties": {"json": true}, "required": ["json"], "additionalProperties": false},
                    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": false}
                ]}
            }
        })
    }

    fn check(config: Schema, expect: &[(ErrorCode, &str)]) {
        let found = misfits(&schema(), &Value::from(config.clone()));
        let got: Vec<_> = found.iter().map(|misfit| (misfit.code, misfit.field.as_str())).collect();
        assert_eq!(got, expect, "{config} gave {found:?}");
    }

    #[test]
    fn fitting_configs_pass() {
        check(json!({"method": "GET"}), &[]);
        check(json!({"method": "{{ a.b }}", "limit": "{{ n }}", "tags": ["x"]}), &[]);
        check(json!({"method": "POST", "body": {"text": "{{ t }}"}}), &[]);
        check(json!({"method": "POST", "body": null}), &[]);
    }

    #[test]
    fn misfits_name_the_field() {
        check(Schema::Null, &[(ErrorCode::ConfigMissing, "config.method")]);
        check(json!({"method": "GTE"}), &[(ErrorCode::ConfigInvalid, "config.method")]);
        check(json!({"method": "GET", "limt": 1}), &[(ErrorCode::ConfigUnknown, "config.limt")]);
        check(json!({"method": "GET", "limit": 0}), &[(ErrorCode::ConfigInvalid, "config.limit")]);
        check(json!({"method": "GET", "limit": 1.5}), &[(ErrorCode::ConfigInvalid, "config.limit")]);
        check(json!({"method": "GET", "tags": [1]}), &[(ErrorCode::ConfigInvalid, "config.tags[0]")]);
        check(json!({"method": "GET", "tags": []}), &[(ErrorCode::ConfigInvalid, "config.tags")]);
        check(
            json!({"method": "GET", "body": {"text": 5}}),
            &[(ErrorCode::ConfigInvalid, "config.body.text")],
        );
    }

    #[test]
    fn a_tag_says_which_alternative_is_meant() {
        let with = |auth: Schema| json!({"method": "GET", "auth": auth});
        check(with(json!({"kind": "bearer", "token": "t"})), &[]);
        check(with(json!({"kind": "bearer"})), &[(ErrorCode::ConfigMissing, "config.auth.token")]);
        check(with(json!({"kind": "basic"})), &[(ErrorCode::ConfigInvalid, "config.auth")]);
    }

    #[test]
    fn near_misses_are_suggested() {
        let found = misfits(&schema(), &Value::from(json!({"method": "GTE", "limt": 1})));
        let hints: Vec<_> = found.iter().map(|misfit| misfit.suggestion.as_deref()).collect();
        assert_eq!(hints, [Some("did you mean `GET`?"), Some("did you mean `limit`?")]);
    }
}
