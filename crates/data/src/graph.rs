//! The schema as a graph for people and tools: tables, columns, keys, row estimates, and what advice
//! suggests. The answer of `GET /schema/graph`.

use flux_model::Value;

use crate::DataError;
use crate::advice::{Advice, IndexSuggestion};
use crate::engine::Database;
use crate::schema::{Column, ForeignKey, Index, Schema, Table, TableKind};

impl Database {
    /// The schema as a graph, with the suggestions of `advice` at their tables:
    /// `{tables: [{name, kind, rows, columns, key, indexes, references, suggestions}]}`.
    ///
    /// # Errors
    /// If the schema cannot be read. It is read anew, because its row estimates grow old.
    pub async fn graph(&self, advice: Option<&Advice>) -> Result<Value, DataError> {
        Ok(graph(&*self.read_schema().await?, advice))
    }
}

pub(crate) fn graph(schema: &Schema, advice: Option<&Advice>) -> Value {
    let tables = schema.tables().iter().map(|table| node(table, advice)).collect();
    Value::object([("tables", Value::array(tables))])
}

fn node(table: &Table, advice: Option<&Advice>) -> Value {
    let list = |items: Vec<Value>| Value::array(items);
    let suggestions = advice.into_iter().flat_map(|advice| &advice.indexes);
    let suggestions = suggestions.filter(|suggestion| suggestion.table == table.name);
    Value::object([
        ("name", Value::text(&table.name)),
        ("kind", Value::from(if table.kind == TableKind::View { "view" } else { "table" })),
        ("rows", table.row_estimate.map_or(Value::Null, Value::from)),
        ("columns", list(table.columns.iter().map(column).collect())),
        ("key", list(table.key().map(|column| Value::text(&column.name)).collect())),
        ("indexes", list(table.indexes.iter().map(index).collect())),
        ("references", list(table.foreign_keys.iter().map(reference).collect())),
        ("suggestions", list(suggestions.map(suggestion).collect())),
    ])
}

fn column(column: &Column) -> Value {
    Value::object([
        ("name", Value::text(&column.name)),
        ("type", Value::text(&column.declared)),
        ("nullable", Value::Bool(column.nullable)),
        ("default", column.default.as_deref().map_or(Value::Null, Value::from)),
        ("generated", Value::Bool(column.generated || column.numbered)),
    ])
}

fn index(index: &Index) -> Value {
    Value::object([
        ("name", Value::text(&index.name)),
        ("columns", names(&index.columns)),
        ("unique", Value::Bool(index.unique)),
        ("partial", Value::Bool(index.partial)),
    ])
}

fn reference(key: &ForeignKey) -> Value {
    Value::object([
        ("columns", names(&key.columns)),
        ("table", Value::text(&key.table)),
        ("references", names(&key.references)),
    ])
}

fn suggestion(suggestion: &IndexSuggestion) -> Value {
    Value::object([
        ("sql", Value::text(&suggestion.sql)),
        ("columns", names(&suggestion.columns)),
        ("calls", Value::from(suggestion.calls)),
        (
            "gain",
            suggestion.proof.gain().and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number),
        ),
    ])
}

fn names(names: &[std::sync::Arc<str>]) -> Value {
    Value::array(names.iter().map(Value::text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::shop;

    #[test]
    fn every_table_is_a_node_with_its_edges() {
        let graph = graph(&shop(), None);
        let tables = graph.get("tables").and_then(Value::as_array).unwrap();
        let names: Vec<_> = tables.iter().map(|table| table.get("name").unwrap().to_json()).collect();
        assert_eq!(names, ["\"countries\"", "\"customers\"", "\"items\"", "\"orders\""]);
        let edges = tables[3].get("references").unwrap().to_json();
        assert!(
            edges.starts_with(r#"[{"columns":["customer_id"],"table":"customers","references":["id"]}"#),
            "{edges}"
        );
    }
}
