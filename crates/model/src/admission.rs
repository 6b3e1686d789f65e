//! The admission rules of a flow, with their templates already evaluated, and the arithmetic that
//! every store shares. Counting and storing is the store's business.
//!
//! Every key is scoped by tenant and flow; an empty key means "all executions of the flow".

use std::time::Duration;

use crate::flow::Overflow;
use crate::time::Timestamp;

/// A bound on executions of one key that run or wait at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcurrencyRule {
    /// Executions with the same key share the limit.
    pub key: String,
    /// How many, at least 1.
    pub limit: u32,
    /// What happens to one more.
    pub overflow: Overflow,
}

/// A bound on accepted executions of one key per period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateRule {
    /// Executions with the same key share the limit.
    pub key: String,
    /// How many per period, at least 1.
    pub limit: u32,
    /// The period.
    pub period: Duration,
    /// How many may come at once, at least 1.
    pub burst: u32,
}

/// Start only once events of one key have stopped coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebounceRule {
    /// Events with the same key belong together.
    pub key: String,
    /// How long nothing must have come.
    pub period: Duration,
    /// Start this long after the first event even if more keep coming.
    pub longest: Option<Duration>,
}

/// What a concurrency rule says to one more execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// It runs, once this many of the oldest active ones are cancelled.
    Free {
        /// How many.
        cancel: u64,
    },
    /// It waits for its turn.
    Queue,
    /// It is refused.
    Drop,
}

impl ConcurrencyRule {
    /// Judges one more execution beside `active` ones.
    pub fn decide(&self, active: u64) -> Slot {
        let limit = u64::from(self.limit.max(1));
        if active < limit {
            return Slot::Free { cancel: 0 };
        }
        match self.overflow {
            Overflow::Queue => Slot::Queue,
            Overflow::Drop => Slot::Drop,
            Overflow::CancelOldest => Slot::Free { cancel: active + 1 - limit },
        }
    }
}

impl RateRule {
    /// The generic cell rate algorithm (ITU-T I.371): one timestamp per key, in microseconds since
    /// 1970. Gives the timestamp to store, or how long to wait.
    ///
    /// # Errors
    /// How long until the next execution of the key would be accepted.
    pub fn decide(&self, stored_us: Option<i64>, now: Timestamp) -> Result<i64, Duration> {
        let now_us = now.millis().saturating_mul(1_000);
        let period_us = i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX);
        let interval_us = (period_us / i64::from(self.limit.max(1))).max(1);
        let tolerance_us = interval_us.saturating_mul(i64::from(self.burst.max(1)) - 1);
        let arrival_us = stored_us.unwrap_or(now_us).max(now_us);
        let early_us = arrival_us.saturating_sub(now_us).saturating_sub(tolerance_us);
        if early_us > 0 {
            return Err(Duration::from_micros(early_us.unsigned_abs()));
        }
        Ok(arrival_us.saturating_add(interval_us))
    }
}

impl DebounceRule {
    /// When to start, given the first event of the key and the latest.
    pub fn starts_at(&self, first: Timestamp, latest: Timestamp) -> Timestamp {
        let quiet = latest + self.period;
        self.longest.map_or(quiet, |longest| quiet.min(first + longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the arrivals (in milliseconds) a rule of 2 per 100 ms and this burst accepts.
    fn check_rate(burst: u32, arrivals: &[i64], accepted: &[bool]) {
        let rule = RateRule { key: String::new(), limit: 2, period: Duration::from_millis(100), burst };
        let mut stored = None;
        let decide = |at: &i64| match rule.decide(stored, Timestamp::from_millis(*at)) {
            Ok(next) => {
                stored = Some(next);
                true
            }
            Err(_) => false,
        };
        assert_eq!(arrivals.iter().map(decide).collect::<Vec<_>>(), accepted, "burst {burst}");
    }

    #[test]
    fn a_rate_admits_its_burst_then_its_interval() {
        check_rate(1, &[0, 0, 49, 50, 100], &[true, false, false, true, true]);
        check_rate(2, &[0, 0, 0, 50, 51], &[true, true, false, true, false]);
        check_rate(2, &[0, 0, 1_000, 1_000, 1_000], &[true, true, true, true, false]);
    }

    #[test]
    fn a_refusal_says_exactly_how_long_to_wait() {
        let rule = RateRule { key: String::new(), limit: 2, period: Duration::from_millis(100), burst: 1 };
        let stored = rule.decide(None, Timestamp::from_millis(0)).unwrap();
        assert_eq!(rule.decide(Some(stored), Timestamp::from_millis(20)), Err(Duration::from_millis(30)));
    }

    #[test]
    fn a_debounce_waits_for_quiet_but_not_for_ever() {
        let at = Timestamp::from_millis;
        let rule = |longest: Option<u64>| DebounceRule {
            key: String::new(),
            period: Duration::from_millis(10),
            longest: longest.map(Duration::from_millis),
        };
        assert_eq!(rule(None).starts_at(at(0), at(95)), at(105));
        assert_eq!(rule(Some(100)).starts_at(at(0), at(95)), at(100));
    }
}
