//! A thread's connection: opened when needed, opened anew after it broke, with a limit on time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::failed;
use crate::DataError;
use crate::engine::{History, Options};
use crate::history;
use crate::limits::{ANSWER_BYTES_MAX, STATEMENTS_CACHED_MAX};

/// Virtual machine instructions between two looks at the clock: about a tenth of a millisecond.
const INSTRUCTIONS_PER_LOOK: i32 = 10_000;
/// How long a connection waits for another process that writes the same file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Page cache of a connection, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

/// What one query and one transaction may take.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub query_time_max: Duration,
    pub transaction_time_max: Duration,
    pub history: History,
}

impl Bounds {
    pub(super) const fn of(options: &Options) -> Self {
        Self {
            query_time_max: options.query_time_max,
            transaction_time_max: options.transaction_time_max,
            history: options.history,
        }
    }

    /// When a query that begins now is stopped.
    pub(crate) fn deadline(&self, asked: Option<Duration>) -> Instant {
        Instant::now() + asked.map_or(self.query_time_max, |asked| asked.min(self.query_time_max))
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

/// A thread's connection.
pub(crate) struct Seat {
    path: PathBuf,
    role: Role,
    bounds: Bounds,
    connection: Option<Connection>,
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Seat {
    pub(super) fn new(path: PathBuf, role: Role, bounds: Bounds) -> Self {
        Self { path, role, bounds, connection: None, deadline: Arc::new(Mutex::new(None)) }
    }

    pub(crate) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Runs `work`; statements that run past the deadline are stopped.
    pub(super) fn within<T>(
        &mut self,
        deadline: Instant,
        work: impl FnOnce(&mut Self) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        if Instant::now() >= deadline {
            return Err(self.overdue("waiting for the database"));
        }
        *self.deadline.lock() = Some(deadline);
        let done = work(self);
        *self.deadline.lock() = None;
        if matches!(done, Err(DataError::Unavailable { .. })) {
            // The next one begins with a new connection: the file may be back by then.
            self.connection = None;
        }
        done
    }

    /// The connection, opened if it is not.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, DataError> {
        if self.connection.is_none() {
            self.connection = Some(self.open().map_err(|error| failed("opening", &error))?);
        }
        self.connection.as_mut().ok_or_else(|| DataError::unavailable("the database was closed"))
    }

    /// What an error of SQLite means, where it happened while `doing` something.
    pub(crate) fn explain(&self, table: &str, error: &rusqlite::Error) -> DataError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => self.overdue("the query"),
            _ => failed(table, error),
        }
    }

    fn overdue(&self, doing: &'static str) -> DataError {
        let limit_ms = u64::try_from(self.bounds.query_time_max.as_millis()).unwrap_or(u64::MAX);
        DataError::Timeout { doing, limit: "query_time_max or the call's timeout", limit_ms }
    }

    /// The engine's own tables, and the mode that lets readers read while one writes.
    pub(super) fn prepare_file(&mut self) -> Result<(), DataError> {
        let keeps = self.bounds.history == History::Kept;
        let prepare = |connection: &mut Connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            if keeps { connection.execute_batch(history::SQLITE) } else { Ok(()) }
        };
        prepare(self.connection()?).map_err(|error| failed("opening", &error))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let access = match self.role {
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        // A migration is a project's own text: it reaches this file and no other.
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        let bytes_max = i32::try_from(ANSWER_BYTES_MAX).unwrap_or(i32::MAX);
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes_max)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let deadline = Arc::clone(&self.deadline);
        let is_overdue = move || deadline.lock().is_some_and(|deadline| Instant::now() > deadline);
        connection.progress_handler(INSTRUCTIONS_PER_LOOK, Some(is_overdue))?;
        Ok(connection)
    }
}
