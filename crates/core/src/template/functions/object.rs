//! Functions over objects, and between values and their JSON and text forms.

use std::sync::Arc;

use flux_model::limits;
use flux_model::value::{Object, Value};

use super::array::at_path;
use super::{Call, Doc, Function, Manner};
use crate::template::error::TemplateError;
use crate::template::meter::{MEMBER_BYTES, check_output};
use crate::template::path::shorten;

pub(super) const TABLE: &[Function] = &[
    Function::new(
        "get",
        "value, path, fallback?",
        Doc(
            "The part at a path that is computed; the fallback, or null, where there is none.",
            "get({\"a\": {\"b\": 1}}, \"a.b\")",
            "1",
        ),
        |call| Ok(at_path(call, call.value(0), 1)?.unwrap_or_else(|| call.value(2).clone())),
    ),
    Function::new(
        "keys",
        "object",
        Doc("The names of its members.", "keys({\"a\": 1, \"b\": 2})", "[\"a\",\"b\"]"),
        |call| Ok(Value::array(call.members(0)?.keys().map(|name| Value::Text(name.clone())).collect())),
    ),
    Function::new(
        "values",
        "object",
        Doc("The values of its members.", "values({\"a\": 1, \"b\": 2})", "[1,2]"),
        |call| Ok(Value::array(call.members(0)?.values().cloned().collect())),
    ),
    Function::new(
        "entries",
        "object",
        Doc(
            "Its members as array of `{key, value}`.",
            "entries({\"a\": 1})",
            "[{\"key\":\"a\",\"value\":1}]",
        ),
        entries,
    ),
    Function::new(
        "from_entries",
        "items",
        Doc(
            "The object of an array of `{key, value}`.",
            "from_entries([{\"key\": \"a\", \"value\": 1}])",
            "{\"a\":1}",
        ),
        from_entries,
    ),
    Function::new(
        "merge",
        "objects…",
        Doc(
            "One object of the members of all; later ones win. Nulls are left out.",
            "merge({\"a\": 1}, {\"a\": 2, \"b\": 3})",
            "{\"a\":2,\"b\":3}",
        ),
        merge,
    )
    .treating(Manner::Total),
    Function::new(
        "pick",
        "object, names…",
        Doc(
            "Only these members; names one by one or as array.",
            "pick({\"a\": 1, \"b\": 2}, \"a\")",
            "{\"a\":1}",
        ),
        |call| select(call, |named| named),
    ),
    Function::new(
        "omit",
        "object, names…",
        Doc("All but these members.", "omit({\"a\": 1, \"b\": 2}, \"a\")", "{\"b\":2}"),
        |call| select(call, |named| !named),
    ),
    Function::new(
        "json",
        "value",
        Doc("As JSON text.", "json({\"a\": [1, null]})", "\"{\\\"a\\\":[1,null]}\""),
        |call| {
            let mut text = call.builder();
            text.push_json(call.value(0))?;
            Ok(text.value())
        },
    )
    .treating(Manner::Total),
    Function::new(
        "parse_json",
        "text",
        Doc("The value that a JSON text holds.", "parse_json(\"[1, 2]\")", "[1,2]"),
        parse_json,
    ),
    Function::new(
        "string",
        "value",
        Doc("As text: null is empty, arrays and objects are JSON.", "string(12.0)", "\"12\""),
        |call| {
            let mut text = call.builder();
            text.push_value(call.value(0))?;
            Ok(text.value())
        },
    )
    .treating(Manner::Total),
    Function::new(
        "bool",
        "value",
        Doc(
            "Whether the value is true: not null, 0, empty, nor the text `false`, `no`, `off` or `0`.",
            "bool(\"no\")",
            "false",
        ),
        |call| {
            let untrue =
                |text: &str| ["false", "no", "off", "0"].contains(&text.trim().to_lowercase().as_str());
            Ok(Value::Bool(call.value(0).is_true() && !call.value(0).as_str().is_some_and(untrue)))
        },
    )
    .treating(Manner::Total),
];

fn entries(call: &Call<'_>) -> Result<Value, TemplateError> {
    let members = call.members(0)?;
    call.meter().made(4 * MEMBER_BYTES * members.len())?;
    let (key, value): (Arc<str>, Arc<str>) = (Arc::from("key"), Arc::from("value"));
    let pair = |(name, member): (&Arc<str>, &Value)| {
        let pair = [(key.clone(), Value::Text(name.clone())), (value.clone(), member.clone())];
        Value::Object(Arc::new(Object::from_iter(pair)))
    };
    Ok(Value::array(members.iter().map(pair).collect()))
}

fn from_entries(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut object = Object::new();
    for entry in call.elements(0)? {
        let mut name = call.builder();
        name.push_value(entry.get("key").unwrap_or(&Value::Null))?;
        if name.is_empty() {
            return Err(call.error(format!("{} has no `key`", shorten(&entry.to_json()))));
        }
        object.insert(Arc::from(name.take()?), entry.get("value").cloned().unwrap_or_default());
    }
    Ok(Value::Object(Arc::new(object)))
}

fn merge(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut merged = Object::new();
    for index in (0..call.args.len()).filter(|index| call.has(*index)) {
        for (name, value) in call.members(index)? {
            merged.insert(name.clone(), value.clone());
        }
    }
    Ok(Value::Object(Arc::new(merged)))
}

fn select(call: &Call<'_>, keep: fn(bool) -> bool) -> Result<Value, TemplateError> {
    let mut names = std::collections::BTreeSet::new();
    for index in 1..call.args.len() {
        match call.value(index).as_array() {
            Some(_) => names.extend(call.elements(index)?.iter().filter_map(Value::as_str)),
            None => {
                names.insert(call.value(index).as_str().ok_or_else(|| call.wrong_type(index, "a string"))?);
            }
        }
    }
    let members = call.members(0)?.iter().filter(|(name, _)| keep(names.contains(&***name)));
    let members: Object = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Value::Object(Arc::new(members)))
}

fn parse_json(call: &Call<'_>) -> Result<Value, TemplateError> {
    let text = call.text(0)?;
    check_output(text.len())?;
    // Two bytes of JSON may become one value.
    let brackets = text.bytes().filter(|byte| b"[{,".contains(byte)).count();
    call.meter().made(brackets.saturating_mul(MEMBER_BYTES))?;
    Value::from_json(text.as_bytes()).map_err(|error| {
        call.error(format!("the text is not JSON: {error}"))
            .suggest(format!("it must be JSON of at most {} bytes", limits::TEMPLATE_OUTPUT_BYTES_MAX))
    })
}
