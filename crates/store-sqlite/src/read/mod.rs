//! Reading: a few read-only connections, each query in one snapshot and within a time limit.

pub(crate) mod access;
pub(crate) mod check;
pub(crate) mod executions;
pub(crate) mod flows;
pub(crate) mod journal;
pub(crate) mod reviews;
pub(crate) mod timers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_store::StoreError;
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode, Row};

use crate::{Options, connection};

/// Virtual machine instructions between two looks at the clock: about a tenth of a millisecond.
const INSTRUCTIONS_PER_LOOK: i32 = 10_000;

/// The read-only connections of a store.
pub(crate) struct Readers {
    path: PathBuf,
    connections_max: usize,
    query_ms_max: u64,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<ReadConnection>,
    open: usize,
}

struct ReadConnection {
    connection: Connection,
    /// When the running query is stopped.
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, options: &Options) -> Self {
        Self {
            path,
            connections_max: options.readers.max(1),
            query_ms_max: options.query_ms_max,
            pool: Mutex::new(Pool::default()),
            returned: Condvar::new(),
        }
    }

    /// Answers a query within the time limit.
    pub(crate) fn query<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.run(Some(Instant::now() + Duration::from_millis(self.query_ms_max)), read)
    }

    /// Answers a query of an operator, however long it takes.
    pub(crate) fn query_unbounded<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.run(None, read)
    }

    fn run<T>(
        &self,
        deadline: Option<Instant>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let borrowed = Borrowed { readers: self, reader: Some(self.take()?) };
        let reader = borrowed.reader.as_ref().expect("it is there until dropped");
        *reader.deadline.lock() = deadline;
        let answer = reader.connection.unchecked_transaction().and_then(|snapshot| read(&snapshot));
        answer.map_err(|error| self.explain(&error))
    }

    /// Bytes of the write-ahead log.
    pub(crate) fn log_bytes(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |metadata| metadata.len())
    }

    fn take(&self) -> Result<ReadConnection, StoreError> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(reader) = pool.idle.pop() {
                return Ok(reader);
            }
            if pool.open < self.connections_max {
                let reader = self.open().map_err(|error| self.explain(&error))?;
                pool.open += 1;
                return Ok(reader);
            }
            self.returned.wait(&mut pool);
        }
    }

    fn open(&self) -> rusqlite::Result<ReadConnection> {
        let mut connection = connection::open_reader(&self.path)?;
        let deadline = Arc::new(Mutex::new(None));
        let watched = Arc::clone(&deadline);
        let overdue = move || watched.lock().is_some_and(|deadline| Instant::now() > deadline);
        connection.progress_handler(INSTRUCTIONS_PER_LOOK, Some(overdue))?;
        Ok(ReadConnection { connection, deadline })
    }

    fn explain(&self, error: &rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {
                StoreError::TooSlow { limit_ms: self.query_ms_max, limit: "QUERY_MS_MAX" }
            }
            Some(_) => StoreError::Unavailable { doing: "answering a query", reason: error.to_string() },
            None => StoreError::Undecodable { reason: error.to_string() },
        }
    }
}

/// Gives its connection back, also when a query panics.
struct Borrowed<'a> {
    readers: &'a Readers,
    reader: Option<ReadConnection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.readers.pool.lock().idle.extend(self.reader.take());
        self.readers.returned.notify_one();
    }
}

/// All rows of a cached query.
fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
}

/// The only row of a cached query, if there is one.
fn row<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    use rusqlite::OptionalExtension;
    connection.prepare_cached(sql)?.query_row(parameters, read).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_query_is_stopped_and_the_connection_serves_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { query_ms_max: 20, readers: 1, ..Options::default() };
        let store = crate::SqliteStore::open(folder.path(), &options).unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let slow = store.readers.query(|connection| connection.query_row(endless, [], |_| Ok(())));
        assert_eq!(slow, Err(StoreError::TooSlow { limit_ms: 20, limit: "QUERY_MS_MAX" }));
        let quick = store.readers.query(|connection| connection.query_row("SELECT 7", [], |row| row.get(0)));
        assert_eq!(quick, Ok(7));
    }

    #[test]
    fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(folder.path(), &Options::default()).unwrap();
        let write = |connection: &Connection| connection.execute("DELETE FROM executions", []);
        assert!(matches!(store.readers.query(write), Err(StoreError::Unavailable { .. })));
    }
}
