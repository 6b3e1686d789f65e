//! The mutation history is complete, and in the transaction.

use flux_data::{Change, Context};
use flux_model::{ExecutionId, Value};

use crate::stage::{Kind, Stage, at, caller, on_both, query, with_policy};

on_both! { every_change_leaves_a_trace rolled_back_changes_leave_none tenants_see_their_own }

async fn every_change_leaves_a_trace(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let execution = ExecutionId::new(at(5), 7);
    let run = async |call: u32, json: &str| {
        let context = Context {
            execution: Some(execution),
            request_id: Some("req-1".into()),
            call,
            ..Context::service(at(i64::from(call) * 1000))
        };
        stage.database.query(&context, &query(json).unwrap()).await.unwrap();
    };
    run(1, r#"{"table":"places","operation":"insert","values":{"a":1,"b":"x","label":"one"}}"#).await;
    run(2, r#"{"table":"places","operation":"update","where":{"a":1},"set":{"label":"two"}}"#).await;
    run(3, r#"{"table":"places","operation":"upsert","values":[{"a":1,"b":"x","label":"three"},{"a":2,"b":"x","label":"new"}]}"#).await;
    run(4, r#"{"table":"places","operation":"delete","where":{"a":1}}"#).await;
    let key = Value::from_json(br#"{"b":"x","a":1}"#).unwrap();
    let history = stage.database.history(&Context::service(at(0)), "places", &key, 100).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|mutation| {
            let label = |row: &Option<Value>| {
                row.as_ref().map(|row| row.get("label").unwrap().as_str().unwrap().to_owned())
            };
            (mutation.change, label(&mutation.before), label(&mutation.after), mutation.call)
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            (Change::Delete, text("three"), None, 4),
            (Change::Update, text("two"), text("three"), 3),
            (Change::Update, text("one"), text("two"), 2),
            (Change::Insert, None, text("one"), 1),
        ]
    );
    assert_eq!(history[2].changed, ["label".into()]);
    assert_eq!(
        (history[0].execution, history[0].request_id.as_deref(), history[0].at),
        (Some(execution), Some("req-1"), at(4000))
    );

    run(5, r#"{"table":"customers","operation":"update","where":{"id":1},"set":{"name":"A"}}"#).await;
    run(6, r#"{"table":"customers","operation":"update","where":{"id":1},"set":{"score":3,"active":false}}"#)
        .await;
    let blame =
        stage.database.blame(&Context::service(at(0)), "customers", &Value::from(1_i64)).await.unwrap();
    let who = |name: &str| blame.iter().find(|blame| &*blame.column == name).map(|blame| blame.mutation.call);
    assert_eq!(
        (who("name"), who("score"), who("active"), who("tenant")),
        (Some(5), Some(6), Some(6), Some(0))
    );
}

async fn rolled_back_changes_leave_none(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let context = Context::service(at(1));
    let mut transaction = stage.database.begin(&context).await.unwrap();
    transaction
        .query(
            &context,
            &query(r#"{"table":"customers","operation":"update","where":{"id":1},"set":{"name":"Z"}}"#)
                .unwrap(),
        )
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    stage
        .ask(r#"{"table":"orders","operation":"update","where":{"id":10},"set":{"total":-1}}"#)
        .await
        .unwrap_err();
    for (table, key) in [("customers", 1_i64), ("orders", 10)] {
        let history = stage.database.history(&context, table, &Value::from(key), 100).await.unwrap();
        assert_eq!(history.len(), 1, "{table}: {history:?}");
    }
    let wrong = stage
        .database
        .history(&context, "customers", &Value::object([("nope", Value::Null)]), 1)
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("primary key: id"), "{wrong}");
}

async fn tenants_see_their_own(kind: Kind) {
    let options = with_policy(
        r#"{"tenant":{"column":"tenant","claim":"tenant"},"shared":["countries"],
        "roles":{"m":{"*":{"operations":["*"],"columns":["id","name"],"writable":["id","name"]}}}}"#,
    );
    let stage = Stage::shop(kind, options).await;
    stage
        .ask_as(
            r#"{"tenant":"a","role":"m"}"#,
            r#"{"table":"customers","operation":"insert","values":{"id":1,"name":"x"}}"#,
        )
        .await
        .unwrap();
    let key = Value::from(1_i64);
    let own =
        stage.database.history(&caller(r#"{"tenant":"a","role":"m"}"#), "customers", &key, 10).await.unwrap();
    assert_eq!(own[0].after.as_ref().unwrap().to_json(), r#"{"id":1,"name":"x"}"#);
    let other =
        stage.database.history(&caller(r#"{"tenant":"b","role":"m"}"#), "customers", &key, 10).await.unwrap();
    assert_eq!(other, []);
    assert!(stage.database.history(&caller(r#"{"role":"m"}"#), "customers", &key, 10).await.is_err());
}
