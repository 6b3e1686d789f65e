//! Migrations: SQL files of the project, applied once each, in the order of their names, with a record of
//! what was applied. A file that was applied is never changed.

mod files;
mod run;
mod script;
mod state;

pub use files::Migration;
pub use state::{MigrationState, MigrationStatus};

use flux_model::Timestamp;

use crate::engine::Database;
use crate::{Context, DataError};

/// Whether migrating changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrateMode {
    /// Pending migrations are applied.
    Apply,
    /// Pending migrations are applied and then undone, all in one transaction: it shows that they would
    /// work. A migration that cannot run in a transaction is only read.
    DryRun,
}

/// What migrating did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// The names of the files that were applied, or would be.
    pub applied: Vec<String>,
    /// How many were applied before.
    pub earlier: usize,
}

impl Database {
    /// What is applied, pending, changed or missing, in the order of names.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn migration_status(&self, files: &[Migration]) -> Result<Vec<MigrationStatus>, DataError> {
        Ok(state::compare(files, &run::recorded(self).await?))
    }

    /// Applies what is pending. Each file is one transaction where the database can; on failure the files
    /// before it stay applied.
    ///
    /// # Errors
    /// [`DataError::Migration`] with file and line; [`DataError::MigrationChanged`] if a file that was
    /// applied is not what it was, or a new one comes before it; [`DataError::MigrationLocked`] if somebody
    /// else migrates.
    pub async fn migrate(
        &self,
        files: &[Migration],
        mode: MigrateMode,
        at: Timestamp,
    ) -> Result<MigrationReport, DataError> {
        let done = run::migrate(self, files, mode, &Context::service(at)).await;
        // Also after a failure: the files before it were applied.
        self.forget_answers();
        self.read_schema().await?;
        done
    }
}
