//! Migrations: in order, once, whole, with the place of what is wrong.

use flux_data::{MigrateMode, MigrationState, Options};

use crate::stage::{Kind, Stage, at, on_both};

on_both! {
    in_order_and_once
    failures_name_their_line
    dry_runs_change_nothing
    changed_files_are_found
    two_at_once
    tables_are_rebuilt
}

const ONE: (&str, &str) =
    ("0001_one.sql", "CREATE TABLE one (id {id}, name TEXT);\nINSERT INTO one (id, name) VALUES (1, 'a;b');");
const TWO: (&str, &str) = ("0002_two.sql", "-- more\nALTER TABLE one ADD COLUMN more TEXT;");

async fn in_order_and_once(kind: Kind) {
    let stage = Stage::empty(kind, Options::default()).await;
    assert_eq!(stage.migrate(&[ONE]).await.unwrap(), ["0001_one.sql"]);
    stage.check(r#"{"table":"one"}"#, r#"[{"id":1,"name":"a;b"}]"#).await;
    assert_eq!(stage.migrate(&[ONE, TWO]).await.unwrap(), ["0002_two.sql"]);
    assert_eq!(stage.migrate(&[ONE, TWO]).await.unwrap(), [""; 0]);
    // The schema is known anew at once.
    stage.check(r#"{"table":"one","columns":["more"]}"#, r#"[{"more":null}]"#).await;
    let files = [stage.migration(ONE.0, ONE.1), stage.migration(TWO.0, TWO.1)];
    let status = stage.database.migration_status(&files).await.unwrap();
    assert!(status.iter().all(|status| status.state == MigrationState::Applied(at(0))), "{status:?}");
}

async fn failures_name_their_line(kind: Kind) {
    let stage = Stage::empty(kind, Options::default()).await;
    let check = async |sql: &str, expected: &str| {
        let error = stage.migrate(&[ONE, ("0002_bad.sql", sql)]).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check("CREATE TABLE two (id INTEGER);\n\nSELEC 1;", "0002_bad.sql:3: ").await;
    check(
        "CREATE TABLE two (id INTEGER);\nINSERT INTO two\n  (id, nope) VALUES (1, 2);",
        by_kind(kind, "0002_bad.sql:2: ", "0002_bad.sql:3: "),
    )
    .await;
    check("\n\nINSERT INTO one (id) VALUES (1);", "0002_bad.sql:3: ").await;
    check("COMMIT;", "0002_bad.sql:1: each migration is a transaction already").await;
    check("ATTACH 'x' AS y;", "0002_bad.sql:1: a migration reaches its own database only").await;
    // Nothing of the failed one stays, the one before does.
    stage.refuse(r#"{"table":"two"}"#, "unknown table `two`").await;
    stage.check(r#"{"table":"one","operation":"count"}"#, r#"[{"count":1}]"#).await;
    if kind == Kind::Postgres {
        check(
            "CREATE INDEX CONCURRENTLY i ON one (name); SELECT 1;",
            "0002_bad.sql:1: this statement cannot run",
        )
        .await;
        let alone = ("0002_index.sql", "CREATE INDEX CONCURRENTLY i ON one (name);");
        assert_eq!(stage.migrate(&[ONE, alone]).await.unwrap(), ["0002_index.sql"]);
    }
}

/// SQLite does not say where in a statement a column is unknown.
fn by_kind(kind: Kind, sqlite: &'static str, postgres: &'static str) -> &'static str {
    if kind == Kind::Sqlite { sqlite } else { postgres }
}

async fn dry_runs_change_nothing(kind: Kind) {
    let stage = Stage::empty(kind, Options::default()).await;
    let files = [stage.migration(ONE.0, ONE.1), stage.migration(TWO.0, TWO.1)];
    let report = stage.database.migrate(&files, MigrateMode::DryRun, at(0)).await.unwrap();
    assert_eq!(report.applied, ["0001_one.sql", "0002_two.sql"]);
    stage.refuse(r#"{"table":"one"}"#, "unknown table").await;
    let status = stage.database.migration_status(&files).await.unwrap();
    assert!(status.iter().all(|status| status.state == MigrationState::Pending), "{status:?}");
    let bad = [files[0].clone(), stage.migration("0002.sql", "DROP TABLE nope;")];
    assert!(stage.database.migrate(&bad, MigrateMode::DryRun, at(0)).await.is_err());
    stage.refuse(r#"{"table":"one"}"#, "unknown table").await;
}

async fn changed_files_are_found(kind: Kind) {
    let stage = Stage::empty(kind, Options::default()).await;
    stage.migrate(&[ONE, TWO]).await.unwrap();
    let check = async |files: &[(&str, &str)], expected: &str| {
        let error = stage.migrate(files).await.unwrap_err();
        assert_eq!(error.code().as_str(), "migration_changed");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[("0001_one.sql", "CREATE TABLE other (id INTEGER);"), TWO], "0001_one.sql was applied at").await;
    check(&[TWO], "0001_one.sql was applied at").await;
    check(&[ONE, ("0001_x.sql", "SELECT 1;"), TWO], "0001_x.sql is new, but comes before").await;
}

async fn two_at_once(kind: Kind) {
    let stage = Stage::empty(kind, Options::default()).await;
    let other = stage.again(Options::default()).await;
    let files = [stage.migration(ONE.0, ONE.1), stage.migration(TWO.0, TWO.1)];
    let (one, two) = tokio::join!(
        stage.database.migrate(&files, MigrateMode::Apply, at(0)),
        other.migrate(&files, MigrateMode::Apply, at(0))
    );
    let applied = |report: &Result<flux_data::MigrationReport, flux_data::DataError>| match report {
        Ok(report) => report.applied.len(),
        Err(error) => {
            assert_eq!(error.code().as_str(), "migration_locked", "{error}");
            0
        }
    };
    assert_eq!(applied(&one) + applied(&two), 2);
    stage.check(r#"{"table":"one","operation":"count"}"#, r#"[{"count":1}]"#).await;
}

/// The way SQLite changes a column: a new table takes the old one's place, references and all.
async fn tables_are_rebuilt(kind: Kind) {
    if kind == Kind::Postgres {
        return;
    }
    let stage = Stage::empty(kind, Options::default()).await;
    let base = ("1.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a (id) ON DELETE CASCADE);
        INSERT INTO a VALUES (1); INSERT INTO b VALUES (1, 1);
        CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET a_id = NULL WHERE id = -1; DELETE FROM b WHERE id = -2; END;");
    stage.migrate(&[base]).await.unwrap();
    let rebuild = (
        "2.sql",
        "CREATE TABLE a2 (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO a2 (id) SELECT id FROM a; DROP TABLE a; ALTER TABLE a2 RENAME TO a;",
    );
    stage.migrate(&[base, rebuild]).await.unwrap();
    stage
        .check(r#"{"table":"b","include":{"a":true}}"#, r#"[{"id":1,"a_id":1,"a":{"id":1,"x":null}}]"#)
        .await;
    let broken = ("3.sql", "DELETE FROM a;");
    let error = stage.migrate(&[base, rebuild, broken]).await.unwrap_err().to_string();
    assert_eq!(error, "3.sql:1: leaves 1 rows of b that refer to no row of a");
    stage.refuse(r#"{"table":"b","operation":"insert","values":{"a_id":9}}"#, "FOREIGN KEY").await;
}
