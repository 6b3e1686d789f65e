//! Functions over objects, and between values and their JSON and text forms.

use std::sync::Arc;

use flux_model::limits;
use flux_model::value::{Object, Value};

use super::array::at_path;
use super::{Call, Function, Manner};
use crate::template::error::TemplateError;
use crate::template::meter::{ELEMENT_BYTES, check_output};

pub(super) const TABLE: &[Function] = &[
    entry(
        "get",
        "value, path, fallback?",
        "The part at a path that is computed; the fallback, or null, where there is none.",
        "get({\"a\": {\"b\": 1}}, \"a.b\")",
        "1",
        |call| Ok(at_path(call, call.value(0), 1)?.unwrap_or_else(|| call.value(2).clone())),
    ),
    entry(
        "keys",
        "object",
        "The names of its members.",
        "keys({\"a\": 1, \"b\": 2})",
        "[\"a\",\"b\"]",
        |call| Ok(Value::array(call.object(0)?.keys().map(|name| Value::Text(name.clone())).collect())),
    ),
    entry(
        "values",
        "object",
        "The values of its members.",
        "values({\"a\": 1, \"b\": 2})",
        "[1,2]",
        |call| Ok(Value::array(call.object(0)?.values().cloned().collect())),
    ),
    entry(
        "entries",
        "object",
        "Its members as array of `{key, value}`.",
        "entries({\"a\": 1})",
        "[{\"key\":\"a\",\"value\":1}]",
        entries,
    ),
    entry(
        "from_entries",
        "items",
        "The object of an array of `{key, value}`.",
        "from_entries([{\"key\": \"a\", \"value\": 1}])",
        "{\"a\":1}",
        from_entries,
    ),
    Function {
        manner: Manner::Total,
        ..entry(
            "merge",
            "objects…",
            "One object of the members of all; later ones win. Nulls are left out.",
            "merge({\"a\": 1}, {\"a\": 2, \"b\": 3})",
            "{\"a\":2,\"b\":3}",
            merge,
        )
    },
    entry(
        "pick",
        "object, names…",
        "Only these members; names one by one or as array.",
        "pick({\"a\": 1, \"b\": 2}, \"a\")",
        "{\"a\":1}",
        |call| select(call, |named| named),
    ),
    entry(
        "omit",
        "object, names…",
        "All but these members.",
        "omit({\"a\": 1, \"b\": 2}, \"a\")",
        "{\"b\":2}",
        |call| select(call, |named| !named),
    ),
    Function {
        manner: Manner::Total,
        ..entry(
            "json",
            "value",
            "As JSON text.",
            "json({\"a\": [1, null]})",
            "\"{\\\"a\\\":[1,null]}\"",
            |call| {
                let mut text = call.builder();
                text.push_json(call.value(0))?;
                Ok(text.value())
            },
        )
    },
    entry(
        "parse_json",
        "text",
        "The value that a JSON text holds.",
        "parse_json(\"[1, 2]\")",
        "[1,2]",
        parse_json,
    ),
    Function {
        manner: Manner::Total,
        ..entry(
            "string",
            "value",
            "As text: null is empty, arrays and objects are JSON.",
            "string(12.0)",
            "\"12\"",
            |call| {
                let mut text = call.builder();
                text.push_value(call.value(0))?;
                Ok(text.value())
            },
        )
    },
    Function {
        manner: Manner::Total,
        ..entry(
            "bool",
            "value",
            "Whether the value is true: not null, 0, empty, nor the text `false`, `no`, `off` or `0`.",
            "bool(\"no\")",
            "false",
            |call| {
                let untrue =
                    |text: &str| ["false", "no", "off", "0"].contains(&text.trim().to_lowercase().as_str());
                Ok(Value::Bool(call.value(0).is_true() && !call.value(0).as_str().is_some_and(untrue)))
            },
        )
    },
];

const fn entry(
    name: &'static str,
    parameters: &'static str,
    summary: &'static str,
    example: &'static str,
    result: &'static str,
    body: fn(&Call<'_>) -> Result<Value, TemplateError>,
) -> Function {
    Function { name, parameters, summary, example, result, manner: Manner::Ordinary, body }
}

fn entries(call: &Call<'_>) -> Result<Value, TemplateError> {
    let members = call.object(0)?;
    call.meter().made(4 * ELEMENT_BYTES * members.len())?;
    let (key, value): (Arc<str>, Arc<str>) = (Arc::from("key"), Arc::from("value"));
    let pair = |(name, member): (&Arc<str>, &Value)| {
        let pair = [(key.clone(), Value::Text(name.clone())), (value.clone(), member.clone())];
        Value::Object(Arc::new(Object::from_iter(pair)))
    };
    Ok(Value::array(members.iter().map(pair).collect()))
}

fn from_entries(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut object = Object::new();
    for entry in call.array(0)? {
        let mut name = call.builder();
        name.push_value(entry.get("key").unwrap_or(&Value::Null))?;
        if name.is_empty() {
            return Err(call.error(format!("{} has no `key`", super::shorten(&entry.to_json()))));
        }
        object.insert(Arc::from(name.take()), entry.get("value").cloned().unwrap_or_default());
    }
    Ok(Value::Object(Arc::new(object)))
}

fn merge(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut merged = Object::new();
    for index in (0..call.args.len()).filter(|index| call.has(*index)) {
        for (name, value) in call.object(index)? {
            merged.insert(name.clone(), value.clone());
        }
    }
    Ok(Value::Object(Arc::new(merged)))
}

fn select(call: &Call<'_>, keep: fn(bool) -> bool) -> Result<Value, TemplateError> {
    let mut names = std::collections::BTreeSet::new();
    for index in 1..call.args.len() {
        match call.value(index).as_array() {
            Some(items) => names.extend(items.iter().filter_map(Value::as_str)),
            None => {
                names.insert(call.value(index).as_str().ok_or_else(|| call.wrong_type(index, "a string"))?);
            }
        }
    }
    let members = call.object(0)?.iter().filter(|(name, _)| keep(names.contains(&***name)));
    let members: Object = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Value::Object(Arc::new(members)))
}

fn parse_json(call: &Call<'_>) -> Result<Value, TemplateError> {
    let text = call.text(0)?;
    check_output(text.len())?;
    // Two bytes of JSON may become one element.
    let brackets = text.bytes().filter(|byte| b"[{,".contains(byte)).count();
    call.meter().made(brackets.saturating_mul(ELEMENT_BYTES))?;
    Value::from_json(text.as_bytes()).map_err(|error| {
        call.error(format!("the text is not JSON: {error}"))
            .suggest(format!("it must be JSON of at most {} bytes", limits::TEMPLATE_OUTPUT_BYTES_MAX))
    })
}
