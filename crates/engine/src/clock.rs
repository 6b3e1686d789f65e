//! Time and randomness as the engine takes them in: two small traits and the system's versions.
//!
//! Everything that is stored or compared with a stored time uses [`Clock::now`], which may jump;
//! lengths of time within the process use [`Clock::monotonic`] and [`Clock::sleep`], which do not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flux_model::Timestamp;
use futures::future::BoxFuture;

/// Where the engine gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// The time of day. May jump forwards and backwards.
    fn now(&self) -> Timestamp;

    /// How long the clock has been running. Never goes back.
    fn monotonic(&self) -> Duration;

    /// Ends after `length`, as [`Clock::monotonic`] measures it.
    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()>;
}

/// Where the engine gets random bits from, for the ids it makes.
pub trait Random: Send + Sync + 'static {
    /// 128 bits.
    fn bits(&self) -> u128;
}

/// The system's clocks, with tokio's timer.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(length))
    }
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bits(&self) -> u128 {
        let mut bytes = [0_u8; 16];
        // Without randomness no id can be made and nothing can be accepted; ids made of the
        // monotonic counter of the process would collide after a restart.
        getrandom::fill(&mut bytes).expect("the system has randomness once it has booted");
        u128::from_be_bytes(bytes)
    }
}
