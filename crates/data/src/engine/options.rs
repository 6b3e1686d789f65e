//! Which database, and with which bounds.

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{QUERY_TIME_DEFAULT, TRANSACTION_TIME_DEFAULT};
use crate::policy::Policy;

/// Where a project's database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An SQLite file, created when it is not there. Its folder must exist.
    Sqlite(PathBuf),
    /// A PostgreSQL database: `postgres://user:password@host:port/name?sslmode=require`.
    Postgres(String),
}

/// Bounds and rules of an engine. The default allows everything to everybody, within the limits of
/// [`crate::limits`].
#[derive(Clone)]
pub struct Options {
    /// Who may do what.
    pub policy: Policy,
    /// What cursors are sealed with: 32 random bytes of the project. Another key ends all cursors.
    pub cursor_key: [u8; 32],
    /// Threads that read an SQLite file, or connections to PostgreSQL.
    pub connections: usize,
    /// How long one query may take.
    pub query_time_max: Duration,
    /// How long a transaction may stay open.
    pub transaction_time_max: Duration,
    /// Whether queries of a caller run under a role of PostgreSQL.
    pub database_role: DatabaseRole,
    /// Certificates in PEM that vouch for the PostgreSQL server, beside the public authorities.
    pub authorities_pem: Option<String>,
    /// Whether changes leave a trace.
    pub history: History,
}

/// Whether queries of a caller run under a role of PostgreSQL, so that its row level security is a second
/// wall. The claims are always there for its policies: `current_setting('flux.claims', true)::json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseRole {
    /// Every query runs as the user of the DSN.
    OfConnection,
    /// A caller's queries run as the role that its claim `role` names. Flux's own run as the user.
    OfClaims,
}

/// Whether changes leave a trace in `_flux_mutations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Each changed row, before and after, in the same transaction.
    Kept,
    /// None.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            cursor_key: [0; 32],
            connections: 4,
            query_time_max: QUERY_TIME_DEFAULT,
            transaction_time_max: TRANSACTION_TIME_DEFAULT,
            database_role: DatabaseRole::OfConnection,
            authorities_pem: None,
            history: History::Kept,
        }
    }
}
