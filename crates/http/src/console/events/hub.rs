//! The last events, numbered, for everybody who follows them.
//!
//! The engine tells changes only while somebody listens, so the hub listens only while a client
//! does, and for a while after the last one left, so that a client that reconnects misses nothing.
//! Each client walks along the kept events by itself; a slow one falls off their end and is told.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flux_engine::{Engine, EngineEvent};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Events that are kept.
const EVENTS_KEPT_MAX: usize = 8_192;
/// Clients that follow at the same time.
pub(crate) const STREAMS_MAX: usize = 512;
/// How long the hub goes on listening after the last client left.
const LINGER: Duration = Duration::from_secs(60);

/// The name of an event: in which listening, and which one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    /// Changes whenever events may have been missed.
    epoch: u64,
    number: u64,
}

impl EventId {
    /// Reads an id; what is none is one that nothing is known about.
    pub(crate) fn parse(text: &str) -> Self {
        let parsed = text.split_once('-').and_then(|(epoch, number)| {
            Some(Self { epoch: u64::from_str_radix(epoch, 16).ok()?, number: number.parse().ok()? })
        });
        parsed.unwrap_or(Self { epoch: 0, number: 0 })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}-{}", self.epoch, self.number)
    }
}

/// An event with its id.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: EventId,
    pub(crate) event: EngineEvent,
}

/// What a follower is given.
pub(crate) enum Next {
    /// The next event.
    Event(Arc<Kept>),
    /// Events were missed; what follows comes after this id.
    Reset(EventId),
}

/// Too many clients follow.
#[derive(Debug, thiserror::Error)]
#[error("{STREAMS_MAX} clients follow events already (STREAMS_MAX)")]
pub(crate) struct StreamsBusy;

/// The last events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    shared: Arc<HubShared>,
}

struct HubShared {
    engine: Engine,
    shutdown: CancellationToken,
    streams: Arc<Semaphore>,
    kept: Mutex<Ring>,
    /// The id of the last event, to wake followers.
    last: watch::Sender<EventId>,
}

/// Events of one epoch, oldest first and without gaps.
struct Ring {
    listening: bool,
    epoch: u64,
    next: u64,
    events: VecDeque<Arc<Kept>>,
}

/// One client's place among the events.
pub(crate) struct Follower {
    hub: Hub,
    /// The last event it was given; `None` if it must be told that it missed some.
    at: Option<EventId>,
    changes: watch::Receiver<EventId>,
    _slot: OwnedSemaphorePermit,
}

impl Hub {
    pub(crate) fn new(engine: Engine, shutdown: CancellationToken) -> Self {
        let start = EventId { epoch: fresh_epoch(), number: 0 };
        let ring = Ring { listening: false, epoch: start.epoch, next: 1, events: VecDeque::new() };
        let shared = HubShared {
            engine,
            shutdown,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            kept: Mutex::new(ring),
            last: watch::Sender::new(start),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place after `last`, or at the end of what there is.
    ///
    /// # Errors
    /// [`StreamsBusy`] if too many follow.
    pub(crate) fn follow(hub: &Self, last: Option<EventId>) -> Result<Follower, StreamsBusy> {
        let slot = hub.shared.streams.clone().try_acquire_owned().map_err(|_| StreamsBusy)?;
        let changes = hub.shared.last.subscribe();
        let mut ring = hub.shared.kept.lock();
        if !ring.listening {
            ring.listening = true;
            ring.restart();
            tokio::spawn(listen(hub.clone(), hub.shared.engine.events()));
        }
        let at = match last {
            None => Some(ring.end()),
            Some(last) => ring.knows(last).then_some(last),
        };
        drop(ring);
        Ok(Follower { hub: hub.clone(), at, changes, _slot: slot })
    }

    fn keep(&self, event: EngineEvent) {
        let mut ring = self.shared.kept.lock();
        let id = EventId { epoch: ring.epoch, number: ring.next };
        ring.next += 1;
        ring.events.push_back(Arc::new(Kept { id, event }));
        if ring.events.len() > EVENTS_KEPT_MAX {
            ring.events.pop_front();
        }
        drop(ring);
        self.shared.last.send_replace(id);
    }

    fn restart(&self) {
        let mut ring = self.shared.kept.lock();
        ring.restart();
        let end = ring.end();
        drop(ring);
        self.shared.last.send_replace(end);
    }

    /// Stops listening if nobody follows any more.
    fn leave(&self) -> bool {
        let mut ring = self.shared.kept.lock();
        if self.shared.streams.available_permits() < STREAMS_MAX {
            return false;
        }
        ring.listening = false;
        ring.events.clear();
        true
    }
}

impl Ring {
    fn restart(&mut self) {
        self.epoch = fresh_epoch();
        self.next = 1;
        self.events.clear();
    }

    fn end(&self) -> EventId {
        EventId { epoch: self.epoch, number: self.next - 1 }
    }

    /// Whether everything after `id` is kept.
    fn knows(&self, id: EventId) -> bool {
        let oldest = self.next - self.events.len() as u64;
        id.epoch == self.epoch && id.number + 1 >= oldest && id.number < self.next
    }

    /// The event after `id`, which is known.
    fn after(&self, id: EventId) -> Option<Arc<Kept>> {
        let oldest = self.next - self.events.len() as u64;
        let place = usize::try_from(id.number + 1 - oldest).ok()?;
        self.events.get(place).cloned()
    }
}

impl Follower {
    /// The next event; `None` once the server stops.
    pub(crate) async fn next(&mut self) -> Option<Next> {
        let shutdown = self.hub.shared.shutdown.clone();
        loop {
            // Seen before the events are looked at, so that one that comes in between wakes us.
            self.changes.borrow_and_update();
            if let Some(next) = self.step() {
                return Some(next);
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
            }
        }
    }

    fn step(&mut self) -> Option<Next> {
        let ring = self.hub.shared.kept.lock();
        match self.at.filter(|at| ring.knows(*at)) {
            Some(at) => {
                let kept = ring.after(at)?;
                self.at = Some(kept.id);
                Some(Next::Event(kept))
            }
            None => {
                let end = ring.end();
                self.at = Some(end);
                Some(Next::Reset(end))
            }
        }
    }
}

/// Keeps what the engine tells until nobody has followed for [`LINGER`].
async fn listen(hub: Hub, mut events: tokio::sync::broadcast::Receiver<EngineEvent>) {
    let mut idle = tokio::time::interval(LINGER);
    idle.tick().await;
    let mut was_idle = false;
    loop {
        tokio::select! {
            () = hub.shared.shutdown.cancelled() => return,
            told = events.recv() => match told {
                Ok(event) => hub.keep(event),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "followers of events missed some: they came too fast");
                    hub.restart();
                }
                Err(RecvError::Closed) => return,
            },
            _ = idle.tick() => {
                let alone = hub.shared.streams.available_permits() == STREAMS_MAX;
                if alone && was_idle && hub.leave() {
                    return;
                }
                was_idle = alone;
            }
        }
    }
}

