//! Transactions: together or not at all, one outcome, bounded in time.

use std::time::Duration;

use flux_data::{Context, DataError, Options};
use flux_model::ErrorClass;

use crate::stage::{Kind, Stage, at, on_both, query};

on_both! {
    together_or_not_at_all
    a_failed_query_ends_it
    conflicts_are_retryable
    time_is_bounded
    counters_do_not_lose
}

const COUNT: &str = r#"{"table":"places","operation":"count"}"#;

fn insert(a: i64) -> String {
    format!(r#"{{"table":"places","operation":"insert","values":{{"a":{a},"b":"x"}}}}"#)
}

async fn together_or_not_at_all(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let context = Context::service(at(1));
    let mut transaction = stage.database.begin(&context).await.unwrap();
    transaction.query(&context, &query(&insert(1)).unwrap()).await.unwrap();
    let within = transaction.query(&context, &query(COUNT).unwrap()).await.unwrap();
    assert_eq!(within.rows.to_json(), r#"[{"count":1}]"#);
    stage.check(COUNT, r#"[{"count":0}]"#).await;
    // A query that does not fit leaves it open.
    let wrong = transaction.query(&context, &query(r#"{"table":"nope"}"#).unwrap()).await.unwrap_err();
    assert!(matches!(wrong, DataError::Query { .. }), "{wrong}");
    transaction.commit().await.unwrap();
    stage.check(COUNT, r#"[{"count":1}]"#).await;

    let mut dropped = stage.database.begin(&context).await.unwrap();
    dropped.query(&context, &query(&insert(2)).unwrap()).await.unwrap();
    drop(dropped);
    let mut undone = stage.database.begin(&context).await.unwrap();
    undone.query(&context, &query(&insert(3)).unwrap()).await.unwrap();
    undone.rollback().await.unwrap();
    stage.check(COUNT, r#"[{"count":1}]"#).await;
}

async fn a_failed_query_ends_it(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let context = Context::service(at(1));
    let mut transaction = stage.database.begin(&context).await.unwrap();
    transaction.query(&context, &query(&insert(1)).unwrap()).await.unwrap();
    let twice = transaction.query(&context, &query(&insert(1)).unwrap()).await.unwrap_err();
    assert_eq!(twice.code().as_str(), "constraint_violated");
    let over = transaction.query(&context, &query(COUNT).unwrap()).await.unwrap_err();
    assert_eq!(
        over.to_string(),
        "the transaction is over: an earlier query in it failed, it was rolled back"
    );
    assert_eq!(transaction.commit().await.unwrap_err().code().as_str(), "transaction_over");
    stage.check(COUNT, r#"[{"count":0}]"#).await;
}

async fn conflicts_are_retryable(kind: Kind) {
    // SQLite has one transaction at a time: the second begins when the first has ended.
    if kind == Kind::Sqlite {
        return;
    }
    let stage = Stage::filled(kind).await;
    let context = Context::service(at(1));
    let read =
        query(r#"{"table":"orders","operation":"aggregate","aggregate":{"s":{"sum":"total"}}}"#).unwrap();
    let mut one = stage.database.begin(&context).await.unwrap();
    let mut two = stage.database.begin(&context).await.unwrap();
    one.query(&context, &read).await.unwrap();
    two.query(&context, &read).await.unwrap();
    let write = |id: i64| {
        query(&format!(
            r#"{{"table":"orders","operation":"update","where":{{"id":{id}}},"set":{{"total":1}}}}"#
        ))
        .unwrap()
    };
    one.query(&context, &write(10)).await.unwrap();
    one.commit().await.unwrap();
    let second = match two.query(&context, &write(11)).await {
        Ok(_) => two.commit().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!((second.code().as_str(), second.class()), ("transaction_conflict", ErrorClass::Retryable));
}

async fn time_is_bounded(kind: Kind) {
    let options = Options { transaction_time_max: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::shop(kind, options).await;
    let context = Context::service(at(1));
    let mut slow = stage.database.begin(&context).await.unwrap();
    slow.query(&context, &query(&insert(1)).unwrap()).await.unwrap();
    // Real time: the limit is the server's as well as ours.
    tokio::time::sleep(Duration::from_millis(450)).await;
    let over = slow.query(&context, &query(COUNT).unwrap()).await.unwrap_err();
    assert_eq!(
        over.to_string(),
        "the transaction is over: its time (transaction_time_max) is over, it was rolled back"
    );
    stage.ask(&insert(2)).await.unwrap();
    stage.check(COUNT, r#"[{"count":1}]"#).await;
}

/// Many read, add one and write, each again after a conflict: none is lost.
async fn counters_do_not_lose(kind: Kind) {
    let stage = Stage::shop(kind, Options { connections: 8, ..Options::default() }).await;
    stage
        .ask(r#"{"table":"places","operation":"insert","values":{"a":1,"b":"n","label":"0"}}"#)
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let database = stage.database.clone();
        tasks.push(tokio::spawn(async move {
            let context = Context::service(at(1));
            let read = query(r#"{"table":"places","where":{"a":1}}"#).unwrap();
            for _ in 0..5 {
                loop {
                    let step = async {
                        let mut transaction = database.begin(&context).await?;
                        let rows = transaction.query(&context, &read).await?.rows;
                        let number: i64 = rows.at(0).unwrap().get("label").unwrap().as_str().unwrap().parse().unwrap();
                        let write = format!(r#"{{"table":"places","operation":"update","where":{{"a":1}},"set":{{"label":"{}"}}}}"#, number + 1);
                        transaction.query(&context, &query(&write).unwrap()).await?;
                        transaction.commit().await
                    };
                    match step.await {
                        Ok(()) => break,
                        Err(error) => assert_eq!(error.class(), ErrorClass::Retryable, "{error}"),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    stage.check(r#"{"table":"places","columns":["label"]}"#, r#"[{"label":"30"}]"#).await;
}
