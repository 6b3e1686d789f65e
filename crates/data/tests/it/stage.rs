//! A database with a schema and some rows, and short ways to ask it.

use flux_data::{
    Answer, Claims, Context, DataError, Database, MigrateMode, Migration, Options, Policy, Query, Source,
};
use flux_model::{Timestamp, Value};

use crate::server::Server;

/// Which database a case runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Customers, their orders, items of orders, countries for everybody. `{…}` differs between databases.
pub(crate) const SHOP: &str = "
CREATE TABLE countries (code TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE customers (
    id {id}, tenant TEXT NOT NULL, name TEXT NOT NULL, email TEXT, active BOOLEAN NOT NULL DEFAULT {true},
    country TEXT REFERENCES countries (code), data {json}, joined {time}, photo {bytes},
    score DOUBLE PRECISION,
    UNIQUE (tenant, email)
);
CREATE TABLE orders (
    id {id}, tenant TEXT NOT NULL, customer_id BIGINT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    billed_to BIGINT REFERENCES customers (id), total NUMERIC(12, 2) NOT NULL CHECK (total >= 0), note TEXT
);
CREATE TABLE items (
    id {id}, tenant TEXT NOT NULL, order_id BIGINT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    sku TEXT NOT NULL, count INTEGER NOT NULL
);
CREATE TABLE places (a BIGINT NOT NULL, b TEXT NOT NULL, label TEXT, PRIMARY KEY (a, b));
CREATE VIEW totals AS SELECT tenant, sum(total) AS total FROM orders GROUP BY tenant;
";

pub(crate) struct Stage {
    pub kind: Kind,
    pub database: Database,
    pub source: Source,
    /// The folder of an SQLite file.
    _folder: Option<tempfile::TempDir>,
}

impl Stage {
    /// An empty database.
    pub(crate) async fn empty(kind: Kind, options: Options) -> Self {
        let (source, folder) = match kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                (Source::Sqlite(folder.path().join("project.db")), Some(folder))
            }
            Kind::Postgres => (Source::Postgres(Server::shared().database()), None),
        };
        let database = Database::open(&source, options).await.unwrap();
        Self { kind, database, source, _folder: folder }
    }

    /// The shop without rows.
    pub(crate) async fn shop(kind: Kind, options: Options) -> Self {
        let stage = Self::empty(kind, options).await;
        stage.migrate(&[("0001_shop.sql", SHOP)]).await.unwrap();
        stage
    }

    /// The shop with three customers, four orders and five items of one tenant.
    pub(crate) async fn filled(kind: Kind) -> Self {
        let stage = Self::shop(kind, Options::default()).await;
        for insert in [
            r#"{"table":"countries","operation":"insert","values":[{"code":"de","name":"Germany"},{"code":"fr","name":"France"}]}"#,
            r#"{"table":"customers","operation":"insert","values":[
                {"id":1,"tenant":"a","name":"Ada","email":"ada@example.com","country":"de","active":true,"score":1.5,
                 "data":{"tags":["vip","new"],"n":1},"joined":"2026-01-02T03:04:05+00:00","photo":"00ff"},
                {"id":2,"tenant":"a","name":"Bob","email":null,"country":"fr","active":false,"score":null,
                 "data":["x",1,true],"joined":null,"photo":null},
                {"id":3,"tenant":"a","name":"Cyd_%","email":"cyd@example.com","country":null,"active":true,"score":-0.25,
                 "data":null,"joined":"2025-06-01T00:00:00+00:00","photo":null}]}"#,
            r#"{"table":"orders","operation":"insert","values":[
                {"id":10,"tenant":"a","customer_id":1,"billed_to":2,"total":12.5,"note":"first"},
                {"id":11,"tenant":"a","customer_id":1,"billed_to":null,"total":100,"note":null},
                {"id":12,"tenant":"a","customer_id":2,"billed_to":null,"total":0,"note":"b"},
                {"id":13,"tenant":"a","customer_id":3,"billed_to":1,"total":7.25,"note":null}]}"#,
            r#"{"table":"items","operation":"insert","values":[
                {"id":100,"tenant":"a","order_id":10,"sku":"s1","count":2},
                {"id":101,"tenant":"a","order_id":10,"sku":"s2","count":1},
                {"id":102,"tenant":"a","order_id":11,"sku":"s1","count":5},
                {"id":103,"tenant":"a","order_id":11,"sku":"s3","count":1},
                {"id":104,"tenant":"a","order_id":13,"sku":"s2","count":9}]}"#,
        ] {
            stage.ask(insert).await.unwrap();
        }
        stage
    }

    /// Another engine on the same database.
    pub(crate) async fn again(&self, options: Options) -> Database {
        Database::open(&self.source, options).await.unwrap()
    }

    pub(crate) async fn migrate(&self, files: &[(&str, &str)]) -> Result<Vec<String>, DataError> {
        let files = files.iter().map(|(name, sql)| self.migration(name, sql)).collect::<Vec<_>>();
        let report = self.database.migrate(&files, MigrateMode::Apply, at(0)).await?;
        Ok(report.applied)
    }

    pub(crate) fn migration(&self, name: &str, sql: &str) -> Migration {
        let words = match self.kind {
            Kind::Sqlite => ["INTEGER PRIMARY KEY", "JSON", "DATETIME", "BLOB", "1"],
            Kind::Postgres => [
                "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                "JSONB",
                "TIMESTAMPTZ",
                "BYTEA",
                "true",
            ],
        };
        let mut sql = sql.to_owned();
        for (place, word) in ["{id}", "{json}", "{time}", "{bytes}", "{true}"].into_iter().zip(words) {
            sql = sql.replace(place, word);
        }
        Migration { name: name.to_owned(), sql }
    }

    /// Asks as Flux itself.
    pub(crate) async fn ask(&self, json: &str) -> Result<Answer, DataError> {
        self.database.query(&Context::service(at(1)), &query(json)?).await
    }

    /// Asks as a caller.
    pub(crate) async fn ask_as(&self, claims: &str, json: &str) -> Result<Answer, DataError> {
        self.database.query(&caller(claims), &query(json)?).await
    }

    /// Asks and compares the rows with JSON.
    pub(crate) async fn check(&self, json: &str, expected: &str) {
        let rows = self.ask(json).await.unwrap_or_else(|error| panic!("{json}: {error}")).rows;
        let expected = Value::from_json(expected.as_bytes()).unwrap();
        assert_eq!(normal(&rows), normal(&expected), "{json}");
    }

    /// Asks and compares the error.
    pub(crate) async fn refuse(&self, json: &str, expected: &str) {
        match self.ask(json).await {
            Err(error) => assert!(error.to_string().contains(expected), "{json}: {error}"),
            Ok(answer) => panic!("{json} was answered: {}", answer.rows),
        }
    }
}

/// Numbers that are equal look the same: SQLite keeps `100` of a NUMERIC column as an integer.
pub(crate) fn normal(value: &Value) -> serde_json::Value {
    normalised(value.to_serde())
}

fn normalised(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) => serde_json::json!(number.as_f64()),
        serde_json::Value::Array(items) => items.into_iter().map(normalised).collect(),
        serde_json::Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, normalised(value))).collect()
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => value,
    }
}

pub(crate) fn query(json: &str) -> Result<Query, DataError> {
    Query::parse(&Value::from_json(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}")))
}

pub(crate) fn caller(claims: &str) -> Context {
    Context::of(Claims::new(Value::from_json(claims.as_bytes()).unwrap()), at(2))
}

pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn with_policy(json: &str) -> Options {
    Options { policy: Policy::parse("policies.json", json).unwrap(), ..Options::default() }
}

/// Runs each case on both databases.
macro_rules! on_both {
    ($($case:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::stage::Kind::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::stage::Kind::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both;
