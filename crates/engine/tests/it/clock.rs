//! A clock that stands still until a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flux_engine::{Clock, Random};
use flux_model::Timestamp;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// 2026-03-01T00:00:00Z
pub(crate) const START_MS: i64 = 1_772_323_200_000;

pub(crate) struct VirtualClock {
    now_ms: AtomicI64,
    state: Mutex<Sleeping>,
}

#[derive(Default)]
struct Sleeping {
    monotonic: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl VirtualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now_ms: AtomicI64::new(START_MS), state: Mutex::default() })
    }

    /// Time passes.
    pub(crate) fn advance(&self, length: Duration) {
        self.now_ms.fetch_add(length.as_millis() as i64, Ordering::SeqCst);
        self.run(length);
    }

    /// The time of day is set; nothing else notices.
    pub(crate) fn set(&self, now: Timestamp) {
        self.now_ms.store(now.millis(), Ordering::SeqCst);
    }

    /// The process runs on while the time of day stands still.
    pub(crate) fn run(&self, length: Duration) {
        let mut state = self.state.lock().unwrap();
        state.monotonic += length;
        let now = state.monotonic;
        for (_, sleeper) in state.sleepers.extract_if(.., |(due, _)| *due <= now) {
            let _ = sleeper.send(());
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap().monotonic
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        if length.is_zero() {
            return Box::pin(tokio::task::yield_now());
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.state.lock().unwrap();
        let due = state.monotonic + length;
        state.sleepers.retain(|(_, sleeper)| !sleeper.is_closed());
        state.sleepers.push((due, wake));
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}

/// Counts.
#[derive(Default)]
pub(crate) struct Counting(AtomicI64);

impl Random for Counting {
    fn bits(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst).unsigned_abs())
    }
}
