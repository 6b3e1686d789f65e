//! The policy file: operations, columns, rows, by role; and PostgreSQL's own policies as a second wall.

use flux_data::{DatabaseRole, Options, Policy};

use crate::stage::{Kind, Stage, caller, on_both, query, with_policy};

on_both! { roles second_wall }

const POLICY: &str = r#"{
    "tenant": {"column": "tenant", "claim": "tenant"},
    "shared": ["countries"],
    "roles": {
        "clerk": {
            "customers": {"operations": ["select", "update", "insert"], "columns": ["id", "name", "active"], "writable": ["id", "name", "active"], "rows": {"active": true}},
            "orders": {"operations": ["select", "count", "aggregate"], "rows": {"note": "$claims.team"}}
        },
        "inserter": {"customers": {"operations": ["insert"]}},
        "admin": {"*": {"operations": ["*"]}}
    }
}"#;

const ADMIN: &str = r#"{"tenant":"a","role":"admin"}"#;
const CLERK: &str = r#"{"tenant":"a","role":"clerk","team":"red"}"#;
const INSERTER: &str = r#"{"tenant":"a","role":"inserter"}"#;

/// Who asks what, and why not.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        CLERK,
        r#"{"table":"customers","columns":["email"]}"#,
        "columns[0]: the caller's role may not read customers.email",
    ),
    (
        CLERK,
        r#"{"table":"customers","where":{"email":"x"}}"#,
        "where.email: the caller's role may not read customers.email",
    ),
    (
        CLERK,
        r#"{"table":"customers","order":"email"}"#,
        "order[0]: the caller's role may not read customers.email",
    ),
    (
        CLERK,
        r#"{"table":"customers","operation":"delete","where":{"id":1}}"#,
        "role `clerk` may not delete `customers`",
    ),
    (
        INSERTER,
        r#"{"table":"customers","operation":"insert","values":{"id":78,"name":"z"},"returning":["id"]}"#,
        "returning: role `inserter` may not select `customers`",
    ),
    (CLERK, r#"{"table":"items"}"#, "role `clerk` may not select `items`"),
    (
        CLERK,
        r#"{"table":"orders","include":["items"]}"#,
        "include.items: role `clerk` may not select `items`",
    ),
    (
        CLERK,
        r#"{"table":"customers","operation":"update","where":{"id":1},"set":{"email":"x"}}"#,
        "set.email: the caller's role may not set customers.email",
    ),
    (
        CLERK,
        r#"{"table":"customers","operation":"update","where":{"id":1},"set":{"active":false}}"#,
        "would leave the rows that the policy allows",
    ),
    (
        CLERK,
        r#"{"table":"customers","operation":"insert","values":{"id":77,"name":"z","active":false}}"#,
        "would leave the rows that the policy allows",
    ),
    (
        CLERK,
        r#"{"table":"customers","operation":"update","where":{"id":1},"set":{"tenant":"b"}}"#,
        "set.tenant: is set from the caller's verified claims",
    ),
    (
        ADMIN,
        r#"{"table":"customers","operation":"insert","values":{"name":"z","tenant":"a"}}"#,
        "values[0].tenant: is set from the caller's verified claims",
    ),
    (r#"{"tenant":"a","role":"clerk"}"#, r#"{"table":"orders"}"#, "the caller has no claim `team`"),
    (
        r#"{"tenant":"a","role":"stranger"}"#,
        r#"{"table":"orders"}"#,
        "role `stranger` may not select `orders`",
    ),
    (r#"{"tenant":"a"}"#, r#"{"table":"orders"}"#, "the caller has no role"),
    (r#"{"role":"admin"}"#, r#"{"table":"orders"}"#, "the caller has no claim `tenant`"),
    (r#"{"role":"admin","tenant":["a"]}"#, r#"{"table":"orders"}"#, "claims.tenant"),
    (ADMIN, r#"{"table":"places"}"#, "`places` has no tenant column `tenant`"),
];

async fn roles(kind: Kind) {
    let stage = Stage::shop(kind, with_policy(POLICY)).await;
    for insert in [
        r#"{"table":"customers","operation":"insert","values":[{"id":1,"name":"x","active":true},{"id":2,"name":"y","active":false}]}"#,
        r#"{"table":"orders","operation":"insert","values":[{"id":1,"customer_id":1,"total":1,"note":"red"},{"id":2,"customer_id":1,"total":2,"note":"blue"}]}"#,
    ] {
        stage.ask_as(ADMIN, insert).await.unwrap();
    }
    let rows = async |claims: &str, json: &str| {
        stage
            .ask_as(claims, json)
            .await
            .map(|answer| answer.rows.to_json())
            .map_err(|error| error.to_string())
    };
    let seen = rows(CLERK, r#"{"table":"customers"}"#).await.unwrap();
    assert_eq!(seen, r#"[{"id":1,"name":"x","active":true}]"#);
    let included =
        rows(CLERK, r#"{"table":"orders","columns":["id"],"include":{"customer":{"columns":["id"]}}}"#)
            .await
            .unwrap();
    assert_eq!(included, r#"[{"id":1,"customer":{"id":1}}]"#);
    assert_eq!(rows(CLERK, r#"{"table":"orders","operation":"count"}"#).await.unwrap(), r#"[{"count":1}]"#);
    for (claims, json, expected) in REFUSED {
        let error = rows(claims, json).await.unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    }
    let changed = stage
        .ask_as(CLERK, r#"{"table":"customers","operation":"update","all":true,"set":{"name":"n"}}"#)
        .await
        .unwrap();
    assert_eq!(changed.affected, 1, "the inactive customer does not exist for the role");
}

/// The planner's conditions are taken away by a second engine without policy; the database's remain.
async fn second_wall(kind: Kind) {
    if kind == Kind::Sqlite {
        return;
    }
    let stage = Stage::filled(kind).await;
    stage.migrate(&[("0001_shop.sql", crate::stage::SHOP), ("0002_wall.sql", "
        CREATE ROLE member_of_shop; GRANT ALL ON customers TO member_of_shop;
        ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON customers USING (tenant = current_setting('flux.claims', true)::json ->> 'tenant');")]).await.unwrap();
    let options =
        Options { database_role: DatabaseRole::OfClaims, policy: Policy::default(), ..Options::default() };
    let bare = stage.again(options).await;
    let count = query(r#"{"table":"customers","operation":"count"}"#).unwrap();
    for (claims, expected) in [("a", 3), ("b", 0), ("a", 3)] {
        let context = caller(&format!(r#"{{"tenant":"{claims}","role":"member_of_shop"}}"#));
        assert_eq!(
            bare.query(&context, &count).await.unwrap().rows.to_json(),
            format!(r#"[{{"count":{expected}}}]"#)
        );
    }
    // The role can neither read nor write the history, which is kept all the same.
    let mine = caller(r#"{"tenant":"a","role":"member_of_shop"}"#);
    let rename =
        query(r#"{"table":"customers","operation":"update","all":true,"set":{"name":"n"}}"#).unwrap();
    assert_eq!(bare.query(&mine, &rename).await.unwrap().affected, 3);
    let mut transaction = bare.begin(&mine).await.unwrap();
    assert_eq!(transaction.query(&mine, &rename).await.unwrap().affected, 3);
    assert_eq!(transaction.query(&mine, &count).await.unwrap().rows.to_json(), r#"[{"count":3}]"#);
    transaction.commit().await.unwrap();
    let other = caller(r#"{"tenant":"b","role":"member_of_shop"}"#);
    assert_eq!(bare.query(&other, &rename).await.unwrap().affected, 0);
    let context = flux_data::Context::service(crate::stage::at(0));
    assert_eq!(bare.history(&context, "customers", &1_i64.into(), 10).await.unwrap().len(), 3);
    assert_eq!(bare.query(&context, &count).await.unwrap().rows.to_json(), r#"[{"count":3}]"#);
    assert!(bare.query(&caller(r#"{"tenant":"a"}"#), &count).await.is_err(), "no role is nobody");
}
