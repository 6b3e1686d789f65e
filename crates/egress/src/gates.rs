//! How many calls run at the same time, in all and per host.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flux_model::ErrorCode;
use flux_model::error::Failure;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::limits::Limits;
use crate::target;

/// Hosts whose gates are kept before idle ones are forgotten.
const HOSTS_KEPT_MAX: usize = 4_096;

/// Bounds calls that run at the same time.
pub(crate) struct Gates {
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<(String, u16), Arc<Semaphore>>>,
    calls_max: usize,
    per_host_max: usize,
    wait: Duration,
}

/// The right to run one call; given back when dropped.
pub(crate) struct Pass {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Gates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.calls_max)),
            hosts: Mutex::default(),
            calls_max: limits.calls_max,
            per_host_max: limits.calls_per_host_max,
            wait: limits.queue_timeout,
        }
    }

    /// Waits for a place, first at the host, so that a slow host cannot hold everybody's places.
    pub(crate) async fn enter(&self, url: &Url) -> Result<Pass, Failure> {
        let (host, port) = (target::host(url), target::port(url));
        let at_host = self.host(host, port);
        let both = async {
            let host = at_host.acquire_owned().await;
            (host, self.all.clone().acquire_owned().await)
        };
        // A semaphore that is never closed always gives a permit in the end.
        if let Ok((Ok(host), Ok(all))) = tokio::time::timeout(self.wait, both).await {
            return Ok(Pass { _host: host, _all: all });
        }
        let message = format!(
            "No free place for a call to {host}:{port} within queue_timeout = {} ms: calls_per_host_max = {}, calls_max = {}.",
            self.wait.as_millis(),
            self.per_host_max,
            self.calls_max,
        );
        Err(Failure::retryable(ErrorCode::EgressLimit, message))
    }

    fn host(&self, host: &str, port: u16) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if hosts.len() >= HOSTS_KEPT_MAX {
            // Whoever waits or runs holds a reference of its own.
            hosts.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = hosts.entry((host.to_owned(), port));
        gate.or_insert_with(|| Arc::new(Semaphore::new(self.per_host_max))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(calls_max: usize, calls_per_host_max: usize) -> Gates {
        let queue_timeout = Duration::from_secs(1);
        Gates::new(&Limits { calls_max, calls_per_host_max, queue_timeout, ..Limits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_host_or_a_full_house_refuses_after_the_wait() {
        let (a, b) = (Url::parse("http://a.example").unwrap(), Url::parse("http://b.example").unwrap());
        let gates = gates(2, 1);
        let first = gates.enter(&a).await.unwrap();
        let refused = gates.enter(&a).await.err().unwrap();
        assert_eq!(refused.code, ErrorCode::EgressLimit);
        assert!(
            refused.message.contains("a.example:80") && refused.message.contains("calls_per_host_max = 1")
        );
        let _second = gates.enter(&b).await.unwrap();
        drop(first);
        assert!(gates.enter(&a).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_hosts_are_forgotten() {
        let gates = gates(10_000, 1);
        for index in 0..HOSTS_KEPT_MAX + 5 {
            drop(gates.enter(&Url::parse(&format!("http://h{index}.example")).unwrap()).await);
        }
        assert!(gates.hosts.lock().len() <= HOSTS_KEPT_MAX);
    }
}
