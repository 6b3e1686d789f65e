//! `flux.d.ts`: the types that an editor shows in functions, which import nothing.
//!
//! What functions take and give comes from their schemas, or from their source where they have
//! none. The types of the database are made by whoever knows its schema.

use std::fmt::Write as _;

use flux_model::Value;

use crate::deployment::FunctionInfo;

/// What does not depend on the project.
const FIXED: &str = include_str!("../runtime/flux.d.ts");
/// How deep a schema is followed; below it everything is `unknown`.
const SCHEMA_DEPTH_MAX: usize = 12;

/// What is known of a project.
#[derive(Debug, Clone, Copy, Default)]
pub struct Declared<'a> {
    /// Its functions.
    pub functions: &'a [FunctionInfo],
    /// The names of its flows.
    pub flows: &'a [&'a str],
    /// The types of its database: a module that exports `Db` and `Queries`.
    pub database: Option<&'a str>,
}

/// The text of `flux.d.ts`, to be written beside `flux.json`.
pub fn declarations(declared: Declared<'_>) -> String {
    let mut text = "// Written by Flux; changes are lost.\n\n".to_owned();
    text.push_str(FIXED);
    text.push_str("\ninterface FluxFunctions {\n");
    for function in declared.functions {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}: {};", key(&function.declared.name), callable(function));
    }
    text.push_str("}\n\n");
    let flows: Vec<String> = declared.flows.iter().map(|name| literal(name)).collect();
    let flows = if flows.is_empty() { "string".to_owned() } else { flows.join(" | ") };
    let _ = writeln!(text, "type FluxFlow = {flows};\n");
    match declared.database {
        None => text.push_str(
            "interface FluxDb {\n  query(query: Record<string, unknown>): Promise<any>;\n  \
             transaction<T>(work: (tx: Pick<FluxDb, \"query\"> & { queue: FluxQueue }) => Promise<T>): Promise<T>;\n}\n",
        ),
        Some(types) => {
            text.push_str("declare namespace FluxDatabase {\n");
            for line in types.lines() {
                let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "  {line}") };
            }
            text.push_str(
                "}\n\ntype FluxDb = FluxDatabase.Queries & {\n  \
                 transaction<T>(work: (tx: FluxDatabase.Queries & { queue: FluxQueue }) => Promise<T>): Promise<T>;\n};\n",
            );
        }
    }
    text
}

/// The type by which other functions call it.
fn callable(function: &FunctionInfo) -> String {
    if function.input.is_none() && function.output.is_none() {
        let module = literal(&format!("./{}", function.declared.file));
        return format!("FluxCallable<typeof import({module}).default>");
    }
    let of = |schema: &Option<Value>| {
        schema.as_ref().map_or_else(|| "any".to_owned(), |schema| type_of(schema, 0))
    };
    let mark = if function.input.is_none() { "?" } else { "" };
    format!("(input{mark}: {}) => Promise<{}>", of(&function.input), of(&function.output))
}

/// The TypeScript type of what a JSON Schema (draft 2020-12) allows, as near as types get.
fn type_of(schema: &Value, depth: usize) -> String {
    if depth > SCHEMA_DEPTH_MAX {
        return "unknown".to_owned();
    }
    if let Some(constant) = schema.get("const") {
        return constant.to_json();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return union(values.iter().map(Value::to_json));
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema.get(choice).and_then(Value::as_array) {
            return union(schemas.iter().map(|schema| type_of(schema, depth + 1)));
        }
    }
    match schema.get("type") {
        Some(Value::Text(name)) => named(name, schema, depth),
        Some(Value::Array(names)) => {
            union(names.iter().filter_map(Value::as_str).map(|name| named(name, schema, depth)))
        }
        _ if schema.get("properties").is_some() => named("object", schema, depth),
        _ => "unknown".to_owned(),
    }
}

fn named(name: &str, schema: &Value, depth: usize) -> String {
    match name {
        "string" | "boolean" | "null" => name.to_owned(),
        "number" | "integer" => "number".to_owned(),
        "array" => {
            let items =
                schema.get("items").map_or_else(|| "unknown".to_owned(), |items| type_of(items, depth + 1));
            format!("Array<{items}>")
        }
        "object" => object(schema, depth),
        _ => "unknown".to_owned(),
    }
}

fn object(schema: &Value, depth: usize) -> String {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut members: Vec<String> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mark = if required.contains(&&**name) { "" } else { "?" };
            format!("{}{mark}: {}", key(name), type_of(schema, depth + 1))
        })
        .collect();
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => {}
        Some(rest @ Value::Object(_)) if members.is_empty() => {
            return format!("Record<string, {}>", type_of(rest, depth + 1));
        }
        _ => members.push("[name: string]: unknown".to_owned()),
    }
    if members.is_empty() {
        "Record<string, never>".to_owned()
    } else {
        format!("{{ {} }}", members.join("; "))
    }
}

fn union(types: impl Iterator<Item = String>) -> String {
    let types: Vec<String> = types.collect();
    if types.is_empty() { "never".to_owned() } else { types.join(" | ") }
}

/// A member's name, in quotes where it has to be.
fn key(name: &str) -> String {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '$')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$');
    if is_word { name.to_owned() } else { literal(name) }
}

fn literal(text: &str) -> String {
    Value::text(text).to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, expect: &str) {
        assert_eq!(type_of(&Value::from_json(schema.as_bytes()).unwrap(), 0), expect, "{schema}");
    }

    #[test]
    fn schemas_become_types() {
        check(r#"{"type": "integer"}"#, "number");
        check(r#"{"type": ["string", "null"]}"#, "string | null");
        check(r#"{"enum": ["a", 1, null]}"#, r#""a" | 1 | null"#);
        check(r#"{"type": "array", "items": {"const": true}}"#, "Array<true>");
        check(
            r#"{"type": "object", "properties": {"id": {"type": "number"}, "a-b": {}}, "required": ["id"], "additionalProperties": false}"#,
            r#"{ id: number; "a-b"?: unknown }"#,
        );
        check(r#"{"properties": {"x": {"type": "string"}}}"#, "{ x?: string; [name: string]: unknown }");
        check(r#"{"type": "object", "additionalProperties": {"type": "number"}}"#, "Record<string, number>");
        check(r#"{"anyOf": [{"type": "string"}, {"type": "array"}]}"#, "string | Array<unknown>");
        check("true", "unknown");
    }

    #[test]
    fn deep_schemas_end() {
        let deep = (0..50).fold(r#"{"type": "string"}"#.to_owned(), |inner, _| {
            format!(r#"{{"type": "array", "items": {inner}}}"#)
        });
        let type_text = type_of(&Value::from_json(deep.as_bytes()).unwrap(), 0);
        assert!(type_text.contains("unknown") && type_text.len() < 200, "{type_text}");
    }
}
