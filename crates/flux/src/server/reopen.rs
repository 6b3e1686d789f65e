//! After a failed write the engine acknowledges nothing more; here the store is opened again
//! through recovery, as soon as the disk lets it. Reads are served all the while.

use std::sync::Arc;
use std::time::Duration;

use flux_engine::Engine;
use flux_store_sqlite::{Options, SqliteStore};
use tokio_util::sync::CancellationToken;

/// How to open the store again.
pub(super) struct Reopening {
    /// The store as it was opened last: it holds the lock of the data folder.
    pub(super) store: Arc<SqliteStore>,
    /// How it is opened.
    pub(super) options: Options,
    /// The pause before each attempt.
    pub(super) pause: Duration,
}

impl Reopening {
    /// Watches the engine until the server stops.
    pub(super) async fn run(self, engine: Engine, shutdown: CancellationToken) {
        let _ = shutdown.run_until_cancelled(self.watch(engine)).await;
    }

    async fn watch(mut self, engine: Engine) {
        loop {
            let reason = engine.failed().await;
            tracing::error!(reason, "the store failed: nothing is accepted until it can be opened again");
            while let Err(reason) = self.attempt(&engine).await {
                tracing::warn!(reason, "the store cannot be opened again yet");
            }
            tracing::info!("the store was opened again; executions go on");
        }
    }

    async fn attempt(&mut self, engine: &Engine) -> Result<(), String> {
        tokio::time::sleep(self.pause).await;
        let (store, options) = (Arc::clone(&self.store), self.options.clone());
        let opened = tokio::task::spawn_blocking(move || store.reopen(&options)).await;
        let opened = opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let opened = Arc::new(opened);
        engine.reopen(opened.clone()).await.map_err(|error| error.to_string())?;
        self.store = opened;
        Ok(())
    }
}
