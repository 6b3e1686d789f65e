//! The engine: a database that answers queries. It plans, compiles, runs, and looks after schema and
//! cache; what a query means is decided in [`crate::plan`], how it is written in [`crate::compile`].

mod answer;
mod options;
pub(crate) mod postgres;
mod rows;
pub(crate) mod sqlite;
pub(crate) mod steps;
mod transaction;

pub use answer::{Answer, CacheStatus};
pub use options::{DatabaseRole, History, Options, Source};
pub(crate) use rows::tables;
pub use transaction::Transaction;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::cache::{Kept, Key, ReadCache};
use crate::compile::{Dialect, Statement};
use crate::context::Context;
use crate::cursor::Sealer;
use crate::plan::{Plan, Scene, plan};
use crate::query::Query;
use crate::schema::Schema;
use crate::shape::QueryShape;
use crate::{DataError, compile, introspect};
use answer::{Page, Row, objects};
use postgres::Postgres;
use sqlite::Sqlite;
use steps::{Done, Steps};

/// How long a schema is taken to be true without looking: another process may migrate.
const SCHEMA_AGE_MAX: Duration = Duration::from_secs(60);
/// A query that does not fit the schema may be newer than it; it is read again, but not more often.
const SCHEMA_AGE_MIN: Duration = Duration::from_millis(500);

/// A project's database. Clones share everything.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Backend,
    options: Options,
    cursors: Sealer,
    schema: RwLock<Option<KnownSchema>>,
    cache: ReadCache,
}

struct KnownSchema {
    schema: Arc<Schema>,
    read_at: Instant,
}

/// Where the database is.
pub(crate) enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Database {
    /// Opens a database, and makes the table of the mutation history where it is missing.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] if it cannot be reached, [`DataError::Configuration`] if the address is
    /// not one.
    pub async fn open(source: &Source, options: Options) -> Result<Self, DataError> {
        let backend = match source {
            Source::Sqlite(path) => Backend::Sqlite(Sqlite::open(path.clone(), &options).await?),
            Source::Postgres(url) => Backend::Postgres(Postgres::open(url, &options).await?),
        };
        let cursors = Sealer::new(options.cursor_key);
        let (schema, cache) = (RwLock::new(None), ReadCache::default());
        Ok(Self { shared: Arc::new(Shared { backend, options, cursors, schema, cache }) })
    }

    /// Answers a query.
    ///
    /// # Errors
    /// Each [`DataError`] says where and what; [`DataError::class`] whether trying again may help.
    pub async fn query(&self, context: &Context, query: &Query) -> Result<Answer, DataError> {
        let began = Instant::now();
        let prepared = self.prepare(context, query).await?;
        let shape = prepared.shape;
        let work = match prepared.work {
            Work::Change(steps, changed) => {
                let done = match &self.shared.backend {
                    Backend::Sqlite(sqlite) => sqlite.change(context, *steps).await,
                    Backend::Postgres(postgres) => postgres.change(context, *steps).await,
                };
                return Ok(self.changed(self.checked(done)?, &changed, began, shape));
            }
            Work::Read(work) => work,
        };
        let Some(ttl) = query.cache else {
            let kept = self.read(context, work, shape).await?;
            return Ok(answer(kept, CacheStatus::Off, began, shape));
        };
        let key = Key::new(&work.statement, &context.access);
        if let Some(kept) = self.shared.cache.get(&key, ttl, Instant::now()) {
            return Ok(answer(kept, CacheStatus::Hit, began, shape));
        }
        let seen = self.shared.cache.look(work.tables.clone());
        let kept = self.read(context, work, shape).await?;
        self.shared.cache.put(key, kept.clone(), seen, began);
        Ok(answer(kept, CacheStatus::Miss, began, shape))
    }

    /// Begins a transaction that several queries share. Dropping it rolls back.
    ///
    /// # Errors
    /// As [`Database::query`]. On SQLite it waits until no other transaction is open.
    pub async fn begin(&self, context: &Context) -> Result<Transaction, DataError> {
        Transaction::begin(self.clone(), context).await
    }

    /// The SQL that a query becomes, without running it.
    ///
    /// # Errors
    /// As [`Database::query`], where the query is refused before any work of the database.
    pub async fn sql(&self, context: &Context, query: &Query) -> Result<String, DataError> {
        Ok(match self.prepare(context, query).await?.work {
            Work::Read(work) => work.statement.sql,
            Work::Change(steps, _) => steps.change.sql,
        })
    }

    /// The schema, as last read.
    ///
    /// # Errors
    /// If it has to be read and cannot be.
    pub async fn schema(&self) -> Result<Arc<Schema>, DataError> {
        let known =
            self.shared.schema.read().as_ref().and_then(|known| {
                (known.read_at.elapsed() < SCHEMA_AGE_MAX).then(|| Arc::clone(&known.schema))
            });
        match known {
            Some(schema) => Ok(schema),
            None => self.read_schema().await,
        }
    }

    /// Reads the schema anew. Migrating does it; somebody else's migration is noticed within a minute, and
    /// as soon as a query does not fit.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read_schema(&self) -> Result<Arc<Schema>, DataError> {
        let schema = match &self.shared.backend {
            Backend::Sqlite(sqlite) => {
                let deadline = sqlite.bounds().deadline(None);
                let read = sqlite.read(deadline, |seat| {
                    let schema = introspect::sqlite::schema(seat.connection()?);
                    schema.map_err(|error| seat.explain("the schema", &error))
                });
                read.await?
            }
            Backend::Postgres(postgres) => {
                let session = postgres.session(postgres.bounds().deadline(None)).await?;
                let schema = introspect::postgres::schema(&session.client).await;
                schema.map_err(|error| postgres::failed("the schema", &error))?
            }
        };
        let schema = Arc::new(schema);
        let known = KnownSchema { schema: Arc::clone(&schema), read_at: Instant::now() };
        *self.shared.schema.write() = Some(known);
        Ok(schema)
    }

    /// Ends every cached answer.
    pub(crate) fn forget_answers(&self) {
        self.shared.cache.clear();
    }

    /// Which database's SQL is written.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.shared.backend {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn cursors(&self) -> &Sealer {
        &self.shared.cursors
    }

    /// Plans and compiles a query; if it does not fit the schema, once more with a new one.
    async fn prepare(&self, context: &Context, query: &Query) -> Result<Prepared, DataError> {
        let schema = self.schema().await?;
        let prepared = self.prepare_with(&schema, context, query);
        match prepared {
            Err(DataError::Query { .. }) if self.schema_may_be_old() => {
                let schema = self.read_schema().await?;
                self.prepare_with(&schema, context, query)
            }
            prepared => prepared,
        }
    }

    fn prepare_with(&self, schema: &Schema, context: &Context, query: &Query) -> Result<Prepared, DataError> {
        let shape = QueryShape::of(query);
        let scene = Scene {
            schema,
            policy: &self.shared.options.policy,
            access: &context.access,
            cursors: &self.shared.cursors,
        };
        Ok(Prepared::of(self.dialect(), schema, &plan(scene, query, shape)?, shape))
    }

    async fn read(&self, context: &Context, work: ReadWork, shape: QueryShape) -> Result<Kept, DataError> {
        let read = match &self.shared.backend {
            Backend::Sqlite(sqlite) => sqlite.select(context, work.statement).await,
            Backend::Postgres(postgres) => postgres.select(context, work.statement).await,
        };
        let (rows, statement) = self.checked(read)?;
        Ok(work.finish.finish(&statement, rows, shape, &self.shared.cursors))
    }

    fn changed(&self, done: Done, changed: &[Arc<str>], began: Instant, shape: QueryShape) -> Answer {
        self.shared.cache.written(changed);
        let kept = Kept { rows: done.rows, affected: done.affected, cursor: None };
        answer(kept, CacheStatus::Off, began, shape)
    }

    fn schema_may_be_old(&self) -> bool {
        self.shared.schema.read().as_ref().is_none_or(|known| known.read_at.elapsed() > SCHEMA_AGE_MIN)
    }

    /// Forgets the schema if the database does not know what the schema has.
    fn checked<T>(&self, done: Result<T, DataError>) -> Result<T, DataError> {
        if matches!(done, Err(DataError::Database { .. })) && self.schema_may_be_old() {
            *self.shared.schema.write() = None;
        }
        done
    }
}

