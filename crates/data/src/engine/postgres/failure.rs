//! What errors of PostgreSQL mean.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::DataError;
use crate::error::ConstraintKind;

/// The error of a statement about `table`, or of `doing` something.
pub(crate) fn failed(table: &str, error: &Error) -> DataError {
    let Some(refused) = error.as_db_error() else {
        let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
        return match error.is_closed()
            || std::error::Error::source(error).is_some_and(|why| why.is::<std::io::Error>())
        {
            true => DataError::unavailable(format!("{error}{why}")),
            false => DataError::database(format!("{error}{why}")),
        };
    };
    let state = refused.code();
    let constraint = |kind| DataError::Constraint { kind, table: table.to_owned(), message: said(refused) };
    match state {
        &SqlState::UNIQUE_VIOLATION | &SqlState::EXCLUSION_VIOLATION => constraint(ConstraintKind::Unique),
        &SqlState::FOREIGN_KEY_VIOLATION | &SqlState::RESTRICT_VIOLATION => {
            constraint(ConstraintKind::ForeignKey)
        }
        &SqlState::NOT_NULL_VIOLATION => constraint(ConstraintKind::NotNull),
        &SqlState::CHECK_VIOLATION => constraint(ConstraintKind::Check),
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE => DataError::Serialization { reason: said(refused) },
        &SqlState::QUERY_CANCELED => {
            DataError::Timeout { doing: "the query", limit: "query_time_max", limit_ms: 0 }
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => DataError::forbidden(table, said(refused)),
        _ => by_class(table, refused),
    }
}

fn by_class(table: &str, refused: &DbError) -> DataError {
    match refused.code().code().get(..2) {
        // Data exceptions: a value that is no date, a number that is out of range.
        Some("22") => DataError::query(table, said(refused)),
        // Connections, shutting down, starting up, too many of them.
        Some("08" | "57" | "53") => DataError::unavailable(said(refused)),
        Some(_) | None => DataError::database(said(refused)),
    }
}

/// The server's message without its detail, which quotes rows.
fn said(refused: &DbError) -> String {
    format!("{} ({})", refused.message(), refused.code().code())
}
