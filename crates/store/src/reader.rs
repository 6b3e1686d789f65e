//! Queries from async code: a bounded number at a time, on blocking threads.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::store::{Store, StoreError};

/// Queries that run at the same time; more wait their turn.
pub const QUERIES_CONCURRENT_MAX: usize = 8;

/// Runs queries of a store without blocking async threads. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    store: Arc<dyn Store>,
    permits: Arc<Semaphore>,
}

impl Reader {
    /// A reader of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(QUERIES_CONCURRENT_MAX)) }
    }

    /// Runs some queries: `reader.query(move |store| store.execution(tenant, id)).await`.
    ///
    /// # Errors
    /// What the queries give; [`StoreError::Unavailable`] if they panicked or the runtime stops.
    pub async fn query<T, Q>(&self, query: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    {
        let stopped = |reason: String| StoreError::Unavailable { doing: "answering a query", reason };
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|error| stopped(error.to_string()))?;
        let store = Arc::clone(&self.store);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            query(store.as_ref())
        });
        answer.await.map_err(|error| stopped(error.to_string()))?
    }

    /// The store itself, for threads that may block.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}
