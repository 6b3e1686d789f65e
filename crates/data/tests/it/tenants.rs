//! Two tenants in one database must see, and be able to do, exactly what each would alone. Random queries
//! run against the shared database and against one that holds only the caller's rows; every answer must
//! be the same.

use fastrand::Rng;
use flux_data::{Answer, Context, DataError, Options};
use flux_model::Value;

use crate::stage::{Kind, Stage, at, caller, query, with_policy};

const POLICY: &str = r#"{"tenant":{"column":"tenant","claim":"tenant"},"shared":["countries"]}"#;
const TENANTS: [&str; 2] = ["a", "b"];
const ROWS: i64 = 24;
/// Whole states are compared after so many queries.
const QUERIES_PER_LOOK: usize = 250;

#[tokio::test]
async fn ten_thousand_queries_cross_nothing_on_sqlite() {
    for seed in 0..5 {
        assert_eq!(Fuzz::new(Kind::Sqlite, seed, with_policy(POLICY)).await.run(2_000).await, None);
    }
}

#[tokio::test]
async fn a_thousand_queries_cross_nothing_on_postgres() {
    assert_eq!(Fuzz::new(Kind::Postgres, 7, with_policy(POLICY)).await.run(1_000).await, None);
}

/// The same search finds an engine that does not know of tenants at once.
#[tokio::test]
async fn the_search_finds_what_crosses() {
    let crossed = Fuzz::new(Kind::Sqlite, 0, Options::default()).await.run(200).await;
    assert!(crossed.is_some());
}

struct Fuzz {
    random: Rng,
    shared: Stage,
    /// A database per tenant.
    alone: [Stage; 2],
    cursor: Option<String>,
    next_id: i64,
}

impl Fuzz {
    async fn new(kind: Kind, seed: u64, options: Options) -> Self {
        let alone =
            [Stage::shop(kind, with_policy(POLICY)).await, Stage::shop(kind, with_policy(POLICY)).await];
        let mut fuzz = Self {
            random: Rng::with_seed(seed),
            shared: Stage::shop(kind, options).await,
            alone,
            cursor: None,
            next_id: 1_000,
        };
        fuzz.fill().await;
        fuzz.tie().await;
        fuzz
    }

    /// Both tenants' rows: the first has even ids, the second odd ones.
    async fn fill(&mut self) {
        let country = r#"{"table":"countries","operation":"insert","values":[{"code":"de","name":"x"},{"code":"fr","name":"y"}]}"#;
        for stage in [&self.shared, &self.alone[0], &self.alone[1]] {
            stage.ask(country).await.unwrap();
        }
        for (parity, tenant) in TENANTS.into_iter().enumerate() {
            let id = TAKEN + parity as i64;
            let kept = format!(
                r#"{{"table":"customers","operation":"insert","values":{{"id":{id},"tenant":"{tenant}","name":"kept"}}}}"#
            );
            self.shared.ask(&kept).await.unwrap();
            self.alone[parity].ask(&kept).await.unwrap();
            for number in 0..ROWS {
                let id = number * 2 + parity as i64;
                let parent = self.random.i64(0..=number) * 2 + parity as i64;
                let inserts = [
                    format!(
                        r#"{{"table":"customers","operation":"insert","values":{{"id":{id},"tenant":"{tenant}","name":"n{}","email":"e{number}","country":"de"}}}}"#,
                        number % 4
                    ),
                    format!(
                        r#"{{"table":"orders","operation":"insert","values":{{"id":{id},"tenant":"{tenant}","customer_id":{parent},"total":{number},"note":"{tenant}{number}"}}}}"#
                    ),
                    format!(
                        r#"{{"table":"items","operation":"insert","values":{{"id":{id},"tenant":"{tenant}","order_id":{parent},"sku":"s{}","count":{number}}}}}"#,
                        number % 3
                    ),
                ];
                for json in &inserts {
                    self.shared.ask(json).await.unwrap();
                    self.alone[parity].ask(json).await.unwrap();
                }
            }
        }
    }

