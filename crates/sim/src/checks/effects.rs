//! Check 2: which effects may start. An effect starts only if what is durable asks for it, never
//! again once its node is over, at most once where that is asked for, and always under the same
//! idempotency key.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::effect::{Effect, TaskCall};
use flux_model::{ExecutionId, NodePath};

use super::replay::Follower;
use crate::violation::Violation;

const CHECK: &str = "effects";

/// What the outside saw of effects.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// Per node path, the key its attempts came with.
    keys: BTreeMap<(ExecutionId, NodePath), String>,
    /// Per key, the node path it belongs to.
    places: BTreeMap<String, (ExecutionId, NodePath)>,
    starts: BTreeMap<(ExecutionId, NodePath), u32>,
    /// Attempts that each process started.
    begun: BTreeSet<(u32, ExecutionId, NodePath, u32)>,
}

impl Outside {
    /// An attempt reaches the outside. `follower` knows what is durable; `life` counts processes.
    pub(crate) fn start(&mut self, call: &TaskCall, follower: &Follower, life: u32) -> Result<(), Violation> {
        let id = follower.state().id();
        let broken = if follower.done.contains(&call.path) {
            Some("runs again, though it is durable that it is over".to_owned())
        } else if !follower.asks_for(&Effect::Run(call.clone())) {
            Some("starts before what leads to it is durable".to_owned())
        } else if !self.begun.insert((life, id, call.path.clone(), call.attempt)) {
            Some("was started already by this process".to_owned())
        } else {
            let revised = follower.revised.get(&call.path).copied().unwrap_or_default();
            self.count(id, call, revised)
        };
        let place = format!("{id} {} attempt {}", call.path, call.attempt);
        broken.map_or(Ok(()), |what| Err(Violation::new(CHECK, format!("{place}: {what}"))))
    }

    /// Counts the start; says what is wrong with it. A person may ask for an effect to run again.
    fn count(&mut self, id: ExecutionId, call: &TaskCall, revised: u32) -> Option<String> {
        let place = (id, call.path.clone());
        let key = self.keys.entry(place.clone()).or_insert_with(|| call.idempotency_key.clone());
        if *key != call.idempotency_key {
            return Some(format!("has idempotency key {}, before it was {key}", call.idempotency_key));
        }
        let known = self.places.entry(key.clone()).or_insert_with(|| place.clone());
        if *known != place {
            return Some(format!("shares its idempotency key with {} {}", known.0, known.1));
        }
        let starts = self.starts.entry(place).or_default();
        *starts += 1;
        let again = call.at_most_once && *starts > 1 + revised;
        again.then(|| format!("reaches the outside {starts} times, though it must at most once"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::Sample;

    /// A follower that has read that many entries of the sample's journal.
    fn follower(entries: usize) -> Follower {
        let sample = Sample::run();
        let mut follower = Follower::new(sample.plan.clone(), sample.id);
        let _ = follower.follow(&sample.entries[..entries]);
        follower
    }

    /// The first call of the sample, which its first two entries ask for.
    fn call() -> TaskCall {
        let calls = follower(2)
            .state()
            .outstanding()
            .into_iter()
            .find_map(|effect| if let Effect::Run(call) = effect { Some(call) } else { None });
        calls.unwrap()
    }

    fn check(entries: usize, lives: &[u32], expect: &str) {
        let mut outside = Outside::default();
        let follower = follower(entries);
        let found = lives.iter().try_for_each(|life| outside.start(&call(), &follower, *life));
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    #[test]
    fn an_effect_that_must_not_start_is_noticed() {
        check(2, &[0], "");
        check(2, &[0, 1], "");
        check(0, &[0], "before what leads to it is durable");
        check(Sample::run().entries.len(), &[0], "runs again");
        check(2, &[0, 0], "already by this process");
    }

    #[test]
    fn repetitions_and_keys_are_counted() {
        let id = Sample::run().id;
        let once = TaskCall { at_most_once: true, ..call() };
        let mut outside = Outside::default();
        assert_eq!(outside.count(id, &once, 0), None);
        assert!(outside.count(id, &once, 0).unwrap().contains("2 times"));
        assert_eq!(outside.count(id, &once, 2), None, "a person asked for it");
        let other_key = TaskCall { idempotency_key: "k".to_owned(), ..call() };
        assert!(outside.count(id, &other_key, 0).unwrap().contains("before it was"));
        let other_path = TaskCall { path: NodePath::root("n9"), ..call() };
        assert!(outside.count(id, &other_path, 0).unwrap().contains("shares"));
    }
}
