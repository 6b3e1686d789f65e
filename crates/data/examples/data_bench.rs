//! Measures the data engine: what a query object costs before the database works, and reading one row by
//! its key on SQLite and on PostgreSQL, there beside the same statement without the engine.
//!
//! `cargo run -p flux-data --example data_bench [postgres-url]`. Without an address only SQLite is measured.

use std::time::{Duration, Instant};

use flux_data::{Claims, Context, Database, MigrateMode, Migration, Options, Policy, Query, Source};
use flux_model::{Timestamp, Value};

const SCHEMA: &str = "CREATE TABLE customers (id BIGINT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, email TEXT);
    CREATE TABLE orders (id BIGINT PRIMARY KEY, tenant TEXT NOT NULL, customer_id BIGINT NOT NULL REFERENCES customers (id), total DOUBLE PRECISION NOT NULL);";
const POLICY: &str = r#"{"tenant":{"column":"tenant","claim":"tenant"}}"#;
const ROWS: i64 = 10_000;
const WARM_UP: usize = 500;
const ROUNDS: usize = 5_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let sqlite = prepared(&Source::Sqlite(folder.path().join("bench.db"))).await?;
    plans(&sqlite).await?;
    let of_sqlite = engine(&sqlite).await?;
    println!("primary-key select, SQLite: p50 {:?}, p99 {:?}", of_sqlite.0, of_sqlite.1);
    if let Some(url) = std::env::args().nth(1) {
        let postgres = prepared(&Source::Postgres(url.clone())).await?;
        let (ours, direct) = beside(&postgres, &url).await?;
        let ratio = ours.0.as_secs_f64() / direct.0.as_secs_f64();
        println!("primary-key select, PostgreSQL: p50 {:?}, p99 {:?}", ours.0, ours.1);
        println!("the same by tokio-postgres: p50 {:?}, p99 {:?}; {ratio:.2} times", direct.0, direct.1);
    }
    Ok(())
}

async fn prepared(source: &Source) -> Result<Database, Box<dyn std::error::Error>> {
    let options = Options { policy: Policy::parse("policies.json", POLICY)?, ..Options::default() };
    let database = Database::open(source, options).await?;
    let at = Timestamp::from_millis(0);
    let migration = Migration { name: "0001.sql".to_owned(), sql: SCHEMA.to_owned() };
    database.migrate(&[migration], MigrateMode::Apply, at).await?;
    let count = query(r#"{"table":"customers","operation":"count"}"#)?;
    let there = database.query(&Context::service(at), &count).await?.rows;
    if there.to_json() == r#"[{"count":0}]"# {
        for block in 0..ROWS / 1_000 {
            let rows = (0..1_000).map(|number| {
                let id = block * 1_000 + number;
                format!(r#"{{"id":{id},"tenant":"a","name":"customer {id}","email":"c{id}@example.com"}}"#)
            });
            let rows = rows.collect::<Vec<_>>().join(",");
            let insert =
                query(&format!(r#"{{"table":"customers","operation":"insert","values":[{rows}]}}"#))?;
            database.query(&Context::service(at), &insert).await?;
        }
    }
    Ok(database)
}

/// Parse, plan and compile of three query objects, without the database.
async fn plans(database: &Database) -> Result<(), Box<dyn std::error::Error>> {
    for (name, json) in [
        ("by key", r#"{"table":"customers","where":{"id":7}}"#),
        (
            "filter, order, limit",
            r#"{"table":"orders","where":{"customer_id":7,"total":{"gt":5}},"order":"-total","limit":10}"#,
        ),
        (
            "include",
            r#"{"table":"customers","where":{"id":{"in":[1,2,3]}},"include":{"orders":{"columns":["id","total"],"limit":5}}}"#,
        ),
    ] {
        let object = Value::from_json(json.as_bytes())?;
        let context = context();
        for _ in 0..WARM_UP {
            database.sql(&context, &Query::parse(&object)?).await?;
        }
        let began = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(Query::parse(&object)?);
        }
        let parse = began.elapsed() / ROUNDS as u32;
        let parsed = Query::parse(&object)?;
        let began = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(database.sql(&context, &parsed).await?);
        }
        let plan = began.elapsed() / ROUNDS as u32;
        println!("{name}: parse {parse:?}, plan and SQL {plan:?}");
    }
    Ok(())
}

async fn engine(database: &Database) -> Result<Percentiles, Box<dyn std::error::Error>> {
    let mut times = Vec::with_capacity(WARM_UP + ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        times.push(read_one(database, round).await?);
    }
    Ok(percentiles(times))
}

/// The engine and the bare client by turns, query by query, so that what else the machine does meets both.
async fn beside(
    database: &Database,
    url: &str,
) -> Result<(Percentiles, Percentiles), Box<dyn std::error::Error>> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let sql = "SELECT id, tenant, name, email FROM customers WHERE tenant = $1 AND id = $2";
    let statement = client.prepare(sql).await?;
    let (mut ours, mut direct) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        ours.push(read_one(database, round).await?);
        let began = Instant::now();
        let rows = client.query(&statement, &[&"a", &id_of(round)]).await?;
        let row = rows.first().ok_or("no row")?;
        let read: (i64, String, String, Option<String>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        std::hint::black_box(read);
        direct.push(began.elapsed());
    }
    Ok((percentiles(ours), percentiles(direct)))
}

async fn read_one(database: &Database, round: usize) -> Result<Duration, Box<dyn std::error::Error>> {
    let filter = Value::object([("id", Value::from(id_of(round)))]);
    let object = Value::object([("table", "customers".into()), ("where", filter)]);
    let context = context();
    let began = Instant::now();
    let answer = database.query(&context, &Query::parse(&object)?).await?;
    assert_eq!(answer.affected, 1);
    Ok(began.elapsed())
}

/// Keys in an order that no cache foresees.
fn id_of(round: usize) -> i64 {
    round as i64 * 7919 % ROWS
}

/// The median and the 99th percentile.
type Percentiles = (Duration, Duration);

fn percentiles(mut times: Vec<Duration>) -> Percentiles {
    let mut times = times.split_off(WARM_UP);
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn context() -> Context {
    let claims = Claims::new(Value::object([("tenant", Value::from("a"))]));
    Context::of(claims, Timestamp::from_millis(0))
}

fn query(json: &str) -> Result<Query, Box<dyn std::error::Error>> {
    Ok(Query::parse(&Value::from_json(json.as_bytes())?)?)
}
