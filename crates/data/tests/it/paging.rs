//! Cursors: every row once, in order, whatever the order is.

use flux_data::Options;

use crate::stage::{Kind, Stage, on_both, with_policy};

on_both! { every_row_once cursors_are_bound }

async fn every_row_once(kind: Kind) {
    let stage = Stage::shop(kind, Options::default()).await;
    let mut rows = Vec::new();
    for number in 0..157_i64 {
        let label = if number % 5 == 0 { "null".to_owned() } else { format!("\"l{}\"", number % 7) };
        rows.push(format!(r#"{{"a":{},"b":"b{}","label":{label}}}"#, number % 13, number));
    }
    stage
        .ask(&format!(r#"{{"table":"places","operation":"insert","values":[{}]}}"#, rows.join(",")))
        .await
        .unwrap();
    for order in [
        r#"[]"#,
        r#"["label"]"#,
        r#"["-label"]"#,
        r#"["a","-b"]"#,
        r#"["-label","a","-b"]"#,
        r#"["-a","-b"]"#,
        r#"["b"]"#,
    ] {
        for columns in [r#"["a","b"]"#, r#"["b"]"#] {
            let whole = format!(r#"{{"table":"places","columns":{columns},"order":{order},"limit":5000}}"#);
            let whole = stage.ask(&whole).await.unwrap();
            assert_eq!((whole.affected, whole.cursor), (157, None));
            let mut seen = Vec::new();
            let mut cursor = "null".to_owned();
            loop {
                let page = format!(
                    r#"{{"table":"places","columns":{columns},"order":{order},"limit":10,"cursor":{cursor}}}"#
                );
                let page = stage.ask(&page).await.unwrap();
                seen.extend(page.rows.as_array().unwrap().to_vec());
                match page.cursor {
                    Some(next) => cursor = format!("\"{next}\""),
                    None => break,
                }
                assert!(seen.len() < 500, "the pages of {order} have no end");
            }
            assert_eq!(seen, whole.rows.as_array().unwrap(), "{order} {columns}");
        }
    }
}

async fn cursors_are_bound(kind: Kind) {
    let options = with_policy(r#"{"tenant":{"column":"tenant","claim":"tenant"},"shared":["countries"]}"#);
    let stage = Stage::shop(kind, options).await;
    for tenant in ["a", "b"] {
        let claims = format!(r#"{{"tenant":"{tenant}"}}"#);
        let insert =
            r#"{"table":"customers","operation":"insert","values":[{"name":"x"},{"name":"y"},{"name":"z"}]}"#;
        stage.ask_as(&claims, insert).await.unwrap();
    }
    let page = r#"{"table":"customers","order":"name","limit":1}"#;
    let cursor = stage.ask_as(r#"{"tenant":"a"}"#, page).await.unwrap().cursor.unwrap();
    let next = |order: &str, cursor: &str| {
        format!(r#"{{"table":"customers","order":"{order}","limit":1,"cursor":"{cursor}"}}"#)
    };
    let code = async |claims: &str, json: &str| {
        stage.ask_as(claims, json).await.map_err(|error| error.code().as_str())
    };
    assert!(code(r#"{"tenant":"a"}"#, &next("name", &cursor)).await.is_ok());
    assert_eq!(code(r#"{"tenant":"b"}"#, &next("name", &cursor)).await.unwrap_err(), "cursor_invalid");
    assert_eq!(code(r#"{"tenant":"a"}"#, &next("-name", &cursor)).await.unwrap_err(), "cursor_invalid");
    let changed = cursor.replacen(&cursor[5..6], if &cursor[5..6] == "A" { "B" } else { "A" }, 1);
    assert_eq!(code(r#"{"tenant":"a"}"#, &next("name", &changed)).await.unwrap_err(), "cursor_invalid");
}
