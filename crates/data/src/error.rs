//! What can go wrong between a query object and its answer, each with a public code.

use flux_model::error::Failure;
use flux_model::{ErrorClass, ErrorCode};

/// Why the data engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// The query object is not one, or does not fit the schema.
    #[error("{place}: {message}")]
    Query {
        /// Where in the query object: `where.total.gtt`.
        place: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A bound was exceeded.
    #[error("{place}: {measured} is over {limit} = {max}")]
    Limit {
        /// Where: a place in the query object, or what was measured.
        place: String,
        /// The name of the constant or setting.
        limit: &'static str,
        /// What was found.
        measured: u64,
        /// What is allowed.
        max: u64,
    },
    /// The policy file does not allow this role to do it.
    #[error("{place}: {message}")]
    Forbidden {
        /// Where in the query object.
        place: String,
        /// What is not allowed, and which rule would allow it.
        message: String,
    },
    /// The cursor was not made by this project for this query and caller.
    #[error("cursor: {reason}")]
    Cursor {
        /// Why it is refused.
        reason: &'static str,
    },
    /// A constraint of the schema refused the change; nothing was changed.
    #[error("{table}: {message}")]
    Constraint {
        /// Which kind.
        kind: ConstraintKind,
        /// The table that was written.
        table: String,
        /// What the database said, without values.
        message: String,
    },
    /// The query took too long and was stopped.
    #[error("{doing} took longer than {limit} = {limit_ms} ms and was stopped")]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// The name of the constant or setting.
        limit: &'static str,
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// Another transaction was faster; the same transaction may succeed when it is run again.
    #[error("the transaction met another one ({reason}); run it again")]
    Serialization {
        /// What the database said.
        reason: String,
    },
    /// The transaction has ended: committed, rolled back, failed or timed out.
    #[error("the transaction is over: {reason}")]
    TransactionOver {
        /// How it ended.
        reason: &'static str,
    },
    /// More queries wait than the queue takes.
    #[error("{measured} queries wait for the database, at most {limit} = {max} may; try again")]
    Overloaded {
        /// The name of the constant.
        limit: &'static str,
        /// How many wait.
        measured: u64,
        /// How many may.
        max: u64,
    },
    /// The database cannot be reached, or went away.
    #[error("the database is not available: {reason}")]
    Unavailable {
        /// What was tried, and what came back.
        reason: String,
    },
    /// The connection broke while a commit was under way: it may or may not have happened.
    #[error("the connection broke during the commit: {reason}; look before trying again")]
    OutcomeUnknown {
        /// What came back.
        reason: String,
    },
    /// The database refused a statement for a reason that is not the query object's.
    #[error("the database refused the statement: {reason}")]
    Database {
        /// What it said.
        reason: String,
    },
    /// A statement of a migration failed; nothing of that migration stays.
    #[error("{file}:{line}: {message}")]
    Migration {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// What the database said.
        message: String,
    },
    /// The files and what was applied do not belong together.
    #[error("{message}")]
    MigrationChanged {
        /// Which file, what was found, what to do.
        message: String,
    },
    /// Somebody else migrates the same database.
    #[error("another process migrates this database; try again when it is done")]
    MigrationLocked,
    /// The policy file, the DSN or another setting is not valid.
    #[error("{place}: {message}")]
    Configuration {
        /// The file or setting, and the place in it.
        place: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// What kind of constraint refused a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// A row with that key is there already.
    Unique,
    /// A row that is referred to does not exist, or a row that is to go is referred to.
    ForeignKey,
    /// A value is missing.
    NotNull,
    /// A check of the table does not hold.
    Check,
}

impl DataError {
    /// The public code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Query { .. } => ErrorCode::QueryInvalid,
            Self::Limit { .. } => ErrorCode::QueryLimit,
            Self::Forbidden { .. } => ErrorCode::QueryForbidden,
            Self::Cursor { .. } => ErrorCode::CursorInvalid,
            Self::Constraint { .. } => ErrorCode::ConstraintViolated,
            Self::Timeout { .. } => ErrorCode::QueryTimeout,
            Self::Serialization { .. } => ErrorCode::TransactionConflict,
            Self::TransactionOver { .. } => ErrorCode::TransactionOver,
            Self::Overloaded { .. } => ErrorCode::Overloaded,
            Self::Unavailable { .. } => ErrorCode::DatabaseUnavailable,
            Self::OutcomeUnknown { .. } => ErrorCode::OutcomeUnknown,
            Self::Database { .. } => ErrorCode::DatabaseRefused,
            Self::Migration { .. } => ErrorCode::MigrationFailed,
            Self::MigrationChanged { .. } => ErrorCode::MigrationChanged,
            Self::MigrationLocked => ErrorCode::MigrationLocked,
            Self::Configuration { .. } => ErrorCode::ConfigurationInvalid,
        }
    }

    /// Whether the same query may succeed when it is tried again.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Serialization { .. }
            | Self::Overloaded { .. }
            | Self::Unavailable { .. }
            | Self::MigrationLocked => ErrorClass::Retryable,
            Self::Query { .. }
            | Self::Limit { .. }
            | Self::Forbidden { .. }
            | Self::Cursor { .. }
            | Self::Constraint { .. }
            | Self::Timeout { .. }
            | Self::TransactionOver { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Database { .. }
            | Self::Migration { .. }
            | Self::MigrationChanged { .. }
            | Self::Configuration { .. } => ErrorClass::Permanent,
        }
    }

    pub(crate) fn query(place: impl ToString, message: impl Into<String>) -> Self {
        Self::Query { place: place.to_string(), message: message.into() }
    }

    pub(crate) fn forbidden(place: impl ToString, message: impl Into<String>) -> Self {
        Self::Forbidden { place: place.to_string(), message: message.into() }
    }

    pub(crate) fn limit(place: impl ToString, limit: &'static str, measured: usize, max: usize) -> Self {
        Self::Limit { place: place.to_string(), limit, measured: measured as u64, max: max as u64 }
    }

    pub(crate) fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable { reason: reason.to_string() }
    }

    pub(crate) fn database(reason: impl ToString) -> Self {
        Self::Database { reason: reason.to_string() }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let message = error.to_string();
        match error.class() {
            ErrorClass::Retryable => Self::retryable(error.code(), message),
            ErrorClass::Permanent => Self::permanent(error.code(), message),
        }
    }
}
