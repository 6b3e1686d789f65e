//! Timers of the near future, in memory.
//!
//! Every timer is stored with the step that sets it; here is only a window of them, loaded as time
//! comes nearer, so that a hundred thousand waiting executions cost nothing. A timer is due when
//! the clock of the day says so: a jump forwards makes it fire, a jump backwards makes it wait, and
//! since its firing is an event that the machine accepts once, no jump fires it twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flux_model::ids::{ExecutionId, Tenant};
use flux_model::{Event, Timestamp};
use flux_store::command::Release;
use flux_store::timers::TimerRow;
use flux_store::{Command, Outcome, StoreError, Timer, TimerName};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::owners::Message;
use crate::shared::Shared;

/// How far ahead timers are held in memory.
const WINDOW: Duration = Duration::from_secs(60);
/// Load the next window when this much is left of the last.
const MARGIN: Duration = Duration::from_secs(20);
/// Timers that are loaded at once.
const LOADED_MAX: usize = 10_000;
/// Look at the clock at least this often: it may have jumped.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Timers {
    wheel: Mutex<Wheel>,
    sooner: Notify,
}

/// The timers whose time is near.
#[derive(Default)]
struct Wheel {
    due: BTreeSet<(Timestamp, ExecutionId, TimerName)>,
    of: HashMap<ExecutionId, Kept>,
    /// Everything due before this is here.
    loaded_until: Option<Timestamp>,
}

struct Kept {
    tenant: Tenant,
    timers: Vec<KeptTimer>,
}

struct KeptTimer {
    name: TimerName,
    due: Timestamp,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In `due`.
    Ahead,
    /// Handed to its execution, which has not committed that yet: the store still holds it.
    Handed,
}

impl Timers {
    /// A step set and cleared these timers, durably.
    pub(crate) fn changed(&self, tenant: Tenant, id: ExecutionId, set: Vec<Timer>, cleared: &[TimerName]) {
        if set.is_empty() && cleared.is_empty() {
            return;
        }
        let mut wheel = self.wheel.lock();
        let first = wheel.first_due();
        cleared.iter().for_each(|name| wheel.clear(id, name));
        for timer in set {
            wheel.clear(id, &timer.name);
            if wheel.loaded_until.is_some_and(|until| timer.due < until) {
                wheel.set(TimerRow { tenant, execution: id, name: timer.name, due: timer.due });
            }
        }
        if wheel.first_due() != first {
            self.sooner.notify_one();
        }
    }

    /// The execution is over: it has no timers any more.
    pub(crate) fn forget(&self, id: ExecutionId) {
        let mut wheel = self.wheel.lock();
        for timer in wheel.of.remove(&id).into_iter().flat_map(|kept| kept.timers) {
            wheel.due.remove(&(timer.due, id, timer.name));
        }
    }

    /// Whether a stored timer that is due, of an execution that nobody owns, will not come by
    /// itself: it is neither ahead here nor still to be loaded.
    pub(crate) fn is_lost(&self, row: &TimerRow) -> bool {
        let wheel = self.wheel.lock();
        let ahead = wheel.due.contains(&(row.due, row.execution, row.name.clone()));
        !ahead && wheel.loaded_until.is_some_and(|until| row.due < until)
    }

    /// When the first timer of an execution is due, of those in memory.
    pub(crate) fn next_of(&self, id: ExecutionId) -> Option<Timestamp> {
        self.wheel.lock().of.get(&id)?.timers.iter().map(|timer| timer.due).min()
    }

    /// How many are held in memory.
    pub(crate) fn len(&self) -> usize {
        self.wheel.lock().due.len()
    }
}

