//! The timers of one process, by the wall clock.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::{ExecutionId, Timestamp};
use flux_store::TimerName;

/// Timers in the order they are due. At most one of each name per execution.
#[derive(Default)]
pub(crate) struct Wheel {
    due: BTreeSet<(Timestamp, ExecutionId, TimerName)>,
    at: BTreeMap<(ExecutionId, TimerName), Timestamp>,
}

impl Wheel {
    pub(crate) fn set(&mut self, id: ExecutionId, name: TimerName, due: Timestamp) {
        self.clear(id, &name);
        self.at.insert((id, name.clone()), due);
        self.due.insert((due, id, name));
    }

    pub(crate) fn clear(&mut self, id: ExecutionId, name: &TimerName) {
        if let Some(due) = self.at.remove(&(id, name.clone())) {
            self.due.remove(&(due, id, name.clone()));
        }
    }

    /// Forgets all timers of an execution that is over.
    pub(crate) fn forget(&mut self, id: ExecutionId) {
        let names: Vec<TimerName> =
            self.at.keys().filter(|(of, _)| *of == id).map(|(_, name)| name.clone()).collect();
        names.iter().for_each(|name| self.clear(id, name));
    }

    /// Takes the first timer that is due.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<(ExecutionId, TimerName)> {
        let (due, id, name) = self.due.first()?.clone();
        if due > now {
            return None;
        }
        self.clear(id, &name);
        Some((id, name))
    }

    /// When the first timer is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_a_second_setting_replaces_the_first() {
        let (one, two) = (ExecutionId::from_bits(1), ExecutionId::from_bits(2));
        let at = Timestamp::from_millis;
        let mut wheel = Wheel::default();
        wheel.set(one, TimerName::Start, at(5));
        wheel.set(two, TimerName::Start, at(4));
        wheel.set(one, TimerName::Start, at(3));
        assert_eq!(wheel.next(), Some(at(3)));
        assert_eq!(wheel.pop(at(2)), None);
        assert_eq!(wheel.pop(at(9)), Some((one, TimerName::Start)));
        wheel.forget(two);
        assert_eq!((wheel.pop(at(9)), wheel.next()), (None, None));
    }
}
