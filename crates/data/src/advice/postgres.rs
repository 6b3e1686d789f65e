//! Plans of PostgreSQL, and proofs: a hypothetical index where HypoPG is installed, else a real one on a
//! sample of the rows, in a schema of its own that is rolled back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use flux_model::Value;

use super::{Explained, PlanCost, Proof, ProofMethod, Trial};
use crate::DataError;
use crate::compile::Statement;
use crate::engine::postgres::{Postgres, Session, failed};
use crate::limits::SAMPLE_ROWS_MAX;
use crate::schema::{Schema, quoted};

/// The schema of a proof. It never outlives its transaction.
const SCRATCH: &str = "_flux_scratch";

/// What PostgreSQL would do.
pub(super) async fn explain(database: &Postgres, statement: &Statement) -> Result<Explained, DataError> {
    let session = database.session(Instant::now() + database.bounds().query_time_max).await?;
    Ok(explain_on(&session, statement).await?.0)
}

/// The indexes that no query has used since the statistics began.
pub(super) async fn never_used(database: &Postgres) -> Result<BTreeSet<String>, DataError> {
    let session = database.session(Instant::now() + database.bounds().query_time_max).await?;
    let sql = "SELECT indexrelname::text FROM pg_stat_user_indexes WHERE schemaname = current_schema() AND idx_scan = 0";
    let rows =
        session.client.query(sql, &[]).await.map_err(|error| failed("pg_stat_user_indexes", &error))?;
    let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>();
    names.map_err(|error| failed("pg_stat_user_indexes", &error))
}

/// Plans a query without and with an index. None where PostgreSQL would not use it.
pub(super) async fn prove(
    database: &Postgres,
    schema: &Schema,
    trial: &Trial,
) -> Result<Option<Proof>, DataError> {
    // Out of the pool: whatever happens, what is done here ends with its connection.
    let session = database.session(Instant::now() + database.bounds().query_time_max).await?;
    let session = deadpool::managed::Object::take(session);
    let run =
        async |sql: &str| session.client.batch_execute(sql).await.map_err(|error| failed("proof", &error));
    run("BEGIN").await?;
    let hypo = session.client.query_opt("SELECT 1 FROM pg_extension WHERE extname = 'hypopg'", &[]).await;
    let has_hypo = hypo.map_err(|error| failed("pg_extension", &error))?.is_some();
    let (method, statement) = if has_hypo {
        (ProofMethod::HypoPg, trial.statement.clone())
    } else {
        run(&copies(schema, trial)).await?;
        (ProofMethod::Scratch, moved(schema, trial))
    };
    let (before, cost_before) = explain_on(&session, &statement).await?;
    let name = if has_hypo {
        let sql = "SELECT indexname::text FROM hypopg_create_index($1)";
        let made = session.client.query_one(sql, &[&trial.candidate.sql(schema)]).await;
        made.and_then(|row| row.try_get::<_, String>(0)).map_err(|error| failed("hypopg", &error))?
    } else {
        run(&trial.candidate.sql_on(&scratch(&trial.candidate.table))).await?;
        trial.candidate.name()
    };
    let (after, cost_after) = explain_on(&session, &statement).await?;
    run("ROLLBACK").await?;
    if !after.indexes.contains(&name) {
        return Ok(None);
    }
    let cost = |plan: Explained, cost: f64| PlanCost { plan: plan.text, cost };
    let (before, after) = (cost(before, cost_before), cost(after, cost_after));
    Ok(Some(Proof { method, shape: trial.shape, before, after }))
}

/// Statements that copy a sample of the tables of a query into the scratch schema.
fn copies(schema: &Schema, trial: &Trial) -> String {
    let mut sql = format!("CREATE SCHEMA {SCRATCH};");
    let names: BTreeSet<&Arc<str>> = trial.tables.iter().collect();
    for table in names.into_iter().filter_map(|name| schema.table(name)) {
        let copy = scratch(&table.name);
        let stored = |column: &&crate::schema::Column| !column.generated || column.numbered;
        let columns: Vec<&str> = table.columns.iter().filter(stored).map(|column| &*column.sql).collect();
        let columns = columns.join(", ");
        sql.push_str(&format!(
            "CREATE TABLE {copy} (LIKE {real} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING INDEXES);
             INSERT INTO {copy} ({columns}) SELECT {columns} FROM {real} LIMIT {SAMPLE_ROWS_MAX};
             ANALYZE {copy};",
            real = table.sql
        ));
    }
    sql
}

/// The statement about the copies. Names of tables occur in it only as the compiler wrote them.
fn moved(schema: &Schema, trial: &Trial) -> Statement {
    let mut statement = trial.statement.clone();
    for table in schema.tables() {
        let (real, copy) = (format!(" {} ", table.sql), format!(" {} ", scratch(&table.name)));
        statement.sql = statement.sql.replace(&real, &copy);
    }
    statement
}

fn scratch(table: &str) -> String {
    format!("{SCRATCH}.{}", quoted(table))
}

async fn explain_on(session: &Session, statement: &Statement) -> Result<(Explained, f64), DataError> {
    let sql = format!("EXPLAIN (FORMAT JSON) {}", statement.sql);
    let text = session.text_of(&sql, &statement.parameters).await?;
    let plan = Value::from_json(text.as_bytes()).map_err(DataError::database)?;
    let root = plan.at(0).and_then(|plan| plan.get("Plan")).cloned().unwrap_or_default();
    let mut explained = Explained { text: String::new(), indexes: Vec::new(), whole: Vec::new() };
    walk(&root, 0, &mut explained);
    let cost = root.get("Total Cost").and_then(Value::as_f64).unwrap_or(0.0);
    Ok((explained, cost))
}

/// The nodes of a plan as lines.
fn walk(node: &Value, depth: usize, into: &mut Explained) {
    let text = |name: &str| node.get(name).and_then(Value::as_str);
    let kind = text("Node Type").unwrap_or_default();
    let mut line = format!("{}{kind}", "  ".repeat(depth));
    for (word, name) in [(" using ", "Index Name"), (" on ", "Relation Name")] {
        if let Some(name) = text(name) {
            line.push_str(word);
            line.push_str(name);
        }
    }
    if let Some(cost) = node.get("Total Cost") {
        line.push_str(&format!(" (cost {cost})"));
    }
    into.indexes.extend(text("Index Name").map(str::to_owned));
    if let Some(table) = text("Relation Name").filter(|_| kind == "Seq Scan" || kind == "Parallel Seq Scan") {
        into.whole.push((table.to_owned(), line.trim().to_owned()));
    }
    if !into.text.is_empty() {
        into.text.push('\n');
    }
    into.text.push_str(&line);
    for inner in node.get("Plans").and_then(Value::as_array).unwrap_or_default() {
        walk(inner, depth + 1, into);
    }
}
