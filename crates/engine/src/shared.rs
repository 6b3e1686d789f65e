//! What all parts of a running engine share. One per opened store: after the store failed, a new
//! one takes over ([`crate::Engine::reopen`]); what outlives it is in [`Lasting`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use flux_core::plan::Catalog;
use flux_egress::Egress;
use flux_model::Timestamp;
use flux_model::ids::{ExecutionId, Tenant};
use flux_nodes::Registry;
use flux_objects::Objects;
use flux_store::executions::Parent;
use flux_store::{ExecutionRow, Reader, Store, Writer};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Random};
use crate::error::EngineError;
use crate::events::{Change, EngineEvent};
use crate::functions::FunctionParts;
use crate::health::Counters;
use crate::owner;
use crate::owners::{Delivery, MAILBOX_MESSAGES_MAX, Message, Owners, Slot, Taken};
use crate::plans::Plans;
use crate::settings::EngineSettings;
use crate::timers::Timers;
use crate::waiters::Waiters;

/// What outlives a failed store.
pub(crate) struct Lasting {
    pub(crate) registry: Arc<Registry>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) egress: Egress,
    pub(crate) functions: Option<Arc<FunctionParts>>,
    pub(crate) objects: Objects,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) settings: EngineSettings,
    pub(crate) events: broadcast::Sender<EngineEvent>,
    pub(crate) flow_changes: watch::Sender<u64>,
    pub(crate) counters: Counters,
}

/// What an owner and everybody it talks to knows of an execution beside its state.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) tenant: Tenant,
    pub(crate) id: ExecutionId,
    pub(crate) flow: Arc<str>,
    pub(crate) request_id: String,
    pub(crate) parent: Option<Parent>,
    pub(crate) depth: u32,
}

impl Facts {
    pub(crate) fn of(row: &ExecutionRow) -> Self {
        Self {
            tenant: row.tenant,
            id: row.id,
            flow: Arc::from(row.flow.as_str()),
            request_id: row.request_id.clone(),
            parent: row.parent.clone(),
            depth: row.depth,
        }
    }
}

/// An execution that cannot go on.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub(crate) reason: String,
    pub(crate) retry: Retry,
}

/// Whether it may go on later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// What hindered it may pass.
    Later,
    /// Not in this process.
    Never,
}

pub(crate) struct Shared {
    pub(crate) lasting: Arc<Lasting>,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) plans: Plans,
    pub(crate) owners: Owners,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) timers: Timers,
    pub(crate) parked: Mutex<BTreeMap<ExecutionId, Parked>>,
    pub(crate) loads: Semaphore,
    phase: AtomicU8,
    /// Set once everything that recovery found has an owner again.
    pub(crate) recovered: CancellationToken,
    /// Ends the tasks that are not owners: timers, schedules, the sweeper.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// What the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Accepting and running.
    Working = 0,
    /// Nothing new is begun; what is under way may reach its commit.
    Stopping = 1,
    /// Owners drop what they hold.
    Halted = 2,
}

impl Shared {
    /// The parts over an opened store, with nothing running yet.
    pub(crate) fn open(lasting: Arc<Lasting>, store: Arc<dyn Store>) -> std::io::Result<Arc<Self>> {
        let settings = &lasting.settings;
        Ok(Arc::new(Self {
            reader: Reader::new(Arc::clone(&store)),
            writer: Writer::start(store, settings.writer)?,
            plans: Plans::new(Arc::clone(&lasting.catalog), settings.plans_max),
            owners: Owners::default(),
            waiters: Arc::default(),
            timers: Timers::default(),
            parked: Mutex::default(),
            loads: Semaphore::new(settings.loads_max.max(1)),
            phase: AtomicU8::new(Phase::Working as u8),
            recovered: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            lasting,
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.lasting.clock.now()
    }

    pub(crate) fn new_id(&self) -> ExecutionId {
        ExecutionId::new(self.now(), self.lasting.random.bits())
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Working,
            1 => Phase::Stopping,
            _ => Phase::Halted,
        }
    }

    /// Goes on to a later phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.stop.cancel();
        self.owners.wake_all();
    }

    /// Gives a message to the owner of an execution, and the execution an owner if it has none.
    pub(crate) fn deliver(self: &Arc<Self>, tenant: Tenant, id: ExecutionId, message: Message) {
        match self.owners.deliver(tenant, id, message) {
            Delivery::Owned => {}
            Delivery::Vacant(slot) => self.own(slot),
            Delivery::Foreign(message) => answer(message, EngineError::NotFound(id)),
            Delivery::Full(message) => {
                let (waiting, max) = (MAILBOX_MESSAGES_MAX, MAILBOX_MESSAGES_MAX);
                answer(message, EngineError::Busy { execution: id, waiting, max });
            }
        }
    }

    /// Gives an event to an execution and waits until what became of it is durable.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        tenant: Tenant,
        id: ExecutionId,
        event: flux_model::Event,
    ) -> Result<Taken, EngineError> {
        let (message, answer) = Message::asking(event);
        self.deliver(tenant, id, message);
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    /// Starts an owner that reads the execution from the store.
    pub(crate) fn own(self: &Arc<Self>, slot: Arc<Slot>) {
        self.tasks.spawn(owner::own(Arc::clone(self), slot));
    }

    /// Tells followers. Call only when it is durable.
    pub(crate) fn tell(&self, facts: &Facts, changes: Vec<Change>) {
        let at = self.now();
        for change in changes {
            let (tenant, execution, flow) = (facts.tenant, facts.id, Arc::clone(&facts.flow));
            // An error means that nobody follows any more.
            let _ = self.lasting.events.send(EngineEvent { tenant, execution, flow, at, change });
        }
    }

    pub(crate) fn followed(&self) -> crate::commit::Followed {
        match self.lasting.events.receiver_count() {
            0 => crate::commit::Followed::No,
            _ => crate::commit::Followed::Yes,
        }
    }

    pub(crate) fn park(&self, id: ExecutionId, reason: String, retry: Retry) {
        tracing::error!(execution = %id, reason, "the execution cannot go on");
        self.parked.lock().insert(id, Parked { reason, retry });
    }
}

fn answer(message: Message, error: EngineError) {
    if let Some(reply) = message.reply {
        // Nobody waits any more if the receiver is gone.
        let _ = reply.send(Err(error));
    }
}
