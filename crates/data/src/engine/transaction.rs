//! Several queries that happen together or not at all.

use std::sync::Arc;
use std::time::Instant;

use super::postgres::PostgresTransaction;
use super::sqlite::SqliteTransaction;
use super::{Answer, Backend, CacheStatus, Database, Work, answer};
use crate::DataError;
use crate::cache::Kept;
use crate::context::Context;
use crate::query::Query;

/// An open transaction. Dropping it rolls back. On SQLite it is the only one; on PostgreSQL it is
/// serializable, so that a conflict shows as [`DataError::Serialization`], which is retryable.
pub struct Transaction {
    database: Database,
    inner: Inner,
    /// The tables that were written; cached answers that read them end with the commit.
    written: Vec<Arc<str>>,
}

enum Inner {
    Sqlite(SqliteTransaction),
    Postgres(Box<PostgresTransaction>),
}

impl Transaction {
    pub(super) async fn begin(database: Database, context: &Context) -> Result<Self, DataError> {
        let inner = match database.backend() {
            Backend::Sqlite(sqlite) => Inner::Sqlite(sqlite.begin(context).await?),
            Backend::Postgres(postgres) => Inner::Postgres(Box::new(postgres.begin(context).await?)),
        };
        Ok(Self { database, inner, written: Vec::new() })
    }

    /// Answers a query within the transaction. The read cache takes no part.
    ///
    /// # Errors
    /// As [`Database::query`]. A query that is refused before any work of the database leaves the
    /// transaction open; after any other error it is over.
    pub async fn query(&mut self, context: &Context, query: &Query) -> Result<Answer, DataError> {
        let began = Instant::now();
        let prepared = self.database.prepare(context, query).await?;
        let shape = prepared.shape;
        match prepared.work {
            Work::Read(work) => {
                let read = match &mut self.inner {
                    Inner::Sqlite(inner) => inner.select(context, work.statement).await,
                    Inner::Postgres(inner) => inner.select(context, work.statement).await,
                };
                let (rows, statement) = self.database.checked(read)?;
                let kept = work.finish.finish(&statement, rows, shape, self.database.cursors());
                Ok(answer(kept, CacheStatus::Off, began, shape))
            }
            Work::Change(steps, changed) => {
                let done = match &mut self.inner {
                    Inner::Sqlite(inner) => inner.change(context, *steps).await,
                    Inner::Postgres(inner) => inner.change(context, *steps).await,
                };
                let done = self.database.checked(done)?;
                self.written.extend(changed);
                let kept = Kept { rows: done.rows, affected: done.affected, cursor: None };
                Ok(answer(kept, CacheStatus::Off, began, shape))
            }
        }
    }

    /// Makes everything in it last.
    ///
    /// # Errors
    /// [`DataError::Serialization`] if another transaction was faster, [`DataError::OutcomeUnknown`] if the
    /// connection broke meanwhile, [`DataError::TransactionOver`] if it ended before.
    pub async fn commit(self) -> Result<(), DataError> {
        let done = match self.inner {
            Inner::Sqlite(inner) => inner.commit().await,
            Inner::Postgres(inner) => inner.commit().await,
        };
        // Also when it is not known whether it happened.
        self.database.shared.cache.written(&self.written);
        done
    }

    /// Undoes everything in it.
    ///
    /// # Errors
    /// If the database went away; it undoes the transaction by itself then.
    pub async fn rollback(self) -> Result<(), DataError> {
        match self.inner {
            Inner::Sqlite(inner) => inner.rollback().await,
            Inner::Postgres(inner) => inner.rollback().await,
        }
    }
}
