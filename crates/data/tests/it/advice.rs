//! Advice on real plans: scans, suggestions with proof, spare indexes, the graph.

use std::time::Duration;

use flux_data::advice::{ObservedCall, ProofMethod, SLOW_DEFAULT, SpareReason};
use flux_data::{Options, typings};
use flux_model::Value;

use crate::stage::{Kind, Stage, on_both};

on_both! { indexes_are_suggested_with_proof spare_indexes_are_named the_graph_shows_suggestions }

fn calls(json: &str, times: usize, millis: u64) -> Vec<ObservedCall> {
    let call =
        ObservedCall::new(Value::from_json(json.as_bytes()).unwrap(), Duration::from_millis(millis)).unwrap();
    vec![call; times]
}

/// Two thousand orders of two hundred customers.
async fn grown(kind: Kind) -> Stage {
    let stage = Stage::shop(kind, Options::default()).await;
    let index = "CREATE INDEX orders_note ON orders (note); CREATE INDEX items_sku ON items (sku); CREATE INDEX items_sku_count ON items (sku, count);";
    let indexes = ("0002_indexes.sql", index);
    stage.migrate(&[("0001_shop.sql", crate::stage::SHOP), indexes]).await.unwrap();
    let customers = (1..=200)
        .map(|id| format!(r#"{{"id":{id},"tenant":"a","name":"n{id}","email":"e{id}"}}"#))
        .collect::<Vec<_>>();
    stage
        .ask(&format!(r#"{{"table":"customers","operation":"insert","values":[{}]}}"#, customers.join(",")))
        .await
        .unwrap();
    for block in 0..4 {
        let orders = (0..1_000).map(|number| {
            let id = block * 1_000 + number + 1;
            format!(
                r#"{{"id":{id},"tenant":"a","customer_id":{},"total":{},"note":"x"}}"#,
                id % 200 + 1,
                id % 50
            )
        });
        let orders = orders.collect::<Vec<_>>().join(",");
        stage
            .ask(&format!(r#"{{"table":"orders","operation":"insert","values":[{orders}]}}"#))
            .await
            .unwrap();
    }
    if kind == Kind::Postgres {
        let files = [("0001_shop.sql", crate::stage::SHOP), indexes, ("0003_analyze.sql", "ANALYZE;")];
        stage.migrate(&files).await.unwrap();
    }
    stage
}

async fn indexes_are_suggested_with_proof(kind: Kind) {
    let stage = grown(kind).await;
    let mut observed = calls(r#"{"table":"orders","where":{"customer_id":7}}"#, 40, 120);
    observed.extend(calls(
        r#"{"table":"orders","where":{"customer_id":7,"total":{"gt":3}},"limit":5}"#,
        3,
        5,
    ));
    observed.extend(calls(r#"{"table":"customers","where":{"id":7}}"#, 100, 1));
    observed.extend(calls(
        r#"{"table":"customers","where":{"id":7},"include":{"orders":{"via":"customer_id"}}}"#,
        10,
        50,
    ));
    observed.extend(calls(
        r#"{"table":"orders","operation":"update","where":{"id":1},"set":{"note":"y"}}"#,
        6,
        2,
    ));
    let advice = stage.database.advise(&observed, SLOW_DEFAULT).await.unwrap();

    assert_eq!(advice.slow.len(), 1, "{:?}", advice.slow);
    assert_eq!((&*advice.slow[0].table, advice.slow[0].slow, advice.slow[0].calls), ("orders", 40, 40));
    assert!(
        advice.scans.iter().any(|scan| &*scan.table == "orders" && scan.calls == 40),
        "{:?}",
        advice.scans
    );
    assert!(advice.scans.iter().all(|scan| &*scan.table != "customers"), "{:?}", advice.scans);

    let told: Vec<&str> = advice.indexes.iter().map(|index| index.sql.as_str()).collect();
    let table = if kind == Kind::Sqlite { "\"orders\"" } else { "\"public\".\"orders\"" };
    assert_eq!(
        told,
        [format!("CREATE INDEX \"orders_customer_id_total_idx\" ON {table} (\"customer_id\", \"total\")")]
    );
    let suggestion = &advice.indexes[0];
    assert_eq!(suggestion.writes, 6);
    let method = if kind == Kind::Sqlite { ProofMethod::Shadow } else { ProofMethod::Scratch };
    assert_eq!(suggestion.proof.method, method);
    assert!(suggestion.proof.gain().unwrap() > 1.5, "{:?}", suggestion.proof);
    assert!(suggestion.proof.after.plan.contains("orders_customer_id_total_idx"), "{:?}", suggestion.proof);

    // The index was only tried, and once it is there nothing more is suggested.
    stage.database.read_schema().await.unwrap();
    let schema = stage.database.schema().await.unwrap();
    assert!(schema.table("orders").unwrap().indexes.iter().all(|index| !index.name.contains("customer_id")));
}

async fn spare_indexes_are_named(kind: Kind) {
    let stage = grown(kind).await;
    let observed = calls(r#"{"table":"orders","where":{"id":7}}"#, 3, 1);
    let advice = stage.database.advise(&observed, SLOW_DEFAULT).await.unwrap();
    let told: Vec<(&str, &SpareReason)> =
        advice.spare.iter().map(|spare| (spare.name.as_str(), &spare.reason)).collect();
    let duplicate = SpareReason::Duplicate("items_sku_count".to_owned());
    assert_eq!(told, [("items_sku", &duplicate), ("orders_note", &SpareReason::Unused)]);
}

async fn the_graph_shows_suggestions(kind: Kind) {
    let stage = grown(kind).await;
    let observed = calls(r#"{"table":"orders","where":{"customer_id":7}}"#, 40, 120);
    let advice = stage.database.advise(&observed, SLOW_DEFAULT).await.unwrap();
    let graph = stage.database.graph(Some(&advice)).await.unwrap();
    let tables = graph.get("tables").unwrap().as_array().unwrap();
    let orders = tables.iter().find(|table| table.get("name").unwrap().as_str() == Some("orders")).unwrap();
    assert!(orders.get("rows").unwrap().as_i64().unwrap() >= 4_000, "{orders}");
    let suggested = orders.get("suggestions").unwrap().at(0).unwrap();
    assert_eq!(suggested.get("columns").unwrap().to_json(), r#"["customer_id"]"#);
    let declared = typings(&stage.database.schema().await.unwrap());
    assert!(declared.contains("include: { customer: { one: \"customers\" }; "), "{declared}");
}
