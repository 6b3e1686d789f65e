//! Inserts, updates, upserts, deletes.

use flux_data::Options;

use crate::stage::{Kind, Stage, on_both};

on_both! { inserts updates deletes upserts constraints }

async fn inserts(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let one = stage
        .ask(r#"{"table":"countries","operation":"insert","values":{"code":"it","name":"Italy"}}"#)
        .await
        .unwrap();
    assert_eq!((one.rows.to_json().as_str(), one.affected), ("[]", 1));
    stage.check(r#"{"table":"countries","operation":"insert","values":[{"code":"es","name":"Spain"},{"code":"pt","name":"Portugal"}],"returning":"*"}"#,
        r#"[{"code":"es","name":"Spain"},{"code":"pt","name":"Portugal"}]"#).await;
    // Defaults, generated keys, nulls where another row has a value.
    stage.check(r#"{"table":"customers","operation":"insert","values":[{"id":50,"tenant":"b","name":"x","score":2},{"id":51,"tenant":"b","name":"y"}],"returning":["name","active","score"]}"#,
        r#"[{"name":"x","active":true,"score":2},{"name":"y","active":true,"score":null}]"#).await;
    let json = r#"{"table":"customers","operation":"insert","values":{"id":52,"tenant":"c","name":"z","data":"text","photo":"c0FFee","joined":"2026-03-01T12:00:00.123456+00:00"},"returning":["data","photo","joined"]}"#;
    stage
        .check(json, r#"[{"data":"text","photo":"c0ffee","joined":"2026-03-01T12:00:00.123456+00:00"}]"#)
        .await;
    // The database numbers rows that come without a key.
    stage.ask(r#"{"table":"items","operation":"delete","all":true}"#).await.unwrap();
    stage.check(r#"{"table":"items","operation":"insert","values":{"tenant":"a","order_id":10,"sku":"s","count":1},"returning":["id"]}"#, r#"[{"id":1}]"#).await;
    for (json, expected) in [
        (
            r#"{"table":"countries","operation":"insert","values":{"code":"xx"}}"#,
            "values.name: is missing, and countries.name may not be null",
        ),
        (
            r#"{"table":"countries","operation":"insert","values":{"code":"xx","name":null}}"#,
            "values[0].name: countries.name may not be null",
        ),
        (
            r#"{"table":"countries","operation":"insert","values":{"code":1,"name":"x"}}"#,
            "values[0].code: expected a text for countries.code",
        ),
        (
            r#"{"table":"countries","operation":"insert","values":{"cod":"x","name":"x"}}"#,
            "values[0].cod: `countries` has no column `cod`; did you mean `code`?",
        ),
        (r#"{"table":"countries","operation":"insert","values":{}}"#, "values: names no column"),
        (
            r#"{"table":"customers","operation":"insert","values":[{"tenant":"b","name":"x","active":true},{"tenant":"b","name":"y"}]}"#,
            "values[1].active: is missing here and given in another row",
        ),
    ] {
        stage.refuse(json, expected).await;
    }
}

async fn updates(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let answer = stage.ask(r#"{"table":"orders","operation":"update","where":{"total":{"gte":10}},"set":{"note":"big","total":11.5},"returning":["id","note","total"]}"#).await.unwrap();
    assert_eq!(answer.affected, 2);
    stage
        .check(
            r#"{"table":"orders","columns":["id"],"where":{"note":"big","total":11.5}}"#,
            r#"[{"id":10},{"id":11}]"#,
        )
        .await;
    let none = stage
        .ask(r#"{"table":"orders","operation":"update","where":{"id":0},"set":{"note":"x"}}"#)
        .await
        .unwrap();
    assert_eq!(none.affected, 0);
    let all =
        stage.ask(r#"{"table":"items","operation":"update","all":true,"set":{"count":1}}"#).await.unwrap();
    assert_eq!(all.affected, 5);
    stage.check(r#"{"table":"customers","operation":"update","where":{"id":{"in":[1]}},"set":{"data":[1],"active":false,"email":null},"returning":["data","active","email"]}"#,
        r#"[{"data":[1],"active":false,"email":null}]"#).await;
    stage.check(r#"{"table":"places","operation":"insert","values":{"a":1,"b":"x"}}"#, "[]").await;
    stage
        .check(
            r#"{"table":"places","operation":"update","where":{"a":1},"set":{"label":"l"},"returning":"*"}"#,
            r#"[{"a":1,"b":"x","label":"l"}]"#,
        )
        .await;
    for (json, expected) in [
        (
            r#"{"table":"orders","operation":"update","where":{"id":1},"set":{"id":2}}"#,
            "set.id: is the row's identity",
        ),
        (
            r#"{"table":"orders","operation":"update","where":{"id":1},"set":{"total":"x"}}"#,
            "set.total: expected a number",
        ),
        (
            r#"{"table":"orders","operation":"update","where":{"id":1},"set":{"total":null}}"#,
            "set.total: orders.total may not be null",
        ),
        (r#"{"table":"orders","operation":"update","where":{"id":1},"set":{}}"#, "set: names no column"),
    ] {
        stage.refuse(json, expected).await;
    }
}

async fn deletes(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage
        .check(
            r#"{"table":"items","operation":"delete","where":{"order_id":10},"returning":["id"]}"#,
            r#"[{"id":100},{"id":101}]"#,
        )
        .await;
    let all = stage.ask(r#"{"table":"items","operation":"delete","all":true}"#).await.unwrap();
    assert_eq!(all.affected, 3);
    stage.check(r#"{"table":"items","operation":"count"}"#, r#"[{"count":0}]"#).await;
}

async fn upserts(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage.check(r#"{"table":"countries","operation":"upsert","values":[{"code":"de","name":"Deutschland"},{"code":"nl","name":"Nederland"}],"returning":"*"}"#,
        r#"[{"code":"de","name":"Deutschland"},{"code":"nl","name":"Nederland"}]"#).await;
    stage.check(r#"{"table":"customers","operation":"upsert","values":{"tenant":"a","email":"ada@example.com","name":"Ada L"},"onConflict":["tenant","email"],"returning":["id","name"]}"#,
        r#"[{"id":1,"name":"Ada L"}]"#).await;
    // Nothing is changed, nothing comes back.
    stage.check(r#"{"table":"countries","operation":"upsert","values":{"code":"de","name":"x"},"onConflict":{"update":false},"returning":"*"}"#, "[]").await;
    stage
        .check(r#"{"table":"places","operation":"upsert","values":{"a":1,"b":"x","label":"1"}}"#, "[]")
        .await;
    stage.check(r#"{"table":"places","operation":"upsert","values":[{"a":1,"b":"x","label":"2"},{"a":1,"b":"y","label":"3"}],"returning":"*"}"#,
        r#"[{"a":1,"b":"x","label":"2"},{"a":1,"b":"y","label":"3"}]"#).await;
    stage.check(r#"{"table":"customers","operation":"upsert","values":{"id":1,"tenant":"a","name":"kept","score":9},"onConflict":{"columns":["id"],"update":["score"]},"returning":["name","score"]}"#,
        r#"[{"name":"Ada L","score":9}]"#).await;
    for (json, expected) in [
        (
            r#"{"table":"customers","operation":"upsert","values":{"tenant":"a","name":"x"},"onConflict":["name"]}"#,
            "onConflict: names no unique key of `customers`; it has [id], [tenant, email]",
        ),
        (
            r#"{"table":"customers","operation":"upsert","values":{"tenant":"a","name":"x"}}"#,
            "onConflict: `id` decides whether a row is there and must be in values",
        ),
        (
            r#"{"table":"countries","operation":"upsert","values":{"code":"a","name":"x"},"onConflict":{"update":["nmae"]}}"#,
            "onConflict.update: `countries` has no column `nmae`",
        ),
    ] {
        stage.refuse(json, expected).await;
    }
}

async fn constraints(kind: Kind) {
    let stage = Stage::filled(kind).await;
    for json in [
        r#"{"table":"countries","operation":"insert","values":{"code":"de","name":"again"}}"#,
        r#"{"table":"orders","operation":"insert","values":{"tenant":"a","customer_id":999,"total":1}}"#,
        r#"{"table":"orders","operation":"update","where":{"id":10},"set":{"total":-1}}"#,
        r#"{"table":"countries","operation":"delete","where":{"code":"de"}}"#,
        // The second row fails, the first must not stay.
        r#"{"table":"countries","operation":"insert","values":[{"code":"at","name":"Austria"},{"code":"de","name":"again"}]}"#,
    ] {
        let error = stage.ask(json).await.unwrap_err();
        assert_eq!(error.code().as_str(), "constraint_violated", "{json}: {error}");
        assert!(!error.to_string().contains("again"), "the error shows a value: {error}");
    }
    stage.check(r#"{"table":"countries","operation":"count"}"#, r#"[{"count":2}]"#).await;
    let stage = Stage::shop(kind, Options::default()).await;
    let rows = (0..1_000).map(|a| format!(r#"{{"a":{a},"b":"x"}}"#)).collect::<Vec<_>>().join(",");
    for b in ["x", "y", "z", "u", "v", "w"] {
        let rows = rows.replace("\"x\"", &format!("\"{b}\""));
        stage.ask(&format!(r#"{{"table":"places","operation":"insert","values":[{rows}]}}"#)).await.unwrap();
    }
    stage
        .refuse(
            r#"{"table":"places","operation":"update","all":true,"set":{"label":"x"}}"#,
            "over ROWS_CHANGED_MAX = 5000",
        )
        .await;
    stage
        .refuse(r#"{"table":"places","operation":"delete","all":true}"#, "over ROWS_CHANGED_MAX = 5000")
        .await;
    stage
        .check(r#"{"table":"places","operation":"count","where":{"label":null}}"#, r#"[{"count":6000}]"#)
        .await;
}
