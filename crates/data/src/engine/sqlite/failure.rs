//! What errors of SQLite mean.

use rusqlite::{ErrorCode, ffi};

use crate::DataError;
use crate::error::ConstraintKind;
use crate::limits::ANSWER_BYTES_MAX;

/// The error of a statement about `table`, or of `doing` something.
pub(super) fn failed(table: &str, error: &rusqlite::Error) -> DataError {
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    let kind = match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            Some(ConstraintKind::Unique)
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => {
            Some(ConstraintKind::ForeignKey)
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => Some(ConstraintKind::NotNull),
        ffi::SQLITE_CONSTRAINT_CHECK | ffi::SQLITE_CONSTRAINT_DATATYPE => Some(ConstraintKind::Check),
        _ => None,
    };
    if let Some(kind) = kind {
        return DataError::Constraint { kind, table: table.to_owned(), message: said(error) };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::TooBig) => DataError::Limit {
            place: "rows".to_owned(),
            limit: "ANSWER_BYTES_MAX",
            measured: ANSWER_BYTES_MAX as u64 + 1,
            max: ANSWER_BYTES_MAX as u64,
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            DataError::Serialization { reason: said(error) }
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::NoLargeFileSupport,
        ) => DataError::unavailable(said(error)),
        _ => DataError::database(said(error)),
    }
}

/// SQLite's message without the statement, which rusqlite adds to some.
pub(crate) fn said(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqliteFailure(_, Some(message))
    | rusqlite::Error::SqlInputError { msg: message, .. } = error
    {
        return message.clone();
    }
    error.to_string()
}
