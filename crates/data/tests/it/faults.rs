//! The database is slow, busy, gone, and back.

use std::time::{Duration, Instant};

use flux_data::{Context, Database, Options, Source};
use flux_model::ErrorClass;

use crate::server::Server;
use crate::stage::{Kind, Stage, at, on_both, query};

on_both! { slow_queries_are_stopped many_at_once abandoned_queries }

/// A view that takes for ever, as only a migration can make one.
const ENDLESS: &str = "CREATE VIEW endless AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0";

async fn slow_queries_are_stopped(kind: Kind) {
    let options =
        Options { query_time_max: Duration::from_millis(300), connections: 1, ..Options::default() };
    let stage = Stage::empty(kind, options).await;
    stage.migrate(&[("1.sql", ENDLESS), ("2.sql", "CREATE TABLE a (id {id})")]).await.unwrap();
    let began = Instant::now();
    stage.refuse(r#"{"table":"endless"}"#, "took longer than query_time_max").await;
    let context = Context { timeout: Some(Duration::from_millis(50)), ..Context::service(at(0)) };
    let error = stage.database.query(&context, &query(r#"{"table":"endless"}"#).unwrap()).await.unwrap_err();
    assert_eq!(error.code().as_str(), "query_timeout");
    assert!(began.elapsed() < Duration::from_secs(5));
    stage.check(r#"{"table":"a"}"#, "[]").await;
}

async fn many_at_once(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let asked = (0..200).map(|number| {
        let database = stage.database.clone();
        tokio::spawn(async move {
            let id = number % 3 + 1;
            let read = query(&format!(r#"{{"table":"customers","columns":["id"],"where":{{"id":{id}}}}}"#)).unwrap();
            let write = query(&format!(r#"{{"table":"customers","operation":"update","where":{{"id":{id}}},"set":{{"score":{number}}}}}"#)).unwrap();
            let context = Context::service(at(0));
            let rows = database.query(&context, &read).await.unwrap().rows.to_json();
            assert_eq!(rows, format!(r#"[{{"id":{id}}}]"#));
            assert_eq!(database.query(&context, &write).await.unwrap().affected, 1);
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Callers go away in the middle; nothing of theirs reaches the next one.
async fn abandoned_queries(kind: Kind) {
    let stage = Stage::shop(kind, Options { connections: 2, ..Options::default() }).await;
    let context = Context::service(at(0));
    for number in 0..40_u64 {
        let insert =
            query(&format!(r#"{{"table":"places","operation":"insert","values":{{"a":{number},"b":"x"}}}}"#))
                .unwrap();
        let asked = stage.database.query(&context, &insert);
        let patience = Duration::from_micros(number * 50);
        let _ = tokio::time::timeout(patience, asked).await;
    }
    let rows = stage.ask(r#"{"table":"places","operation":"count"}"#).await.unwrap().rows;
    let images = stage.ask(r#"{"table":"places","columns":["a"]}"#).await.unwrap();
    assert_eq!(rows.at(0).unwrap().get("count").unwrap().as_i64().unwrap() as u64, images.affected);
    for row in images.rows.as_array().unwrap() {
        let key = flux_model::Value::object([("a", row.get("a").unwrap().clone()), ("b", "x".into())]);
        assert_eq!(stage.database.history(&context, "places", &key, 9).await.unwrap().len(), 1, "{row}");
    }
}

#[tokio::test]
async fn postgres_gone_and_back() {
    let mut server = Server::start();
    let source = Source::Postgres(server.database());
    let database = Database::open(&source, Options::default()).await.unwrap();
    let migration = flux_data::Migration {
        name: "1.sql".into(),
        sql: "CREATE TABLE a (id INT PRIMARY KEY, n INT)".into(),
    };
    database.migrate(&[migration], flux_data::MigrateMode::Apply, at(0)).await.unwrap();
    let context = Context::service(at(0));
    let insert =
        |id: u32| query(&format!(r#"{{"table":"a","operation":"insert","values":{{"id":{id}}}}}"#)).unwrap();
    let read = query(r#"{"table":"a","operation":"count"}"#).unwrap();
    database.query(&context, &insert(1)).await.unwrap();
    let mut open = database.begin(&context).await.unwrap();
    open.query(&context, &insert(2)).await.unwrap();

    server.kill();
    for query in [&read, &insert(3)] {
        let error = database.query(&context, query).await.unwrap_err();
        assert_eq!(
            (error.code().as_str(), error.class()),
            ("database_unavailable", ErrorClass::Retryable),
            "{error}"
        );
    }
    assert!(open.query(&context, &read).await.is_err());
    assert!(open.commit().await.is_err());

    server.restart();
    let rows = database.query(&context, &read).await.unwrap().rows;
    assert_eq!(rows.to_json(), r#"[{"count":1}]"#, "only what was acknowledged");
    database.query(&context, &insert(3)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("x.db");
    std::fs::write(&damaged, "this is not a database, and long enough to be looked at as one").unwrap();
    for path in [folder.path().join("missing/x.db"), folder.path().to_owned(), damaged] {
        let error = Database::open(&Source::Sqlite(path), Options::default()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.code().as_str(), "database_unavailable", "{error}");
    }
}