impl Wheel {
    fn first_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _, _)| *due)
    }

    fn set(&mut self, row: TimerRow) {
        let TimerRow { tenant, execution, name, due } = row;
        let kept = self.of.entry(execution).or_insert_with(|| Kept { tenant, timers: Vec::new() });
        if kept.timers.iter().any(|timer| timer.name == name && timer.due == due) {
            return;
        }
        kept.timers.push(KeptTimer { name: name.clone(), due, stage: Stage::Ahead });
        self.due.insert((due, execution, name));
    }

    fn clear(&mut self, id: ExecutionId, name: &TimerName) {
        let Some(kept) = self.of.get_mut(&id) else { return };
        for timer in kept.timers.extract_if(.., |timer| timer.name == *name) {
            self.due.remove(&(timer.due, id, timer.name));
        }
        if kept.timers.is_empty() {
            self.of.remove(&id);
        }
    }

    /// Hands out the first timer that is due.
    fn take_due(&mut self, now: Timestamp) -> Option<TimerRow> {
        let (due, execution, name) = self.due.first().filter(|(due, _, _)| *due <= now)?.clone();
        self.due.pop_first();
        let kept = self.of.get_mut(&execution)?;
        let timer = kept.timers.iter_mut().find(|timer| timer.name == name && timer.due == due)?;
        timer.stage = Stage::Handed;
        Some(TimerRow { tenant: kept.tenant, execution, name, due })
    }

    /// Takes in what was loaded: every timer due at or before `until`, unless there were too many.
    fn load(&mut self, rows: Vec<TimerRow>, until: Timestamp) {
        self.loaded_until = match rows.last() {
            Some(last) if rows.len() >= LOADED_MAX => Some(last.due),
            Some(_) | None => Some(until + Duration::from_millis(1)),
        };
        rows.into_iter().for_each(|row| self.set(row));
    }

    fn needs_load(&self, now: Timestamp) -> bool {
        self.loaded_until.is_none_or(|until| until < now + MARGIN)
    }
}

/// Fires timers until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let fire = async {
        loop {
            if let Err(error) = load(&shared).await {
                tracing::error!(%error, "timers cannot be loaded; trying again");
            }
            fire_due(&shared).await;
            rest(&shared).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = fire => {}
    }
}

async fn load(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.now();
    if !shared.timers.wheel.lock().needs_load(now) {
        return Ok(());
    }
    let until = now + WINDOW;
    // A timer that is set while the query runs may be missing from its result. It is kept, because
    // the window counts as loaded from here on.
    let before = shared.timers.wheel.lock().loaded_until.replace(until);
    let rows = shared.reader.query(move |store| store.timers_due(until, LOADED_MAX)).await;
    let mut wheel = shared.timers.wheel.lock();
    match rows {
        Ok(rows) => wheel.load(rows, until),
        Err(error) => {
            wheel.loaded_until = before;
            return Err(error);
        }
    }
    Ok(())
}

async fn fire_due(shared: &Arc<Shared>) {
    loop {
        // With more due at once than may run, timers are late instead of the memory full.
        shared.owners.room(shared.lasting.settings.running_max).await;
        let Some(row) = shared.timers.wheel.lock().take_due(shared.now()) else { return };
        fire(shared, row);
    }
}

/// Hands a timer that is due to its execution.
pub(crate) fn fire(shared: &Arc<Shared>, row: TimerRow) {
    let TimerRow { tenant, execution, name, .. } = row;
    match name {
        TimerName::Machine(timer) => {
            shared.deliver(tenant, execution, Message::event(Event::TimerFired { timer }));
        }
        TimerName::Start => {
            let releasing = Arc::clone(shared);
            shared.tasks.spawn(async move { release(&releasing, tenant, execution).await });
        }
    }
}

/// Starts an execution whose debounce is over.
async fn release(shared: &Arc<Shared>, tenant: Tenant, execution: ExecutionId) {
    let release = Release { tenant, execution, at: shared.now() };
    match shared.writer.submit(Command::Release(release)).await {
        Ok(Outcome::Started { cancel }) => {
            shared.timers.changed(tenant, execution, Vec::new(), &[TimerName::Start]);
            for older in cancel {
                crate::children::cancel(shared, tenant, older, crate::load::replaced(execution));
            }
            shared.deliver(tenant, execution, Message::look());
        }
        Ok(Outcome::NotDue { starts_at }) => {
            let timer = Timer { name: TimerName::Start, due: starts_at };
            shared.timers.changed(tenant, execution, vec![timer], &[]);
        }
        Ok(Outcome::Dropped) => {
            let reason = "the concurrency limit is reached (overflow: drop)".to_owned();
            crate::children::cancel(shared, tenant, execution, reason);
        }
        // Queued for a slot, or somebody else was faster.
        Ok(_) => shared.timers.changed(tenant, execution, Vec::new(), &[TimerName::Start]),
        Err(error) => tracing::warn!(%execution, %error, "a debounced execution cannot start now"),
    }
}

