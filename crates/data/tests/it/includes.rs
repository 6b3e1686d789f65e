//! Includes: along foreign keys in both directions, to any depth, in one statement.

use crate::stage::{Kind, Stage, on_both};

on_both! { both_directions nested filtered ambiguous refused numbers_keep_their_digits }

async fn both_directions(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage
        .check(
            r#"{"table":"orders","columns":["id"],"include":{"customer":{"columns":["name","active","data","photo","joined"]}},"where":{"id":{"in":[10,12]}}}"#,
            r#"[{"id":10,"customer":{"name":"Ada","active":true,"data":{"tags":["vip","new"],"n":1},"photo":"00ff","joined":"2026-01-02T03:04:05+00:00"}},
                {"id":12,"customer":{"name":"Bob","active":false,"data":["x",1,true],"photo":null,"joined":null}}]"#,
        )
        .await;
    stage
        .check(
            r#"{"table":"orders","columns":["id"],"include":{"items":{"columns":["sku","count"]}},"order":"id"}"#,
            r#"[{"id":10,"items":[{"sku":"s1","count":2},{"sku":"s2","count":1}]},{"id":11,"items":[{"sku":"s1","count":5},{"sku":"s3","count":1}]},
                {"id":12,"items":[]},{"id":13,"items":[{"sku":"s2","count":9}]}]"#,
        )
        .await;
    stage.check(r#"{"table":"orders","columns":["id"],"where":{"id":11},"include":{"billed_to_customer":{"table":"customers","via":"billed_to"}}}"#,
        r#"[{"id":11,"billed_to_customer":null}]"#).await;
}

async fn nested(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage
        .check(
            r#"{"table":"customers","columns":["id"],"where":{"id":1},"include":{
                "orders":{"via":"customer_id","columns":["id","total"],"include":{
                    "items":{"columns":["id"],"include":{"order":{"columns":["id"],"include":{"customer":{"columns":["name"]}}}}},
                    "billing":{"via":"billed_to","columns":["name"]}}},
                "lives":{"table":"countries","columns":["name"]}}}"#,
            r#"[{"id":1,"orders":[
                {"id":10,"total":12.5,"items":[{"id":100,"order":{"id":10,"customer":{"name":"Ada"}}},{"id":101,"order":{"id":10,"customer":{"name":"Ada"}}}],"billing":{"name":"Bob"}},
                {"id":11,"total":100,"items":[{"id":102,"order":{"id":11,"customer":{"name":"Ada"}}},{"id":103,"order":{"id":11,"customer":{"name":"Ada"}}}],"billing":null}],
                "lives":{"name":"Germany"}}]"#,
        )
        .await;
}

async fn filtered(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage
        .check(
            r#"{"table":"orders","columns":["id"],"where":{"id":{"lte":11}},"include":{"items":{"columns":["id"],"where":{"sku":{"neq":"s2"}},"order":"-id","limit":1}}}"#,
            r#"[{"id":10,"items":[{"id":100}]},{"id":11,"items":[{"id":103}]}]"#,
        )
        .await;
    // A condition on a single row leaves none.
    stage.check(r#"{"table":"orders","columns":["id"],"where":{"id":12},"include":{"customer":{"columns":["id"],"where":{"active":true}}}}"#,
        r#"[{"id":12,"customer":null}]"#).await;
}

async fn ambiguous(kind: Kind) {
    let stage = Stage::filled(kind).await;
    stage
        .refuse(
            r#"{"table":"orders","include":{"customers":true}}"#,
            "include.customers: can mean `customers` along",
        )
        .await;
    stage
        .refuse(r#"{"table":"customers","include":{"orders":true}}"#, "say which with `table` and `via`")
        .await;
    stage.check(r#"{"table":"customers","columns":["id"],"where":{"id":2},"include":{"orders":{"via":"billed_to","columns":["id"]}}}"#,
        r#"[{"id":2,"orders":[{"id":10}]}]"#).await;
}

async fn refused(kind: Kind) {
    let stage = Stage::filled(kind).await;
    let mut deep = r#"{"columns":["id"],"limit":3}"#.to_owned();
    for level in 0..6 {
        let name = if level % 2 == 0 { "items" } else { "order" };
        deep = format!(r#"{{"columns":["id"],"limit":3,"include":{{"{name}":{deep}}}}}"#);
    }
    let allowed = deep.replacen('{', r#"{"table":"items","#, 1);
    assert!(stage.ask(&allowed).await.is_ok(), "{allowed}");
    let deeper = format!(r#"{{"table":"orders","include":{{"items":{deep}}}}}"#);
    stage.refuse(&deeper, "7 is over INCLUDE_DEPTH_MAX = 6").await;
    for (json, expected) in [
        (
            r#"{"table":"orders","include":{"itmes":true}}"#,
            "include.itmes: no foreign key joins `orders` and `itmes`; did you mean `items`?",
        ),
        (
            r#"{"table":"orders","include":{"countries":true}}"#,
            "no foreign key joins `orders` and `countries`",
        ),
        (
            r#"{"table":"orders","include":{"note":{"table":"items"}}}"#,
            "include.note: `note` is a column of `orders`",
        ),
        (
            r#"{"table":"orders","include":{"items":{"columns":["nope"]}}}"#,
            "include.items.columns[0]: `items` has no column",
        ),
        (r#"{"table":"orders","include":{"items":{"offset":1}}}"#, "include.items.offset: does not go with"),
        (
            r#"{"table":"orders","limit":5000,"include":{"items":{"limit":5000}}}"#,
            "include.items.limit: 25000000 is over INCLUDE_ROWS_MAX = 1000000",
        ),
        (r#"{"table":"orders","include":{"a b":{"table":"items"}}}"#, "is not a name"),
    ] {
        stage.refuse(json, expected).await;
    }
}

/// A number inside an include is the number of a row, to the last digit.
async fn numbers_keep_their_digits(kind: Kind) {
    let stage = Stage::filled(kind).await;
    for score in ["0.30000000000000004", "1e300", "-2.140873863797507e-147"] {
        let set = format!(
            r#"{{"table":"customers","operation":"update","where":{{"id":1}},"set":{{"score":{score}}},"returning":["score"]}}"#
        );
        let rows = format!(r#"[{{"score":{score}}}]"#);
        stage.check(&set, &rows).await;
        let included = r#"{"table":"orders","columns":["id"],"where":{"id":10},"include":{"customer":{"columns":["score"]}}}"#;
        stage.check(included, &format!(r#"[{{"id":10,"customer":{{"score":{score}}}}}]"#)).await;
    }
    let large = r#"{"table":"items","operation":"insert","values":{"id":9007199254740993,"tenant":"a","order_id":12,"sku":"s","count":1}}"#;
    stage.ask(large).await.unwrap();
    let json =
        r#"{"table":"orders","columns":["id"],"where":{"id":12},"include":{"items":{"columns":["id"]}}}"#;
    assert_eq!(
        stage.ask(json).await.unwrap().rows.to_json(),
        r#"[{"id":12,"items":[{"id":9007199254740993}]}]"#
    );
}
