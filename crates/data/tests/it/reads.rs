//! Selects, counts, aggregates: every operator, every kind of value.

use flux_data::{CacheStatus, Options};

use crate::stage::{Kind, Stage, normal, on_both};

on_both! {
    operators
    values
    orders
    aggregates_and_counts
    names_and_types
    sql_in_strings
    cached_reads
    large_answers
    views
}

async fn ids(stage: &Stage, filter: &str, expected: &[i64]) {
    let json = format!(r#"{{"table":"customers","columns":["id"],"where":{filter}}}"#);
    let rows = expected.iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect::<Vec<_>>().join(",");
    stage.check(&json, &format!("[{rows}]")).await;
}

async fn operators(kind: Kind) {
    let stage = Stage::filled(kind).await;
    for (filter, expected) in [
        (r#"{}"#, &[1, 2, 3][..]),
        (r#"{"id":2}"#, &[2]),
        (r#"{"id":{"eq":2.0}}"#, &[2]),
        (r#"{"id":{"neq":2}}"#, &[1, 3]),
        (r#"{"id":{"gt":1,"lte":3}}"#, &[2, 3]),
        (r#"{"id":{"gte":2},"active":true}"#, &[3]),
        (r#"{"id":{"lt":2}}"#, &[1]),
        (r#"{"id":{"in":[1,3,99]}}"#, &[1, 3]),
        (r#"{"id":{"in":[]}}"#, &[]),
        (r#"{"id":{"nin":[1,3]}}"#, &[2]),
        (r#"{"name":{"in":["Ada","Bob"]}}"#, &[1, 2]),
        (r#"{"active":{"in":[false]}}"#, &[2]),
        (r#"{"photo":{"in":["00ff"]}}"#, &[1]),
        (r#"{"photo":"00ff"}"#, &[1]),
        (r#"{"score":{"in":[1.5,-0.25]}}"#, &[1, 3]),
        (r#"{"joined":{"in":["2025-06-01T00:00:00+00:00"]}}"#, &[3]),
        (r#"{"name":{"like":"A%"}}"#, &[1]),
        (r#"{"name":{"like":"a%"}}"#, &[]),
        (r#"{"name":{"ilike":"a%"}}"#, &[1]),
        (r#"{"name":{"like":"_ob"}}"#, &[2]),
        (r#"{"name":{"like":"Cyd\\_\\%"}}"#, &[3]),
        (r#"{"name":{"like":"Cyd*"}}"#, &[]),
        (r#"{"name":{"ilike":"cyd\\_%"}}"#, &[3]),
        (r#"{"name":{"like":"%\\"}}"#, &[]),
        (r#"{"name":{"contains":"d_%"}}"#, &[3]),
        (r#"{"name":{"contains":"D"}}"#, &[]),
        (r#"{"email":{"isNull":true}}"#, &[2]),
        (r#"{"email":null}"#, &[2]),
        (r#"{"email":{"neq":null}}"#, &[1, 3]),
        (r#"{"score":{"between":[-1,1]}}"#, &[3]),
        (r#"{"joined":{"gt":"2025-12-31T00:00:00+00:00"}}"#, &[1]),
        (r#"{"data":{"contains":"x"}}"#, &[2]),
        (r#"{"data":{"contains":1}}"#, &[2]),
        (r#"{"data":{"contains":true}}"#, &[2]),
        (r#"{"data":{"contains":"1"}}"#, &[]),
        (r#"{"data":{"contains":"vip"}}"#, &[]),
        (r#"{"or":[{"id":1},{"name":"Bob"}]}"#, &[1, 2]),
        (r#"{"not":{"or":[{"id":1},{"id":2}]}}"#, &[3]),
        (r#"{"and":[{"id":{"gt":1}},{"not":{"id":3}}]}"#, &[2]),
    ] {
        ids(&stage, filter, expected).await;
    }
}

async fn values(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage
        .check(
            r#"{"table":"customers","where":{"id":1}}"#,
            r#"[{"id":1,"tenant":"a","name":"Ada","email":"ada@example.com","active":true,"country":"de",
                "data":{"tags":["vip","new"],"n":1},"joined":"2026-01-02T03:04:05+00:00","photo":"00ff","score":1.5}]"#,
        )
        .await;
    stage
        .check(
            r#"{"table":"customers","where":{"id":2},"columns":["active","data","score","joined"]}"#,
            r#"[{"active":false,"data":["x",1,true],"score":null,"joined":null}]"#,
        )
        .await;
    let answer = stage.ask(r#"{"table":"customers","where":{"id":9}}"#).await.unwrap();
    assert_eq!((answer.rows.to_json().as_str(), answer.affected, answer.cursor), ("[]", 0, None));
}

async fn orders(kind: Kind) {
    let stage = Stage::filled(kind).await;
    for (order, expected) in [
        (r#""-id""#, "[3,2,1]"),
        (r#"["active","-id"]"#, "[2,3,1]"),
        // Null is the largest, in both databases.
        (r#""email""#, "[1,3,2]"),
        (r#"{"email":"desc"}"#, "[2,3,1]"),
    ] {
        let rows = stage
            .ask(&format!(r#"{{"table":"customers","columns":["id"],"order":{order}}}"#))
            .await
            .unwrap()
            .rows;
        let ids: Vec<i64> =
            rows.as_array().unwrap().iter().map(|row| row.get("id").unwrap().as_i64().unwrap()).collect();
        assert_eq!(format!("{ids:?}").replace(' ', ""), expected, "{order}");
    }
    stage.check(r#"{"table":"customers","columns":["id"],"limit":1,"offset":1}"#, r#"[{"id":2}]"#).await;
    stage.check(r#"{"table":"customers","columns":["id"],"limit":0}"#, "[]").await;
    // A table without rows in a key's order, and one without limit reached.
    stage.check(r#"{"table":"places"}"#, "[]").await;
}

async fn aggregates_and_counts(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage.check(r#"{"table":"orders","operation":"count"}"#, r#"[{"count":4}]"#).await;
    stage
        .check(r#"{"table":"orders","operation":"count","where":{"total":{"gt":10}}}"#, r#"[{"count":2}]"#)
        .await;
    stage
        .check(
            r#"{"table":"orders","operation":"aggregate","aggregate":{"n":{"count":"*"},"notes":{"count":"note"},
                "sum":{"sum":"total"},"avg":{"avg":"total"},"low":{"min":"total"},"high":{"max":"total"},
                "buyers":{"countDistinct":"customer_id"},"ids":{"sum":"id"}}}"#,
            r#"[{"n":4,"notes":2,"sum":119.75,"avg":29.9375,"low":0,"high":100,"buyers":3,"ids":46}]"#,
        )
        .await;
    stage
        .check(
            r#"{"table":"orders","operation":"aggregate","groupBy":["customer_id"],"aggregate":{"sum":{"sum":"total"}},
                "order":"-sum","limit":2}"#,
            r#"[{"customer_id":1,"sum":112.5},{"customer_id":3,"sum":7.25}]"#,
        )
        .await;
    stage
        .check(
            r#"{"table":"customers","operation":"aggregate","groupBy":["active"],"aggregate":{"last":{"max":"joined"},"who":{"min":"name"}}}"#,
            r#"[{"active":false,"last":null,"who":"Bob"},{"active":true,"last":"2026-01-02T03:04:05+00:00","who":"Ada"}]"#,
        )
        .await;
    stage.check(r#"{"table":"orders","operation":"aggregate","where":{"id":0},"aggregate":{"s":{"sum":"total"}}}"#, r#"[{"s":null}]"#).await;
    let overflow = r#"{"table":"places","operation":"insert","values":[{"a":9223372036854775807,"b":"x"},{"a":9223372036854775806,"b":"y"}]}"#;
    stage.ask(overflow).await.unwrap();
    assert!(
        stage
            .ask(r#"{"table":"places","operation":"aggregate","aggregate":{"s":{"sum":"a"}}}"#)
            .await
            .is_err()
    );
}

async fn names_and_types(kind: Kind) {
    let stage = Stage::filled(kind).await;
    for (json, expected) in [
        (r#"{"table":"ordres"}"#, "table: unknown table `ordres`; did you mean `orders`?"),
        (r#"{"table":"_flux_mutations"}"#, "table: unknown table"),
        (r#"{"table":"sqlite_schema"}"#, "table: unknown table"),
        (r#"{"table":"pg_catalog.pg_user"}"#, "table: unknown table"),
        (
            r#"{"table":"orders","columns":["totl"]}"#,
            "columns[0]: `orders` has no column `totl`; did you mean `total`?",
        ),
        (
            r#"{"table":"orders","where":{"Total":1}}"#,
            "where.Total: `orders` has no column `Total`; did you mean `total`?",
        ),
        (r#"{"table":"orders","where":{"or":[{"totl":1}]}}"#, "where.totl: `orders` has no column"),
        (r#"{"table":"orders","order":"nope"}"#, "order[0]: `orders` has no column `nope`"),
        (r#"{"table":"orders","where":{"id":1},"order":"nope"}"#, "order[0]: `orders` has no column `nope`"),
        (r#"{"table":"orders","where":{"id":"1"}}"#, "where.id.eq: expected a whole number for orders.id"),
        (r#"{"table":"orders","where":{"id":1.5}}"#, "where.id.eq: expected a whole number for orders.id"),
        (r#"{"table":"orders","where":{"id":{"in":[1,"x"]}}}"#, "where.id.in[1]: expected a whole number"),
        (r#"{"table":"customers","where":{"active":1}}"#, "where.active.eq: expected true or false"),
        (r#"{"table":"customers","where":{"name":{"gt":1}}}"#, "where.name.gt: expected a text"),
        (r#"{"table":"customers","where":{"name":{"eq":{"a":1}}}}"#, "where.name.eq: expected a text"),
        (r#"{"table":"customers","where":{"id":{"like":"1%"}}}"#, "`like` does not go with customers.id"),
        (r#"{"table":"customers","where":{"data":{"eq":1}}}"#, "`eq` does not go with customers.data"),
        (
            r#"{"table":"customers","where":{"data":{"contains":{"a":1}}}}"#,
            "expected one text, number or boolean",
        ),
        (r#"{"table":"customers","where":{"name":"a\u0000b"}}"#, "holds a NUL character"),
        (r#"{"table":"customers","order":"data"}"#, "order[0]: customers.data"),
        (r#"{"table":"customers","operation":"aggregate","groupBy":["data"]}"#, "cannot be grouped by"),
        (
            r#"{"table":"customers","operation":"aggregate","aggregate":{"s":{"sum":"name"}}}"#,
            "`sum` does not go with customers.name",
        ),
        (
            r#"{"table":"customers","operation":"aggregate","aggregate":{"n":{"count":"*"}},"order":"m"}"#,
            "`m` is neither grouped by nor computed",
        ),
        (r#"{"table":"places","where":{"b":{"like":"%"}},"cursor":"x"}"#, "cursor: it is damaged"),
    ] {
        stage.refuse(json, expected).await;
    }
    let pattern = format!(r#"{{"table":"customers","where":{{"name":{{"like":"{}"}}}}}}"#, "%".repeat(1_001));
    stage.refuse(&pattern, "where.name.like: 1001 is over PATTERN_BYTES_MAX = 1000").await;
    let tests = vec![r#"{"id":1}"#; 600].join(",");
    stage
        .refuse(
            &format!(r#"{{"table":"orders","where":{{"or":[{tests}]}}}}"#),
            "cost: 1201 is over QUERY_COST_MAX = 1000",
        )
        .await;
}

async fn sql_in_strings(kind: Kind) {
    let stage = Stage::filled(kind).await;
    for text in [
        "'; DROP TABLE orders; --",
        "\" OR 1=1 --",
        "\\'; DELETE FROM items; --",
        "%' OR '1'='1",
        "$1 ?1 :a @b {json}",
    ] {
        let text = serde_json::to_string(text).unwrap();
        for json in [
            format!(
                r#"{{"table":"customers","operation":"update","where":{{"id":1}},"set":{{"name":{text}}}}}"#
            ),
            format!(r#"{{"table":"customers","columns":["id"],"where":{{"name":{text}}}}}"#),
            format!(r#"{{"table":"customers","columns":["id"],"where":{{"name":{{"contains":{text}}}}}}}"#),
            format!(r#"{{"table":"customers","columns":["id"],"where":{{"name":{{"in":[{text}]}}}}}}"#),
            format!(r#"{{"table":"customers","columns":["id"],"where":{{"name":{{"like":{text}}}}}}}"#),
        ] {
            assert!(stage.ask(&json).await.is_ok(), "{json}");
        }
        stage
            .check(
                &format!(r#"{{"table":"customers","columns":["id"],"where":{{"name":{text}}}}}"#),
                r#"[{"id":1}]"#,
            )
            .await;
        for json in [
            format!(r#"{{"table":{text}}}"#),
            format!(r#"{{"table":"customers","columns":[{text}]}}"#),
            format!(r#"{{"table":"customers","where":{{{text}:1}}}}"#),
            format!(r#"{{"table":"customers","order":{text}}}"#),
            format!(r#"{{"table":"customers","include":{{{text}:true}}}}"#),
            format!(r#"{{"table":"customers","operation":"aggregate","groupBy":[{text}]}}"#),
            format!(r#"{{"table":"customers","operation":"insert","values":{{{text}:1}}}}"#),
            format!(
                r#"{{"table":"customers","operation":"upsert","values":{{"tenant":"a","name":"b"}},"onConflict":[{text}]}}"#
            ),
        ] {
            assert_eq!(stage.ask(&json).await.unwrap_err().code().as_str(), "query_invalid", "{json}");
        }
        // The name of a measure is the client's own, and only a name of the answer.
        let named =
            format!(r#"{{"table":"orders","operation":"aggregate","aggregate":{{{text}:{{"count":"*"}}}}}}"#);
        assert_eq!(stage.ask(&named).await.unwrap().affected, 1);
    }
    stage.check(r#"{"table":"orders","operation":"count"}"#, r#"[{"count":4}]"#).await;
    stage.check(r#"{"table":"items","operation":"count"}"#, r#"[{"count":5}]"#).await;
}

async fn cached_reads(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let read = r#"{"table":"customers","columns":["name"],"where":{"id":1},"include":{"orders":{"via":"customer_id","columns":["id"]}},"cache":{"ttl_ms":60000}}"#;
    let status = async |expected| {
        let answer = stage.ask(read).await.unwrap();
        assert_eq!(answer.cache, expected);
        answer.rows
    };
    let first = status(CacheStatus::Miss).await;
    assert_eq!(normal(&status(CacheStatus::Hit).await), normal(&first));
    // A change of an included table ends it, also one that comes by a cascade.
    stage
        .ask(r#"{"table":"orders","operation":"update","where":{"id":10},"set":{"note":"x"}}"#)
        .await
        .unwrap();
    status(CacheStatus::Miss).await;
    status(CacheStatus::Hit).await;
    stage
        .ask(r#"{"table":"items","operation":"update","where":{"id":100},"set":{"count":3}}"#)
        .await
        .unwrap();
    status(CacheStatus::Hit).await;
    stage.ask(r#"{"table":"customers","operation":"delete","where":{"id":3}}"#).await.unwrap();
    status(CacheStatus::Miss).await;
    assert_eq!(stage.ask(r#"{"table":"customers"}"#).await.unwrap().cache, CacheStatus::Off);
}

async fn large_answers(kind: Kind) {
    let stage = Stage::shop(kind, Options::default()).await;
    let text = "x".repeat(3 << 20);
    for id in 0..7 {
        let json = format!(
            r#"{{"table":"places","operation":"insert","values":{{"a":{id},"b":"b","label":"{text}"}}}}"#
        );
        stage.ask(&json).await.unwrap();
    }
    stage.refuse(r#"{"table":"places"}"#, "is over ANSWER_BYTES_MAX = 16777216").await;
    assert_eq!(stage.ask(r#"{"table":"places","limit":2}"#).await.unwrap().affected, 2);
}

async fn views(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage.check(r#"{"table":"totals","columns":["tenant"]}"#, r#"[{"tenant":"a"}]"#).await;
    stage
        .refuse(
            r#"{"table":"totals","operation":"delete","all":true}"#,
            "table: `totals` is a view and only read",
        )
        .await;
}
