//! How often a caller may call a function: the generic cell rate algorithm (ITU-T I.371), one
//! number per caller and function.
//!
//! Kept in memory, so a restart lets everybody begin anew; what was accepted is unaffected. The
//! time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use flux_triggers::function::RateLimit;
use parking_lot::Mutex;

/// Callers that are remembered before those whose burst is whole again are forgotten.
const CALLERS_MAX: usize = 100_000;

/// Counts calls by key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    callers: Mutex<Callers<K>>,
}

#[derive(Debug)]
struct Callers<K> {
    /// When the burst of a key is whole again: the theoretical arrival time.
    whole_at: HashMap<K, Duration>,
    /// How many there are when those who are whole again are forgotten. Twice what the last time left,
    /// so that the work is shared by the calls in between.
    forget_at: usize,
}

/// What a limit says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the call is let through.
    pub(crate) pass: Pass,
    /// Calls that may follow at once.
    pub(crate) remaining: u32,
    /// How long until all calls of the burst may be made again.
    pub(crate) whole_in: Duration,
}

/// Whether a call is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Yes,
    /// The next one is let through after this long.
    After(Duration),
}

impl<K> Default for Limiter<K> {
    fn default() -> Self {
        let callers = Callers { whole_at: HashMap::new(), forget_at: CALLERS_MAX };
        Self { callers: Mutex::new(callers) }
    }
}

impl<K: Eq + Hash> Limiter<K> {
    /// Counts a call of `key` at `now`, a time since some fixed moment. A call that is not let
    /// through does not count.
    pub(crate) fn count(&self, key: K, limit: RateLimit, now: Duration) -> Verdict {
        let burst = limit.burst.unwrap_or(limit.limit).max(1);
        let pause = Duration::from_millis(limit.period_ms) / limit.limit.max(1);
        let mut callers = self.callers.lock();
        callers.forget(now);
        let before = callers.whole_at.get(&key).copied().unwrap_or_default().max(now);
        let after = before + pause;
        let room = pause * burst;
        let too_early = (after - now).saturating_sub(room);
        if !too_early.is_zero() {
            return Verdict { pass: Pass::After(too_early), remaining: 0, whole_in: before - now };
        }
        callers.whole_at.insert(key, after);
        let left = (room - (after - now)).as_nanos().checked_div(pause.as_nanos()).unwrap_or_default();
        let remaining = u32::try_from(left).unwrap_or(u32::MAX).min(burst - 1);
        Verdict { pass: Pass::Yes, remaining, whole_in: after - now }
    }
}

impl<K: Eq + Hash> Callers<K> {
    fn forget(&mut self, now: Duration) {
        if self.whole_at.len() >= self.forget_at {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.forget_at = CALLERS_MAX.max(2 * self.whole_at.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(limit: u32, burst: Option<u32>) -> RateLimit {
        RateLimit { limit, period_ms: 10_000, burst }
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_per_pause() {
        let limiter = Limiter::default();
        let call = |at: Duration| limiter.count("a", limit(10, Some(3)), at);
        let start = SECOND * 100;
        for remaining in [2, 1, 0] {
            let verdict = call(start);
            assert_eq!((verdict.pass, verdict.remaining), (Pass::Yes, remaining));
        }
        assert_eq!(call(start).pass, Pass::After(SECOND));
        assert_eq!(call(start + SECOND / 2).pass, Pass::After(SECOND / 2));
        assert_eq!(call(start + SECOND).pass, Pass::Yes);
        assert_eq!(call(start + SECOND).pass, Pass::After(SECOND));
        assert_eq!(call(start + SECOND * 60).remaining, 2);
    }

    #[test]
    fn callers_do_not_share_and_the_average_holds() {
        let limiter = Limiter::default();
        let mut passed = [0, 0];
        for tenth in 0..1_000 {
            for (caller, count) in passed.iter_mut().enumerate() {
                let verdict = limiter.count(caller, limit(10, None), SECOND * tenth / 10);
                *count += usize::from(verdict.pass == Pass::Yes);
            }
        }
        // 100 seconds at one a second, and the burst of the beginning.
        assert_eq!(passed, [109, 109]);
    }

    #[test]
    fn a_full_table_forgets_those_who_are_whole_again() {
        let limiter = Limiter::default();
        for caller in 0..CALLERS_MAX {
            limiter.count(caller, limit(10, None), SECOND);
        }
        limiter.count(CALLERS_MAX, limit(10, None), SECOND);
        assert_eq!(limiter.callers.lock().forget_at, 2 * CALLERS_MAX, "nobody could be forgotten");
        for caller in CALLERS_MAX + 1..2 * CALLERS_MAX {
            limiter.count(caller, limit(10, None), SECOND);
        }
        limiter.count(0, limit(10, None), SECOND * 100);
        assert_eq!(limiter.callers.lock().whole_at.len(), 1);
    }
}
