//! What planning refuses before the database is asked, on a schema that no database has.

use flux_model::Value;

use super::{Scene, plan};
use crate::context::{Access, Claims};
use crate::cursor::Sealer;
use crate::policy::Policy;
use crate::query::Query;
use crate::schema::tests::shop;
use crate::shape::QueryShape;

fn check(policy: &str, claims: &str, json: &str, expected: &str) {
    let query = Query::parse(&Value::from_json(json.as_bytes()).unwrap()).unwrap();
    let (schema, policy) = (shop(), Policy::parse("p.json", policy).unwrap());
    let access = Access::Claims(Claims::new(Value::from_json(claims.as_bytes()).unwrap()));
    let cursors = Sealer::new([0; 32]);
    let scene = Scene { schema: &schema, policy: &policy, access: &access, cursors: &cursors };
    let refused = plan(scene, &query, QueryShape::of(&query)).map(|plan| format!("{plan:?}"));
    let refused = refused.unwrap_or_else(|error| error.to_string());
    assert!(refused.contains(expected), "{json}: {refused}");
}

#[test]
fn a_table_without_the_tenants_column_is_closed_unless_shared() {
    let (closed, shared) = (
        r#"{"tenant":{"column":"tenant","claim":"org"}}"#,
        r#"{"tenant":{"column":"tenant","claim":"org"},"shared":["countries"]}"#,
    );
    let query = r#"{"table":"countries"}"#;
    check(closed, r#"{"org":"a"}"#, query, "query: `countries` has no tenant column `tenant`");
    check(shared, r#"{"org":"a"}"#, query, "Rows(");
    check(shared, r#"{}"#, r#"{"table":"orders"}"#, "the caller has no claim `org`");
    check(shared, r#"{"org":null}"#, r#"{"table":"orders"}"#, "the caller has no claim `org`");
    check(shared, r#"{"org":7}"#, r#"{"table":"orders"}"#, "claims.org: expected a text");
}

#[test]
fn claims_stand_only_in_the_policy_file() {
    let policy = r#"{"roles":{"m":{"orders":{"operations":["select"],"rows":{"note":"$claims.sub"}}}}}"#;
    check(policy, r#"{"role":"m","sub":"u1"}"#, r#"{"table":"orders"}"#, r#"operand: Eq("u1")"#);
    let client = r#"{"table":"orders","where":{"note":"$claims.sub"}}"#;
    check(policy, r#"{"role":"m","sub":"u1"}"#, client, r#"operand: Eq("$claims.sub")"#);
}

#[test]
fn costs_add_up() {
    // Four includes in each other cost 10, 20, 40 and 80, six below them 160 each.
    let item = r#"{"table":"items","limit":1}"#;
    let mut level = format!(r#"{{"a":{item},"b":{item},"c":{item},"d":{item},"e":{item},"f":{item}}}"#);
    for table in ["orders", "items", "orders", "items"] {
        level = format!(r#"{{"x":{{"table":"{table}","limit":1,"include":{level}}}}}"#);
    }
    check(
        "{}",
        "{}",
        &format!(r#"{{"table":"orders","include":{level}}}"#),
        "cost: 1111 is over QUERY_COST_MAX = 1000",
    );
}
