//! PostgreSQL: a pool of connections, each with its prepared statements and the claims it last entered
//! with.

mod bind;
mod failure;
mod run;
mod session;
mod tls;
mod transaction;

pub(crate) use failure::failed;
pub(crate) use session::Session;
pub(crate) use transaction::PostgresTransaction;

use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode, Timeouts};

use super::answer::Row;
use super::steps::{Done, Steps};
use super::{DatabaseRole, History, Options};
use crate::compile::Statement;
use crate::context::{Access, Context};
use crate::{DataError, history};
use session::{Connector, Entry};

/// A pool of connections to one database.
pub(crate) struct Postgres {
    pool: Pool<Connector>,
    bounds: Bounds,
}

/// Limits and settings that every statement of one database has.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub query_time_max: Duration,
    pub transaction_time_max: Duration,
    pub history: History,
    pub database_role: DatabaseRole,
}

/// A transaction holds one; the schema may have to be read meanwhile.
const CONNECTIONS_MIN: usize = 2;

/// What is locked while the engine's own tables are made or migrations run: a number of ours.
pub(crate) const LOCK: i64 = 0x464C_5558_4441_5441;

impl Postgres {
    /// Prepares the pool and the engine's own tables.
    pub(crate) async fn open(url: &str, options: &Options) -> Result<Self, DataError> {
        let bounds = Bounds {
            query_time_max: options.query_time_max,
            transaction_time_max: options.transaction_time_max,
            history: options.history,
            database_role: options.database_role,
        };
        let connector = Connector::new(url, options)?;
        let pool = Pool::builder(connector)
            .max_size(options.connections.max(CONNECTIONS_MIN))
            .runtime(Runtime::Tokio1);
        // The connection that was used last has everything at hand, here and on the server.
        let pool = pool.queue_mode(QueueMode::Lifo).build().map_err(DataError::unavailable)?;
        let postgres = Self { pool, bounds };
        if bounds.history == History::Kept {
            postgres.prepare_tables().await?;
        }
        Ok(postgres)
    }

    /// Runs a select. A connection that turns out to be dead is replaced once: a read can be repeated.
    pub(crate) async fn select(
        &self,
        context: &Context,
        statement: Statement,
    ) -> Result<(Vec<Row>, Statement), DataError> {
        let deadline = self.bounds.deadline(context.timeout);
        let entry = self.bounds.entry(context);
        for last in [false, true] {
            let mut session = self.session(deadline).await?;
            let done = session.bounded(deadline, self.bounds, run::select(&entry, &statement)).await;
            match done {
                Err(DataError::Unavailable { .. }) if !last => {}
                done => return done.map(|rows| (rows, statement)),
            }
        }
        Err(DataError::unavailable("the connection broke twice"))
    }

    /// Carries out a change in a transaction of its own.
    pub(crate) async fn change(&self, context: &Context, steps: Steps) -> Result<Done, DataError> {
        let deadline = self.bounds.deadline(context.timeout);
        let mut session = self.session(deadline).await?;
        let work = run::change(self.bounds, &steps, context);
        session.bounded(deadline, self.bounds, work).await
    }

    /// Begins a transaction in which all see what they would see alone, as on SQLite.
    pub(crate) async fn begin(&self, context: &Context) -> Result<PostgresTransaction, DataError> {
        let deadline = self.bounds.deadline(context.timeout);
        let session = self.session(deadline).await?;
        PostgresTransaction::begin(session, self.bounds, context).await
    }

    /// A connection, waiting for one until `deadline`.
    pub(crate) async fn session(&self, deadline: Instant) -> Result<Object<Connector>, DataError> {
        // One that is free needs no timer. Making one has its own limit.
        let at_once = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };
        let wait = Some(deadline.saturating_duration_since(Instant::now()));
        let in_time = Timeouts { wait, create: wait, recycle: wait };
        let session = match self.pool.timeout_get(&at_once).await {
            Err(PoolError::Timeout(_)) => self.pool.timeout_get(&in_time).await,
            session => session,
        };
        session.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => {
                let status = self.pool.status();
                let (measured, max) = (status.waiting as u64, status.max_size as u64);
                if status.available > 0 || status.size < status.max_size {
                    return DataError::unavailable("no connection could be made in time");
                }
                DataError::Overloaded { limit: "connections", measured, max }
            }
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                DataError::unavailable("the database was closed")
            }
        })
    }

    pub(crate) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    async fn prepare_tables(&self) -> Result<(), DataError> {
        let session = self.session(self.bounds.deadline(None)).await?;
        let exists = session.client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&history::TABLE]);
        let exists: bool =
            exists.await.and_then(|row| row.try_get(0)).map_err(|error| failed("history", &error))?;
        if exists {
            return Ok(());
        }
        // Two processes that make the same table at once would trip over each other.
        let sql = format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}); {} COMMIT;", history::POSTGRES);
        session.client.batch_execute(&sql).await.map_err(|error| failed(history::TABLE, &error))
    }
}

impl Bounds {
    /// When a query that begins now is stopped.
    pub(crate) fn deadline(&self, asked: Option<Duration>) -> Instant {
        Instant::now() + asked.map_or(self.query_time_max, |asked| asked.min(self.query_time_max))
    }

    fn entry(&self, context: &Context) -> Entry {
        let claims = match &context.access {
            Access::Service => return Entry::default(),
            Access::Claims(claims) => claims,
        };
        let role = match self.database_role {
            DatabaseRole::OfConnection => None,
            // A caller without a role runs as nobody rather than as the owner of the tables.
            DatabaseRole::OfClaims => Some(claims.role().unwrap_or("flux_no_role").to_owned()),
        };
        Entry { claims: Some(claims.to_json()), role }
    }
}
