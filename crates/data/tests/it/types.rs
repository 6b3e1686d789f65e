//! The TypeScript declarations, judged by the type checker of Deno: what is right compiles, each mistake
//! does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flux_data::{Options, typings};

use crate::stage::{Kind, Stage};

const HEAD: &str = "import type { Db } from \"./tables.ts\";\ndeclare const db: Db;\nexport {};\n";

const RIGHT: &str = r#"
const one = await db.query({ table: "orders", where: { id: 1 } });
const total: number = one.rows[0].total; const note: string | null = one.rows[0].note;
const brought = await db.query({ table: "orders", columns: ["id"], include: { items: { columns: ["sku"] }, customer: true } });
const sku: string = brought.rows[0].items[0].sku;
const name: string | undefined = brought.rows[0].customer?.name;
const listed = await db.query({ table: "orders", include: ["items"], order: ["-total", { id: "desc" }], limit: 5, cursor: one.cursor });
const count: number = listed.rows[0].items[0].count;
const counted = await db.query({ table: "orders", operation: "count", where: { total: { gt: 5 }, or: [{ note: null }, { note: { like: "a%" } }] } });
const rows: number = counted.rows[0].count;
const added = await db.query({ table: "customers", operation: "insert", values: { tenant: "a", name: "x" }, returning: ["id"] });
const id: number = added.rows[0].id;
await db.query({ table: "customers", operation: "update", where: { id: { in: [1, 2] } }, set: { name: "x" } });
await db.query({ table: "customers", operation: "delete", all: true });
await db.query({ table: "customers", operation: "upsert", values: [{ tenant: "a", name: "x" }], onConflict: { columns: ["id"], update: ["name"] } });
await db.query({ table: "orders", operation: "aggregate", groupBy: ["customer_id"], aggregate: { s: { sum: "total" }, n: { count: "*" } }, order: "-s" });
await db.query({ table: "orders", include: { payer: { table: "customers", via: "billed_to", columns: ["name"] } } });
const done: number = await db.transaction(async (tx) => { await tx.query({ table: "orders" }); return 1; });
"#;

const WRONG: &[&str] = &[
    r#"await db.query({ table: "nope" });"#,
    r#"await db.query({ table: "orders", where: { totl: 1 } });"#,
    r#"await db.query({ table: "orders", where: { total: { gtt: 1 } } });"#,
    r#"await db.query({ table: "orders", where: { total: "x" } });"#,
    r#"await db.query({ table: "orders", columns: ["nope"] });"#,
    r#"await db.query({ table: "orders", order: "nope" });"#,
    r#"await db.query({ table: "customers", operation: "insert", values: { name: "x" } });"#,
    r#"await db.query({ table: "customers", operation: "update", set: { name: "x" } });"#,
    r#"await db.query({ table: "customers", operation: "update", set: { id: 3 }, where: { id: 1 } });"#,
    r#"const r = await db.query({ table: "orders", columns: ["id"] }); r.rows[0].total;"#,
    r#"const r = await db.query({ table: "orders", include: { items: { columns: ["sku"] } } }); r.rows[0].items[0].count;"#,
];

#[tokio::test]
async fn declarations_hold_what_they_promise() {
    let stage = Stage::shop(Kind::Sqlite, Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("tables.ts", &typings(&stage.database.schema().await.unwrap()));
    write("right.ts", &format!("{HEAD}{RIGHT}"));
    let said = check(folder.path(), &["right.ts"]);
    assert_eq!(said, "", "what is right is refused");
    let names: Vec<String> = (0..WRONG.len()).map(|number| format!("wrong{number}.ts")).collect();
    for (name, text) in names.iter().zip(WRONG) {
        write(name, &format!("{HEAD}{text}\n"));
    }
    // All in one run: each file must be named by an error.
    let said = check(folder.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, text) in names.iter().zip(WRONG) {
        assert!(said.contains(&format!("/{name}:")), "{text} is accepted: {said}");
    }
}

/// What the checker says of these files; nothing if it agrees.
fn check(folder: &Path, files: &[&str]) -> String {
    let mut command = Command::new(deno());
    command.args(["check", "--quiet", "--no-config", "--no-remote"]).args(files).current_dir(folder);
    let command = command.env("NO_COLOR", "1").env("DENO_DIR", folder).stdin(Stdio::null());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn deno() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/@deno");
    let platforms = std::fs::read_dir(&packages).into_iter().flatten().flatten();
    let found = platforms.map(|platform| platform.path().join("deno")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("this test needs Deno, none is in {}: make setup", packages.display()))
}