/// Waits until something may be due.
async fn rest(shared: &Shared) {
    let now = shared.now();
    let first = shared.timers.wheel.lock().first_due();
    let length = first.map_or(LOOK_EVERY, |due| due.since(now).min(LOOK_EVERY));
    tokio::select! {
        () = shared.timers.sooner.notified() => {}
        () = shared.lasting.clock.sleep(length) => {}
    }
}

#[cfg(test)]
mod tests {
    use flux_model::event::TimerKey;
    use flux_model::{NodePath, OrganizationId, ProjectId};

    use super::*;

    fn row(execution: u128, due: i64) -> TimerRow {
        TimerRow {
            tenant: Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(1) },
            execution: ExecutionId::from_bits(execution),
            name: TimerName::Machine(TimerKey::Delay { path: NodePath::root("wait") }),
            due: Timestamp::from_millis(due),
        }
    }

    fn due(wheel: &mut Wheel, now: i64) -> Vec<u128> {
        let next = || wheel.take_due(Timestamp::from_millis(now));
        std::iter::from_fn(next).map(|row| row.execution.bits()).collect()
    }

    #[test]
    fn timers_fire_in_order_once_and_not_before_their_time() {
        let mut wheel = Wheel::default();
        wheel.load(vec![row(2, 20), row(1, 10), row(3, 30)], Timestamp::from_millis(100));
        assert_eq!(due(&mut wheel, 9), []);
        assert_eq!(due(&mut wheel, 20), [1, 2]);
        // The store still holds them until their executions have committed.
        wheel.load(vec![row(1, 10), row(2, 20), row(3, 30)], Timestamp::from_millis(100));
        assert_eq!(due(&mut wheel, 5), [], "the clock was set back");
        assert_eq!(due(&mut wheel, 1_000), [3], "the clock jumped ahead");
    }

    #[test]
    fn a_timer_that_was_cleared_or_moved_is_forgotten() {
        let timers = Timers::default();
        timers.wheel.lock().load(vec![row(1, 10), row(2, 20)], Timestamp::from_millis(100));
        let TimerRow { tenant, execution, name, .. } = row(1, 10);
        let later = Timer { name: name.clone(), due: Timestamp::from_millis(50) };
        timers.changed(tenant, execution, vec![later], &[]);
        timers.forget(ExecutionId::from_bits(2));
        assert_eq!(due(&mut timers.wheel.lock(), 40), []);
        assert_eq!(due(&mut timers.wheel.lock(), 50), [1]);
        timers.changed(tenant, execution, Vec::new(), std::slice::from_ref(&name));
        assert!(timers.wheel.lock().of.is_empty());
        let far = Timer { name, due: Timestamp::from_millis(500) };
        timers.changed(tenant, execution, vec![far], &[]);
        assert_eq!(timers.len(), 0, "the next window loads it");
    }

    #[test]
    fn more_timers_than_fit_are_loaded_in_parts() {
        let mut wheel = Wheel::default();
        let same_time = || (0..LOADED_MAX as u128).map(|id| row(id, 10)).collect();
        wheel.load(same_time(), Timestamp::from_millis(100));
        assert!(wheel.needs_load(Timestamp::from_millis(10)));
        assert_eq!(due(&mut wheel, 10).len(), LOADED_MAX);
        let mut rest: Vec<TimerRow> = same_time();
        rest[0] = row(LOADED_MAX as u128, 10);
        wheel.load(rest, Timestamp::from_millis(100));
        assert_eq!(due(&mut wheel, 10), [LOADED_MAX as u128]);
    }
}
