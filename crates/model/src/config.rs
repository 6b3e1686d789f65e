//! Reading typed configs out of values, with errors that name the field.
//!
//! A config struct is the one place that says which fields exist and of which type; serde checks
//! it. What serde finds becomes a [`Diagnostic`] with the dotted path of the field, so that a
//! planner, an adapter and an executor refuse the same config in the same words.

use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostic;
use crate::error::ErrorCode;
use crate::value::Value;

/// Reads `T` out of a config; an absent config (`null`) is an empty object.
///
/// # Errors
/// One diagnostic of code `config_missing`, `config_unknown` or `config_invalid`, about
/// `config.<field>`.
pub fn read<T: DeserializeOwned>(config: &Value) -> Result<T, Diagnostic> {
    let json = if config.is_null() { serde_json::json!({}) } else { config.to_serde() };
    serde_path_to_error::deserialize(json).map_err(|error| {
        let place = error.path().to_string();
        describe(&place, &error.into_inner().to_string())
    })
}

/// A finding about the config field `field`, a dotted path such as `retry.attempts`.
pub fn invalid(field: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(ErrorCode::ConfigInvalid, message).at_field(format!("config.{field}"))
}

/// Turns what serde says about `place` into a finding. The wording of "missing field" and
/// "unknown field" is serde's own, and the only way it tells them apart.
fn describe(place: &str, message: &str) -> Diagnostic {
    let parent = Some(place).filter(|place| *place != "." && !place.is_empty());
    let child = |name: &str| match parent {
        Some(parent) if parent.rsplit('.').next() == Some(name) => format!("config.{parent}"),
        Some(parent) => format!("config.{parent}.{name}"),
        None => format!("config.{name}"),
    };
    if let Some(name) = quoted_after(message, "missing field ") {
        let text = format!("the field `{name}` is missing");
        return Diagnostic::error(ErrorCode::ConfigMissing, text).at_field(child(name));
    }
    if let Some(name) = quoted_after(message, "unknown field ") {
        let text = format!("there is no field `{name}`");
        let known = message.split_once("expected ").map(|(_, known)| format!("expected {known}"));
        return Diagnostic::error(ErrorCode::ConfigUnknown, text).at_field(child(name)).suggest(known);
    }
    let field = parent.map_or_else(|| "config".to_owned(), |parent| format!("config.{parent}"));
    Diagnostic::error(ErrorCode::ConfigInvalid, message).at_field(field)
}

fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split('`').next()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        size: u8,
    }

    fn check(config: &str, code: ErrorCode, field: &str) {
        let found = read::<Outer>(&Value::from_json(config.as_bytes()).unwrap()).unwrap_err();
        assert_eq!((found.code, found.field.as_deref()), (code, Some(field)), "{config}: {found}");
    }

    #[test]
    fn every_error_names_its_field() {
        check("null", ErrorCode::ConfigMissing, "config.name");
        check(r#"{"name":1}"#, ErrorCode::ConfigInvalid, "config.name");
        check(r#"{"name":"a","nme":1}"#, ErrorCode::ConfigUnknown, "config.nme");
        check(r#"{"name":"a","inner":[{}]}"#, ErrorCode::ConfigMissing, "config.inner[0].size");
        check(r#"{"name":"a","inner":[{"size":1,"x":1}]}"#, ErrorCode::ConfigUnknown, "config.inner[0].x");
        check(r#"{"name":"a","inner":[{"size":300}]}"#, ErrorCode::ConfigInvalid, "config.inner[0].size");
        check(r#""text""#, ErrorCode::ConfigInvalid, "config");
    }
}
