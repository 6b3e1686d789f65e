//! What becomes of a query: the SQL of both dialects, word for word.

use flux_model::Value;

use super::{Dialect, Statement, aggregate, count, rows, write};
use crate::context::{Access, Claims};
use crate::cursor::Sealer;
use crate::plan::{Plan, Scene, plan};
use crate::policy::Policy;
use crate::query::Query;
use crate::schema::tests::shop;
use crate::shape::QueryShape;

const POLICY: &str = r#"{"tenant":{"column":"tenant","claim":"tenant"},"shared":["countries"]}"#;

fn compiled(dialect: Dialect, access: &Access, json: &str) -> Statement {
    let query = Query::parse(&Value::from_json(json.as_bytes()).unwrap()).unwrap();
    let (schema, policy) = (shop(), Policy::parse("p.json", POLICY).unwrap());
    let cursors = Sealer::new([0; 32]);
    let scene = Scene { schema: &schema, policy: &policy, access, cursors: &cursors };
    match plan(scene, &query, QueryShape::of(&query)).unwrap() {
        Plan::Rows(plan) => rows(dialect, &plan),
        Plan::Count(plan) => count(dialect, &plan),
        Plan::Aggregate(plan) => aggregate(dialect, &plan),
        Plan::Write(plan) => write(dialect, &plan).0,
    }
}

fn tenant() -> Access {
    Access::Claims(Claims::new(Value::object([("tenant", "t1".into())])))
}

fn check(json: &str, sqlite: &str, postgres: &str) {
    for (dialect, expected) in [(Dialect::Sqlite, sqlite), (Dialect::Postgres, postgres)] {
        let statement = compiled(dialect, &tenant(), json);
        assert_eq!(statement.sql, expected, "{json}");
        let mark = if dialect == Dialect::Sqlite { '?' } else { '$' };
        assert_eq!(statement.sql.matches(mark).count(), statement.parameters.len(), "{}", statement.sql);
    }
}

#[test]
fn one_row_by_its_key() {
    check(
        r#"{"table":"countries","where":{"code":"de"}}"#,
        r#"SELECT t1."code", t1."name" FROM "countries" t1 WHERE t1."code" = ?1 LIMIT 100"#,
        r#"SELECT t1."code"::text, t1."name"::text FROM "countries" t1 WHERE t1."code" = $1::text LIMIT 100"#,
    );
}

#[test]
fn the_tenant_is_in_every_table() {
    check(
        r#"{"table":"orders","columns":["id"],"where":{"or":[{"id":1},{"total":{"gt":2}}]},"include":{"items":{"columns":["sku"],"limit":2}},"limit":3}"#,
        r#"SELECT t1."id", (SELECT json_group_array(json(o)) FROM (SELECT json_object(?1, t2."sku") AS o FROM "items" t2 WHERE t2."order_id" = t1."id" AND t2."tenant" = ?2 ORDER BY t2."id" LIMIT 2)), t1."id" FROM "orders" t1 WHERE (t1."tenant" = ?3 AND (t1."id" = ?4 OR t1."total" > ?5)) ORDER BY t1."id" LIMIT 4"#,
        r#"SELECT t1."id", (SELECT coalesce(json_agg(row_to_json(t3)), '[]'::json)::text FROM (SELECT t2."sku" AS "sku" FROM "items" t2 WHERE t2."order_id" = t1."id" AND t2."tenant" = $1::text ORDER BY t2."id" LIMIT 2) t3), t1."id" FROM "orders" t1 WHERE (t1."tenant" = $2::text AND (t1."id" = $3::int8 OR t1."total" > $4::text::numeric)) ORDER BY t1."id" LIMIT 4"#,
    );
    check(
        r#"{"table":"orders","operation":"delete","where":{"id":1}}"#,
        r#"DELETE FROM "orders" WHERE ("orders"."tenant" = ?1 AND "orders"."id" = ?2) RETURNING "orders"."id", "orders"."tenant", "orders"."customer_id", "orders"."billed_to", "orders"."total", "orders"."note""#,
        r#"DELETE FROM "orders" WHERE ("orders"."tenant" = $1::text AND "orders"."id" = $2::int8) RETURNING "orders"."id", "orders"."tenant"::text, "orders"."customer_id", "orders"."billed_to", "orders"."total"::float8, "orders"."note"::text"#,
    );
}

#[test]
fn a_write_ties_no_row_to_another_tenant() {
    check(
        r#"{"table":"items","operation":"upsert","values":{"id":1,"order_id":2,"sku":"s","count":3}}"#,
        r#"INSERT INTO "items" ("id", "order_id", "sku", "count", "tenant") VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT ("id") DO UPDATE SET "order_id" = excluded."order_id", "sku" = excluded."sku", "count" = excluded."count" WHERE "items"."tenant" = ?6 RETURNING "items"."id", "items"."tenant", "items"."order_id", "items"."sku", "items"."count", ("items"."order_id" IS NULL OR EXISTS (SELECT 1 FROM "orders" t1 WHERE t1."id" = "items"."order_id" AND t1."tenant" = ?7))"#,
        r#"INSERT INTO "items" ("id", "order_id", "sku", "count", "tenant") VALUES ($1::int8, $2::int8, $3::text, $4::int8, $5::text) ON CONFLICT ("id") DO UPDATE SET "order_id" = excluded."order_id", "sku" = excluded."sku", "count" = excluded."count" WHERE "items"."tenant" = $6::text RETURNING "items"."id", "items"."tenant"::text, "items"."order_id", "items"."sku"::text, "items"."count", ("items"."order_id" IS NULL OR EXISTS (SELECT 1 FROM "orders" t1 WHERE t1."id" = "items"."order_id" AND t1."tenant" = $7::text))"#,
    );
}

#[test]
fn lists_are_one_parameter_whatever_their_length() {
    check(
        r#"{"table":"countries","columns":["name"],"where":{"code":{"in":["a","b"]}},"order":"-name","limit":1}"#,
        r#"SELECT t1."name", t1."name", t1."code" FROM "countries" t1 WHERE t1."code" IN (SELECT value FROM json_each(?1)) ORDER BY t1."name" DESC, t1."code" LIMIT 2"#,
        r#"SELECT t1."name"::text, t1."name"::text, t1."code"::text FROM "countries" t1 WHERE t1."code" = ANY($1::text[]::text[]) ORDER BY t1."name" DESC, t1."code" LIMIT 2"#,
    );
}

#[test]
fn flux_itself_is_not_a_tenant() {
    let statement = compiled(Dialect::Sqlite, &Access::Service, r#"{"table":"orders","operation":"count"}"#);
    assert_eq!(statement.sql, r#"SELECT count(*) FROM "orders" t1"#);
}