fn answer(kept: Kept, cache: CacheStatus, began: Instant, shape: QueryShape) -> Answer {
    let Kept { rows, affected, cursor } = kept;
    Answer { rows, affected, cursor, took: began.elapsed(), cache, shape }
}

/// A query that can be run: nothing in it borrows the schema.
struct Prepared {
    work: Work,
    shape: QueryShape,
}

enum Work {
    Read(ReadWork),
    /// A change, and the tables whose rows may change with it.
    Change(Box<Steps>, Vec<Arc<str>>),
}

struct ReadWork {
    statement: Statement,
    finish: Finish,
    tables: Vec<Arc<str>>,
}

/// What is done with the rows of a read.
enum Finish {
    Page(Page),
    Objects,
}

impl Finish {
    fn finish(&self, statement: &Statement, rows: Vec<Row>, shape: QueryShape, cursors: &Sealer) -> Kept {
        match self {
            Self::Page(page) => {
                let (rows, affected, cursor) = page.cut(&statement.outputs, rows, shape, cursors);
                Kept { rows, affected, cursor }
            }
            Self::Objects => {
                let affected = rows.len() as u64;
                Kept { rows: objects(&statement.outputs, rows), affected, cursor: None }
            }
        }
    }
}

impl Prepared {
    fn of(dialect: Dialect, schema: &Schema, plan: &Plan<'_>, shape: QueryShape) -> Self {
        let read = |statement, finish, tables| Work::Read(ReadWork { statement, finish, tables });
        let work = match plan {
            Plan::Rows(plan) => {
                read(compile::rows(dialect, plan), Finish::Page(Page::of(plan)), tables(plan))
            }
            Plan::Count(plan) => {
                read(compile::count(dialect, plan), Finish::Objects, vec![Arc::clone(&plan.table.name)])
            }
            Plan::Aggregate(plan) => {
                read(compile::aggregate(dialect, plan), Finish::Objects, vec![Arc::clone(&plan.table.name)])
            }
            Plan::Write(plan) => {
                let changed = schema.changed_with(plan.table);
                let changed = changed.into_iter().map(|table| Arc::clone(&table.name)).collect();
                Work::Change(Box::new(Steps::of(dialect, plan)), changed)
            }
        };
        Self { work, shape }
    }
}
