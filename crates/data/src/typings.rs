//! TypeScript declarations of a schema, for `flux.d.ts`: `ctx.db.query` knows tables, columns, values and
//! includes.

use std::fmt::Write as _;

use crate::schema::{Column, RelationDirection, Schema, Table, TableKind, relations};

/// What does not depend on the schema.
const QUERY: &str = include_str!("typings.d.ts");

/// The declarations: an interface per table, `Tables`, and the types of query objects.
pub fn typings(schema: &Schema) -> String {
    let mut text = String::new();
    text.push_str(
        "/** The tables of this project's database. Written by Flux from the schema; do not edit. */\n",
    );
    text.push_str("export interface Tables {\n");
    for table in schema.tables() {
        declare(schema, table, &mut text);
    }
    text.push_str("}\n\n");
    text.push_str(QUERY);
    text
}

fn declare(schema: &Schema, table: &Table, text: &mut String) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}: {{", key(&table.name));
    let _ = writeln!(text, "    row: {{ {} }};", members(table, &|column| Some((column.nullable, false))));
    let insert = |column: &Column| (!column.generated).then(|| (column.nullable, may_be_left_out(column)));
    let is_key = |column: &Column| table.key().any(|key| key.name == column.name);
    let update = |column: &Column| (!column.generated && !is_key(column)).then_some((column.nullable, true));
    match table.kind {
        TableKind::Table => {
            let _ = writeln!(text, "    insert: {{ {} }};", members(table, &insert));
            let _ = writeln!(text, "    update: {{ {} }};", members(table, &update));
        }
        TableKind::View => text.push_str("    insert: never;\n    update: never;\n"),
    }
    let _ = writeln!(text, "    include: {{ {} }};", includes(schema, table));
    text.push_str("  };\n");
}

/// A column that needs no value: it may be null, has a default, or is numbered.
fn may_be_left_out(column: &Column) -> bool {
    column.nullable || column.numbered || column.default.is_some()
}

/// `name: type` of each column for which `form` says whether it is nullable and whether it is optional.
fn members(table: &Table, form: &dyn Fn(&Column) -> Option<(bool, bool)>) -> String {
    let member = |column: &Column| {
        let (nullable, optional) = form(column)?;
        let (mark, null) = (if optional { "?" } else { "" }, if nullable { " | null" } else { "" });
        Some(format!("{}{mark}: {}{null}", key(&column.name), column.kind.typescript()))
    };
    table.columns.iter().filter_map(member).collect::<Vec<_>>().join("; ")
}

/// The names that an include can have without saying `table` or `via`: those that mean one way only.
fn includes(schema: &Schema, table: &Table) -> String {
    let ways: Vec<_> = relations(schema, table).collect();
    let mut names: Vec<(String, String)> = Vec::new();
    for way in &ways {
        let stem = way.key.columns.first().map(|name| name.trim_end_matches("_id").trim_end_matches("Id"));
        let by_column =
            stem.filter(|_| way.direction == RelationDirection::ToOne && way.key.columns.len() == 1);
        for name in [Some(&*way.table.name), by_column].into_iter().flatten() {
            let is_taken = table.column(name).is_some() || names.iter().any(|(known, _)| known == name);
            let is_clear = ways.iter().filter(|other| other.answers_to(name)).count() == 1
                || ways.iter().filter(|other| other.goes_along(name)).count() == 1 && way.goes_along(name);
            if is_taken || !is_clear {
                continue;
            }
            let kind = match way.direction {
                RelationDirection::ToOne => "one",
                RelationDirection::ToMany => "many",
            };
            names.push((name.to_owned(), format!("{{ {kind}: {} }}", text_literal(&way.table.name))));
        }
    }
    names.into_iter().map(|(name, way)| format!("{}: {way}", key(&name))).collect::<Vec<_>>().join("; ")
}

/// A name as the key of a type: quoted unless it is a plain identifier.
fn key(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_plain && !name.is_empty() { name.to_owned() } else { text_literal(name) }
}

fn text_literal(text: &str) -> String {
    // JSON strings are TypeScript strings.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::{shop, table};

    #[test]
    fn tables_are_declared_with_their_columns_and_includes() {
        let text = typings(&shop());
        for line in [
            "  orders: {",
            "    row: { id: number; tenant: string; customer_id: number; billed_to: number | null; total: number; note: string | null };",
            "    insert: { id: number; tenant: string; customer_id: number; billed_to?: number | null; total: number; note?: string | null };",
            "    update: { tenant?: string; customer_id?: number; billed_to?: number | null; total?: number; note?: string | null };",
            "    include: { customer: { one: \"customers\" }; items: { many: \"items\" } };",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn odd_names_are_quoted() {
        let schema = Schema::new(vec![table("a-b", &["id INTEGER", "x\"y TEXT"], &[])]);
        let text = typings(&schema);
        assert!(text.contains("\"a-b\": {\n    row: { id: number; \"x\\\"y\": string };"), "{text}");
    }
}
