//! The functions runtime of a server: where Deno is, which database functions see, and the version
//! that is active.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flux_data::{DataError, Database, MigrateMode, Migration, Options, Policy, Source};
use flux_egress::SecretSource;
use flux_engine::{Clock, FunctionParts, SystemClock};
use flux_functions::{Runtime, Settings, find_deno};
use sha2::{Digest, Sha256};

use crate::config;
use crate::error::CommandError;
use crate::project::Database as Declared;

/// Where bundles and the runtime's own files are, within the data folder.
const FUNCTIONS_FOLDER: &str = "functions";
/// The project's database, within the data folder, where `flux.json` names no other.
const DATABASE_FILE: &str = "project.db";
/// Who may do what with the project's tables, in the project's folder.
pub(crate) const POLICIES_FILE: &str = "policies.json";
/// The project's migrations.
const MIGRATIONS_FOLDER: &str = "migrations";
/// What functions shall run with.
#[derive(Debug, Clone)]
pub(crate) struct FunctionsSetup {
    settings: Settings,
    database: Source,
    policy: Policy,
    /// Migrations that are applied at the start.
    migrations: Vec<Migration>,
    /// What cursors are sealed with.
    cursor_key: [u8; 32],
}

impl FunctionsSetup {
    /// The setup, if there is a Deno to run functions with. `root` is the project's folder, or that of
    /// the server.
    pub(crate) fn find(
        config: &config::Config,
        root: &Path,
        declared: Option<&Declared>,
    ) -> Result<Option<Self>, CommandError> {
        let Some(deno) = config.functions.deno.clone().or_else(|| nearest_deno(root)) else {
            return Ok(None);
        };
        let (data, functions) = (&config.storage.data, &config.functions);
        let settings = Settings {
            processes_max: functions.processes_max.max(1),
            calls_per_process: functions.calls_per_process.max(1),
            queue_max: functions.queue_max,
            timeout: Duration::from_millis(functions.timeout_ms),
            memory_mb: functions.memory_mb,
            cpu: Duration::from_millis(functions.cpu_ms),
            // Packages are those of the developer who runs this, installed as they would do it.
            environment: config::whole_environment(),
            ..Settings::new(deno, data.join(FUNCTIONS_FOLDER))
        };
        let database = match declared.and_then(|declared| declared.url.clone()) {
            Some(url) => Source::Postgres(url),
            None => Source::Sqlite(data.join(DATABASE_FILE)),
        };
        let policy = policy(&root.join(POLICIES_FILE))?;
        let migrations =
            Migration::read_folder(&root.join(MIGRATIONS_FOLDER)).map_err(|error| refused(&error))?;
        // Whoever reads the folder reads the database as well.
        let cursor_key = Sha256::digest(format!("cursors of {}", data.display())).into();
        Ok(Some(Self { settings, database, policy, migrations, cursor_key }))
    }

    /// Starts the runtime and opens the database.
    pub(crate) async fn start(
        self,
        secrets: Arc<dyn SecretSource>,
    ) -> Result<(Arc<Runtime>, FunctionParts), CommandError> {
        let runtime = Runtime::start(self.settings).await.context("functions cannot be run")?;
        let runtime = Arc::new(runtime);
        let options = Options { policy: self.policy, cursor_key: self.cursor_key, ..Options::default() };
        let database = Database::open(&self.database, options).await.map_err(|error| refused(&error))?;
        let now = SystemClock::default().now();
        let migrated = database.migrate(&self.migrations, MigrateMode::Apply, now).await;
        for file in migrated.map_err(|error| refused(&error))?.applied {
            tracing::info!(file, "a migration was applied");
        }
        let parts = FunctionParts {
            runtime: Arc::clone(&runtime),
            secrets,
            database: Some(database),
            env: Arc::new(BTreeMap::new()),
            earlier: flux_engine::EarlierVersions::default(),
        };
        Ok((runtime, parts))
    }
}

fn policy(path: &Path) -> Result<Policy, CommandError> {
    if !path.is_file() {
        return Ok(Policy::default());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Policy::parse(POLICIES_FILE, &text).map_err(|error| refused(&error))
}

fn refused(error: &DataError) -> CommandError {
    CommandError::local(error.code(), error.to_string())
}

/// The nearest Deno: of the project or a folder above it, then of the `PATH`.
fn nearest_deno(root: &Path) -> Option<PathBuf> {
    let on_path =
        || config::search_path().into_iter().map(|folder| folder.join("deno")).find(|path| path.is_file());
    find_deno(root).or_else(on_path)
}
