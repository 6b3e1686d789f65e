//! How long to wait before the next attempt.

use std::time::Duration;

use flux_model::flow::Retry;
use flux_model::ids::ExecutionId;
use flux_model::path::NodePath;
use sha2::{Digest, Sha256};

/// The pause after attempt `attempt` failed: exponential, capped, and spread by a jitter that is
/// derived from execution, node and attempt, so that it repeats in a replay. A provider's
/// `Retry-After` is the least it can be.
pub(super) fn pause(
    retry: &Retry,
    id: ExecutionId,
    path: &NodePath,
    attempt: u32,
    asked: Option<u64>,
) -> Duration {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = retry.initial_ms as f64 * retry.factor.powi(exponent);
    let capped = grown.min(retry.max_ms as f64);
    let spread = capped * (1.0 - retry.jitter * fraction(id, path, attempt));
    Duration::from_millis((spread as u64).max(asked.unwrap_or(0)))
}

/// A number in 0..1 that looks random and repeats.
fn fraction(id: ExecutionId, path: &NodePath, attempt: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(id.bits().to_be_bytes());
    hash.update(path.as_str().as_bytes());
    hash.update(attempt.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&digest[..4]);
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(retry: &Retry, attempt: u32, asked: Option<u64>) -> u128 {
        pause(retry, ExecutionId::from_bits(7), &NodePath::root("n"), attempt, asked).as_millis()
    }

    #[test]
    fn pauses_grow_to_the_cap_and_repeat() {
        let plain = Retry { attempts: 9, initial_ms: 100, factor: 2.0, max_ms: 1_000, jitter: 0.0 };
        let pauses: Vec<_> = (1..=5).map(|attempt| millis(&plain, attempt, None)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_000]);
        let spread = Retry { jitter: 0.5, ..plain.clone() };
        assert_eq!(millis(&spread, 3, None), millis(&spread, 3, None));
        assert!((200..=400).contains(&millis(&spread, 3, None)));
        assert_ne!(millis(&spread, 5, None), millis(&spread, 6, None), "attempts are spread apart");
        assert_eq!(millis(&plain, 1_000_000, None), 1_000, "a huge attempt number does not overflow");
    }

    #[test]
    fn a_provider_that_asks_for_longer_gets_it() {
        let plain = Retry { jitter: 0.0, initial_ms: 100, ..Retry::default() };
        assert_eq!(millis(&plain, 1, Some(5_000)), 5_000);
        assert_eq!(millis(&plain, 1, Some(5)), 100);
    }
}
