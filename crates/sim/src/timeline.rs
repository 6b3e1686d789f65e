//! The virtual clock and the one queue of everything that is going to happen.
//!
//! Virtual time only moves when something is taken from the queue. What happens at the same time
//! is ordered by a tie-break that the caller draws from its seed. The wall clock is virtual time
//! plus an offset that can jump, as a machine's clock does; nothing here reads a real one.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use flux_model::Timestamp;

/// What the wall clock says when a simulation begins.
const WALL_START_MS: i64 = 1_750_000_000_000;

/// A queue of `T`, ordered by virtual time.
pub(crate) struct Timeline<T> {
    now_ms: u64,
    offset_ms: i64,
    made: u64,
    slots: BinaryHeap<Slot<T>>,
}

struct Slot<T> {
    at_ms: u64,
    tie: u32,
    number: u64,
    what: T,
}

impl<T> Timeline<T> {
    pub(crate) fn new() -> Self {
        Self { now_ms: 0, offset_ms: 0, made: 0, slots: BinaryHeap::new() }
    }

    /// Puts something into the queue, `after_ms` from now.
    pub(crate) fn push(&mut self, after_ms: u64, tie: u32, what: T) {
        self.made += 1;
        let at_ms = self.now_ms.saturating_add(after_ms);
        self.slots.push(Slot { at_ms, tie, number: self.made, what });
    }

    /// Takes the next thing, and moves the clock to it.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let slot = self.slots.pop()?;
        self.now_ms = slot.at_ms;
        Some(slot.what)
    }

    /// Milliseconds since the simulation began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What the machine's clock says.
    pub(crate) fn wall(&self) -> Timestamp {
        let now = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        Timestamp::from_millis(WALL_START_MS.saturating_add(now).saturating_add(self.offset_ms))
    }

    /// Sets the machine's clock, without anything happening in between.
    pub(crate) fn jump(&mut self, by_ms: i64) {
        self.offset_ms = self.offset_ms.saturating_add(by_ms);
    }
}

impl<T> Ord for Slot<T> {
    /// The heap gives the greatest first, so the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.tie, other.number).cmp(&(self.at_ms, self.tie, self.number))
    }
}

impl<T> PartialOrd for Slot<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Slot<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Slot<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_ties_are_broken_as_drawn() {
        let mut timeline = Timeline::new();
        for (after, tie, what) in [(5, 0, "late"), (1, 9, "second"), (1, 2, "first"), (1, 9, "third")] {
            timeline.push(after, tie, what);
        }
        let order: Vec<_> = std::iter::from_fn(|| timeline.pop()).collect();
        assert_eq!(order, ["first", "second", "third", "late"]);
        assert_eq!(timeline.now_ms(), 5);
    }

    #[test]
    fn a_jump_moves_the_wall_clock_only() {
        let mut timeline: Timeline<()> = Timeline::new();
        let before = timeline.wall();
        timeline.jump(-1_000);
        assert_eq!((timeline.now_ms(), before.since(timeline.wall()).as_millis()), (0, 1_000));
    }
}