    /// Orders of each tenant that refer to a customer of the other one, as rows that were there before
    /// the engine may. Alone, that customer is a stranger's as well.
    async fn tie(&self) {
        for (parity, tenant) in TENANTS.into_iter().enumerate() {
            let others = TAKEN + 1 - parity as i64;
            let stranger = format!(
                r#"{{"table":"customers","operation":"insert","values":{{"id":{others},"tenant":"z","name":"kept"}}}}"#
            );
            self.alone[parity].ask(&stranger).await.unwrap();
            for number in 0..5 {
                let id = TAKEN + 10 + number * 2 + parity as i64;
                let order = format!(
                    r#"{{"table":"orders","operation":"insert","values":{{"id":{id},"tenant":"{tenant}","customer_id":{others},"billed_to":{others},"total":{number}}}}}"#
                );
                self.shared.ask(&order).await.unwrap();
                self.alone[parity].ask(&order).await.unwrap();
            }
        }
    }

    /// Runs so many queries; what crossed first, if anything.
    async fn run(mut self, queries: usize) -> Option<String> {
        for number in 0..queries {
            let parity = self.random.usize(0..2);
            let (json, twins) = self.query(parity);
            let claims = format!(r#"{{"tenant":"{}"}}"#, TENANTS[parity]);
            let shared = ask(&self.shared, &claims, &json).await;
            // With an id of the other tenant the shared database refuses what a database of one's own
            // would do; then only the other's rows matter.
            if twins == Twins::Same {
                let alone = ask(&self.alone[parity], &claims, &json).await;
                if told(&shared) != told(&alone) {
                    return Some(format!(
                        "{number}: {json} as {claims}: {} instead of {}",
                        told(&shared),
                        told(&alone)
                    ));
                }
            } else if let Ok(answer) = &shared {
                return Some(format!(
                    "{number}: {json} as {claims} took a row of the other tenant: {}",
                    answer.rows
                ));
            }
            self.cursor = shared.ok().and_then(|answer| answer.cursor).or_else(|| self.cursor.take());
            if number % QUERIES_PER_LOOK == QUERIES_PER_LOOK - 1 || number + 1 == queries {
                for (parity, tenant) in TENANTS.into_iter().enumerate() {
                    let (shared, alone) =
                        (state(&self.shared, tenant).await, state(&self.alone[parity], tenant).await);
                    if shared != alone {
                        return Some(format!("{number}: rows of {tenant} differ:\n{shared}\n{alone}"));
                    }
                }
            }
        }
        None
    }

    fn query(&mut self, parity: usize) -> (String, Twins) {
        match self.random.u8(0..20) {
            0..8 => (self.select(), Twins::Same),
            8 => {
                let table = self.table();
                (
                    format!(r#"{{"table":"{table}","operation":"count","where":{}}}"#, self.filter(table, 2)),
                    Twins::Same,
                )
            }
            9..11 => (self.aggregate(), Twins::Same),
            11..13 => (self.update(), Twins::Same),
            13 => {
                // A few rows at a time: later queries need some.
                let (table, one, two) = (self.table(), self.id(), self.id());
                let filter = self.filter(table, 1);
                (
                    format!(
                        r#"{{"table":"{table}","operation":"delete","where":{{"id":{{"in":[{one},{two}]}},"or":[{filter},{{"id":{one}}}]}},"returning":"*"}}"#
                    ),
                    Twins::Same,
                )
            }
            14..17 => (self.insert(parity), Twins::Same),
            17..19 => (self.upsert(parity), Twins::Same),
            _ => self.take_over(parity),
        }
    }

    fn table(&mut self) -> &'static str {
        ["customers", "orders", "items"][self.random.usize(0..3)]
    }

    /// An id that may be anybody's.
    fn id(&mut self) -> i64 {
        if self.random.u8(0..5) == 0 {
            self.random.i64(1_000..=self.next_id)
        } else {
            self.random.i64(0..ROWS * 2)
        }
    }

    fn filter(&mut self, table: &str, depth: u8) -> String {
        if depth > 0 && self.random.u8(0..3) == 0 {
            let (one, two) = (self.filter(table, depth - 1), self.filter(table, depth - 1));
            return match self.random.u8(0..4) {
                0 => format!(r#"{{"or":[{one},{two}]}}"#),
                1 => format!(r#"{{"and":[{one},{two}]}}"#),
                2 => format!(r#"{{"not":{one}}}"#),
                // What somebody would write who wants out.
                _ => format!(r#"{{"or":[{one},{{"tenant":{{"neq":"z"}}}}]}}"#),
            };
        }
        let (id, other) = (self.id(), self.id());
        match self.random.u8(0..9) {
            0 => format!(r#"{{"id":{id}}}"#),
            1 => format!(r#"{{"id":{{"in":[{id},{other}]}}}}"#),
            2 => format!(r#"{{"id":{{"nin":[{id},{other}]}}}}"#),
            3 => format!(r#"{{"id":{{"between":[{},{}]}}}}"#, id.min(other), id.max(other)),
            4 => format!(r#"{{"tenant":"{}"}}"#, TENANTS[self.random.usize(0..2)]),
            5 => r#"{"tenant":{"in":["a","b"]}}"#.to_owned(),
            6 => r#"{"tenant":{"like":"%"}}"#.to_owned(),
            7 => match table {
                "customers" => r#"{"name":{"ilike":"N1%"}}"#.to_owned(),
                "orders" => format!(r#"{{"total":{{"gte":{}}}}}"#, id / 2),
                _ => r#"{"sku":{"contains":"1"}}"#.to_owned(),
            },
            _ => match table {
                "customers" => r#"{"email":{"isNull":false}}"#.to_owned(),
                "orders" => format!(r#"{{"customer_id":{{"gt":{id}}}}}"#),
                _ => format!(r#"{{"order_id":{{"lt":{id}}}}}"#),
            },
        }
    }

    fn select(&mut self) -> String {
        let table = self.table();
        let order = self.order(table);
        let (filter, limit) = (self.filter(table, 2), self.random.u8(1..12));
        let include = self.include(table, 0);
        let start = match self.random.u8(0..4) {
            0 => format!(r#","offset":{}"#, self.random.u8(0..5)),
            1 => self.cursor.as_ref().map(|cursor| format!(r#","cursor":"{cursor}""#)).unwrap_or_default(),
            _ => String::new(),
        };
        format!(r#"{{"table":"{table}","where":{filter},"order":{order},"limit":{limit}{start}{include}}}"#)
    }

    fn order(&mut self, table: &str) -> &'static str {
        let orders = match table {
            "customers" => ["[]", r#"["name"]"#, r#"["-email"]"#],
            "orders" => ["[]", r#"["-total"]"#, r#"["note","-id"]"#],
            _ => ["[]", r#"["sku"]"#, r#"["-count","tenant"]"#],
        };
        orders[self.random.usize(0..3)]
    }

    fn include(&mut self, table: &str, depth: u8) -> String {
        if depth > 3 || self.random.u8(0..3) == 0 {
            return String::new();
        }
        let ways: &[(&str, &str, &str)] = match table {
            "customers" => &[("orders", "customer_id", "orders"), ("bills", "billed_to", "orders")],
            "orders" => &[("items", "order_id", "items"), ("customer", "customer_id", "customers")],
            _ => &[("order", "order_id", "orders")],
        };
        let (name, via, other) = ways[self.random.usize(0..ways.len())];
        let inner = self.include(other, depth + 1);
        let filter = self.filter(other, 1);
        let order = self.order(other);
        format!(
            r#","include":{{"{name}":{{"table":"{other}","via":"{via}","where":{filter},"order":{order},"limit":3{inner}}}}}"#
        )
    }

    fn aggregate(&mut self) -> String {
        let table = self.table();
        let filter = self.filter(table, 1);
        let (group, measure) = match table {
            "customers" => {
                (r#"["name"]"#, r#"{"n":{"count":"*"},"ids":{"max":"id"},"who":{"countDistinct":"tenant"}}"#)
            }
            "orders" => (r#"["tenant"]"#, r#"{"sum":{"sum":"total"},"low":{"min":"note"}}"#),
            _ => (r#"["sku","tenant"]"#, r#"{"avg":{"avg":"count"}}"#),
        };
        let group = if self.random.bool() { group } else { "[]" };
        format!(
            r#"{{"table":"{table}","operation":"aggregate","where":{filter},"groupBy":{group},"aggregate":{measure}}}"#
        )
    }

    fn update(&mut self) -> String {
        let table = self.table();
        let filter = self.filter(table, 1);
        let set = match table {
            "customers" => format!(r#"{{"name":"n{}"}}"#, self.random.u8(0..9)),
            "orders" if self.random.bool() => format!(r#"{{"customer_id":{}}}"#, self.id()),
            "orders" => format!(r#"{{"total":{},"billed_to":null}}"#, self.random.u8(0..99)),
            _ if self.random.bool() => format!(r#"{{"order_id":{}}}"#, self.id()),
            _ => format!(r#"{{"count":{}}}"#, self.random.u8(0..99)),
        };
        format!(r#"{{"table":"{table}","operation":"update","where":{filter},"set":{set},"returning":"*"}}"#)
    }

    /// A row with an id of its own, that may refer to anybody's.
    fn insert(&mut self, parity: usize) -> String {
        self.next_id += 2;
        let id = self.next_id / 2 * 2 + parity as i64;
        let parent = self.id();
        let (table, row) = match self.random.u8(0..3) {
            0 => (
                "customers",
                format!(r#"{{"id":{id},"name":"n{}","email":"e{}"}}"#, id % 7, self.random.u8(0..60)),
            ),
            1 => (
                "orders",
                format!(
                    r#"{{"id":{id},"customer_id":{parent},"total":{},"note":"x"}}"#,
                    self.random.u8(0..50)
                ),
            ),
            _ => ("items", format!(r#"{{"id":{id},"order_id":{parent},"sku":"s1","count":1}}"#)),
        };
        format!(r#"{{"table":"{table}","operation":"insert","values":{row},"returning":"*"}}"#)
    }

    /// A row that may be there: by its own id, or by an email that both tenants have.
    fn upsert(&mut self, parity: usize) -> String {
        let id = self.random.i64(0..ROWS) * 2 + parity as i64;
        let email = self.random.u8(0..30);
        match self.random.u8(0..3) {
            0 => {
                self.next_id += 2;
                let id = self.next_id / 2 * 2 + parity as i64;
                format!(
                    r#"{{"table":"customers","operation":"upsert","values":{{"id":{id},"email":"e{email}","name":"u"}},"onConflict":{{"columns":["email"],"update":["name"]}},"returning":"*"}}"#
                )
            }
            1 => format!(
                r#"{{"table":"orders","operation":"upsert","values":{{"id":{id},"customer_id":{},"total":3}},"returning":"*"}}"#,
                self.id()
            ),
            _ => format!(
                r#"{{"table":"items","operation":"upsert","values":{{"id":{id},"order_id":{},"sku":"s9","count":3}},"returning":"*"}}"#,
                self.id()
            ),
        }
    }

    /// A row by an id that the other tenant's row had from the beginning. If that row is gone by now, the
    /// row would be new: the id is one that is never deleted, because nobody else asks for it.
    fn take_over(&mut self, parity: usize) -> (String, Twins) {
        let json = |operation: &str, id: i64| {
            format!(
                r#"{{"table":"customers","operation":"{operation}","values":{{"id":{id},"name":"taken"}},"returning":"*"}}"#
            )
        };
        let id = TAKEN + 1 - parity as i64;
        (json(["insert", "upsert"][self.random.usize(0..2)], id), Twins::Differ)
    }
}

/// The rows that [`Fuzz::take_over`] is after: this one of the first tenant, the next of the second.
const TAKEN: i64 = 9_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Twins {
    Same,
    Differ,
}

async fn ask(stage: &Stage, claims: &str, json: &str) -> Result<Answer, DataError> {
    stage.database.query(&caller(claims), &query(json).unwrap()).await
}

fn told(answer: &Result<Answer, DataError>) -> String {
    match answer {
        Ok(answer) => format!("{} {} {:?}", answer.affected, answer.rows, answer.cursor),
        Err(error) => error.code().to_string(),
    }
}

/// All rows of a tenant, and what the history knows of them.
async fn state(stage: &Stage, tenant: &str) -> String {
    let mut state = String::new();
    for table in ["customers", "orders", "items"] {
        let json = format!(r#"{{"table":"{table}","where":{{"tenant":"{tenant}"}},"limit":5000}}"#);
        let rows: Value =
            stage.database.query(&Context::service(at(0)), &query(&json).unwrap()).await.unwrap().rows;
        state.push_str(&rows.to_json());
    }
    state
}