/// A number that no other listening has. Without randomness an old id may be taken for a new one,
/// which only costs a client some events.
fn fresh_epoch() -> u64 {
    getrandom::u64().unwrap_or(1) | 1
}

#[cfg(test)]
mod tests {
    use flux_engine::Change;
    use flux_model::{ExecutionId, ExecutionStatus, Timestamp};

    use super::*;
    use crate::testing::World;

    fn event(world: &World, number: u128) -> EngineEvent {
        let at = Timestamp::from_millis(1);
        EngineEvent {
            tenant: world.tenant,
            execution: ExecutionId::new(at, number),
            flow: "a".into(),
            at,
            change: Change::Execution { status: ExecutionStatus::Running },
        }
    }

    async fn take(follower: &mut Follower) -> String {
        match follower.next().await {
            Some(Next::Event(kept)) => format!("event {}", kept.event.execution.bits() & 0xffff),
            Some(Next::Reset(_)) => "reset".to_owned(),
            None => "end".to_owned(),
        }
    }

    #[tokio::test]
    async fn followers_catch_up_or_are_told_that_they_missed_some() {
        let world = World::start().await;
        let hub = Hub::new(world.app.engine.clone(), CancellationToken::new());
        let mut first = Hub::follow(&hub, None).unwrap();
        hub.keep(event(&world, 1));
        hub.keep(event(&world, 2));
        assert_eq!(take(&mut first).await, "event 1");
        let mut again = Hub::follow(&hub, first.at).unwrap();
        assert_eq!(take(&mut again).await, "event 2");
        let mut stranger = Hub::follow(&hub, Some(EventId::parse("nonsense"))).unwrap();
        assert_eq!(take(&mut stranger).await, "reset");
        for number in 0..=EVENTS_KEPT_MAX {
            hub.keep(event(&world, number as u128));
        }
        assert_eq!(take(&mut first).await, "reset");
        hub.keep(event(&world, 77));
        assert_eq!(take(&mut first).await, "event 77");
        assert_eq!(take(&mut stranger).await, "reset");
        hub.restart();
        assert_eq!(take(&mut first).await, "reset");
        hub.shared.shutdown.cancel();
        assert_eq!(take(&mut first).await, "end");
    }

    #[tokio::test]
    async fn streams_are_bounded() {
        let world = World::start().await;
        let hub = Hub::new(world.app.engine.clone(), CancellationToken::new());
        let held: Vec<Follower> = (0..STREAMS_MAX).map(|_| Hub::follow(&hub, None).unwrap()).collect();
        assert!(Hub::follow(&hub, None).is_err());
        drop(held);
        assert!(Hub::follow(&hub, None).is_ok());
    }

    #[test]
    fn ids_round_trip() {
        let id = EventId { epoch: 0xabc, number: 12 };
        assert_eq!(EventId::parse(&id.to_string()), id);
        assert_eq!(EventId::parse("x"), EventId { epoch: 0, number: 0 });
    }
}
