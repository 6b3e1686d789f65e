//! TypeScript functions under `flux dev`: from a saved file to an answer, with a database, messages
//! and a trace.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Answer, DEV, Project, Server, eventually, flux, request};

const MIGRATION: &str = include_str!("orders.sql");

const CREATE_ORDER: &str = r#"
export default {
  input: { type: "object", required: ["customer"], properties: { customer: { type: "string" } } },
  handler: async (input: { customer: string; total?: number }, ctx) => {
    if (input.customer === "Nobody") throw ctx.error(409, "no_such_customer", "there is no such customer");
    const made = await ctx.db.query({
      table: "orders", operation: "insert",
      values: { customer: input.customer, total: input.total ?? 0 }, returning: ["id", "total"],
    });
    await ctx.queue.send("invoice", { order: made.rows[0].id });
    return made.rows[0];
  },
};
"#;

const INVOICE: &str = r#"
export default async (input: { order: number }, ctx) => {
  const found = await ctx.db.query({ table: "orders", operation: "select", where: { id: input.order } });
  ctx.log.info("invoiced", { customer: found.rows[0].customer });
  return found.rows[0];
};
"#;

/// The pinned Deno that the set-up of this repository installs.
fn deno() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/@deno");
    let packages = std::fs::read_dir(&root).unwrap_or_else(|_| panic!("Deno is missing; run `make setup`"));
    let found = packages.flatten().map(|package| package.path().join("deno")).find(|deno| deno.is_file());
    found.expect("the package of Deno holds its binary")
}

fn start(project: &Project) -> Server {
    Server::start(flux().args(DEV).env("FLUX_FUNCTIONS_DENO", deno()).current_dir(project.path()))
}

fn call(server: &Server, path: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {}", server.key);
    let headers = [("authorization", authorization.as_str()), ("x-request-id", "shop-1")];
    request(server.gateway, "POST", path, &headers, Some(body)).unwrap()
}

#[test]
fn a_function_answers_stores_and_sends() {
    let project = Project::with(&[
        ("migrations/0001_orders.sql", MIGRATION),
        ("functions/create_order.ts", CREATE_ORDER),
        ("functions/invoice.ts", INVOICE),
    ]);
    let server = start(&project);
    let made = call(&server, "/create_order", &json!({"customer": "Ada", "total": 12.5}));
    assert_eq!((made.status, made.json()), (200, json!({"id": 1, "total": 12.5})), "{:?}", made.json());
    let unknown =
        request(server.gateway, "POST", "/create_order", &[], Some(&json!({"customer": "Ada"}))).unwrap();
    assert_eq!(unknown.status, 401);
    let wrong = call(&server, "/create_order", &json!({"total": 1})).json();
    assert_eq!(
        (&wrong["code"], &wrong["errors"][0]["field"]),
        (&json!("input_invalid"), &json!("customer")),
        "{wrong}"
    );
    let refused = call(&server, "/create_order", &json!({"customer": "Nobody"}));
    assert_eq!(
        (refused.status, refused.json()["code"].clone(), refused.json()["detail"].clone()),
        (409, json!("no_such_customer"), json!("there is no such customer"))
    );

    let invoice = eventually("the invoice", || {
        let listed =
            project.json(&["executions", "--flow", "invoice", "--status", "succeeded"]).succeeded().value();
        listed["items"][0]["id"].as_str().map(str::to_owned)
    });
    let logged = project.run(&["logs", "--execution", &invoice]).succeeded().out();
    assert!(logged.contains("invoiced"), "{logged}");
    let trace = project.run(&["trace", "shop-1"]).succeeded().out();
    for part in ["create_order", "insert orders", "invoice", "select orders"] {
        assert!(trace.contains(part), "no {part} in\n{trace}");
    }
}

#[test]
fn a_saved_function_is_served_and_a_broken_one_leaves_the_last() {
    let project = Project::with(&[("functions/hello.ts", "export default () => ({ version: 1 });")]);
    let server = start(&project);
    let version = || call(&server, "/hello", &json!({})).json()["version"].clone();
    assert_eq!(version(), 1);
    project.write("functions/hello.ts", "export default () => ({ version: 2 });");
    eventually("the second version", || (version() == 2).then_some(()));
    project.write("functions/hello.ts", "export default () => ({ version: ");
    let said = server.logged(|line| line.to_string().contains("hello.ts"));
    assert!(said.to_string().contains("hello.ts"), "{said}");
    assert_eq!(version(), 2);
    project.write("functions/hello.ts", "export default () => { throw new TypeError('no luck'); };");
    let failed = eventually("the third version", || {
        let answer = call(&server, "/hello", &json!({}));
        (answer.status == 500).then(|| answer.json())
    });
    assert_eq!(failed["code"], "function_failed", "{failed}");
    assert!(failed.to_string().contains("functions/hello.ts:1"), "{failed}");
}
