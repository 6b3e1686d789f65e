//! Who owns which execution: at most one task each, with an inbox.
//!
//! A message is put into an inbox, and an owner lets go, under one lock. So a message either finds
//! an owner who will still read it, or none, and then the sender becomes the one who starts it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use flux_model::ids::{ExecutionId, Tenant};
use flux_model::{Event, ExecutionStatus};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::error::EngineError;
use crate::shared::Shared;

/// Messages from outside that wait for one execution. Those that an execution itself asked for
/// (timers, children) are bounded by what it waits for, and always find room.
pub(crate) const MAILBOX_MESSAGES_MAX: usize = 1_024;

/// What somebody has to say to an execution.
#[derive(Debug)]
pub(crate) struct Message {
    /// What happened; without it the owner only looks how things are.
    pub(crate) event: Option<Event>,
    /// Who wants to know what became of it, once that is durable.
    pub(crate) reply: Option<Reply>,
}

pub(crate) type Reply = oneshot::Sender<Result<Taken, EngineError>>;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It changed the execution; that is durable.
    Applied,
    /// It changed nothing.
    Ignored(ExecutionStatus),
}

impl Message {
    pub(crate) fn event(event: Event) -> Self {
        Self { event: Some(event), reply: None }
    }

    pub(crate) fn look() -> Self {
        Self { event: None, reply: None }
    }

    pub(crate) fn asking(event: Event) -> (Self, oneshot::Receiver<Result<Taken, EngineError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { event: Some(event), reply: Some(reply) }, answer)
    }
}

/// The place of an owner.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) tenant: Tenant,
    pub(crate) id: ExecutionId,
    inbox: Mutex<VecDeque<Message>>,
    wake: Notify,
}

impl Slot {
    fn new(tenant: Tenant, id: ExecutionId) -> Arc<Self> {
        Arc::new(Self { tenant, id, inbox: Mutex::default(), wake: Notify::new() })
    }

    /// Everything that came since the last time.
    pub(crate) fn take(&self) -> VecDeque<Message> {
        std::mem::take(&mut *self.inbox.lock())
    }

    /// Forgets requests to look: the execution is about to be read.
    pub(crate) fn looked(&self) {
        self.inbox.lock().retain(|message| message.event.is_some());
    }

    /// Gives back what was not read, before what came since.
    pub(crate) fn put_back(&self, mut unread: VecDeque<Message>) {
        let mut inbox = self.inbox.lock();
        unread.append(&mut inbox);
        *inbox = unread;
    }

    /// Ends when there may be something in the inbox.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// What became of a message.
pub(crate) enum Delivery {
    /// The owner has it.
    Owned,
    /// There was no owner: the caller must start one on this slot, which has the message.
    Vacant(Arc<Slot>),
    /// There is no such execution of this tenant.
    Foreign(Message),
    /// The inbox is full.
    Full(Message),
}

/// The owned executions of this process.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    slots: Mutex<HashMap<ExecutionId, Arc<Slot>>>,
    left: Notify,
}

impl Owners {
    /// Takes the place of an owner, if it is free.
    pub(crate) fn reserve(&self, tenant: Tenant, id: ExecutionId) -> Option<Arc<Slot>> {
        let mut slots = self.slots.lock();
        if slots.contains_key(&id) {
            return None;
        }
        let slot = Slot::new(tenant, id);
        slots.insert(id, Arc::clone(&slot));
        Some(slot)
    }

    pub(crate) fn deliver(&self, tenant: Tenant, id: ExecutionId, message: Message) -> Delivery {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(&id) {
            if slot.tenant != tenant {
                return Delivery::Foreign(message);
            }
            let mut inbox = slot.inbox.lock();
            if message.reply.is_some() && inbox.len() >= MAILBOX_MESSAGES_MAX {
                return Delivery::Full(message);
            }
            inbox.push_back(message);
            slot.wake.notify_one();
            return Delivery::Owned;
        }
        let slot = Slot::new(tenant, id);
        slot.inbox.lock().push_back(message);
        slots.insert(id, Arc::clone(&slot));
        Delivery::Vacant(slot)
    }

    /// Lets go of an execution, unless a message came meanwhile.
    pub(crate) fn release(&self, slot: &Slot) -> Released {
        let mut slots = self.slots.lock();
        if !slot.inbox.lock().is_empty() {
            return Released::Not;
        }
        slots.remove(&slot.id);
        self.left.notify_waiters();
        Released::Yes
    }

    /// Lets go of an execution whatever came; gives what was not read.
    pub(crate) fn remove(&self, slot: &Slot) -> VecDeque<Message> {
        let mut slots = self.slots.lock();
        slots.remove(&slot.id);
        self.left.notify_waiters();
        slot.take()
    }

    /// Frees the place if it is still this one's.
    fn vacate(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        if slots.get(&slot.id).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            slots.remove(&slot.id);
            self.left.notify_waiters();
        }
    }

    /// Makes every owner look at how things are.
    pub(crate) fn wake_all(&self) {
        self.slots.lock().values().for_each(|slot| slot.wake.notify_one());
    }

    pub(crate) fn is_owned(&self, id: ExecutionId) -> bool {
        self.slots.lock().contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.lock().len()
    }

    /// Waits until fewer than `max` executions are owned.
    pub(crate) async fn room(&self, max: usize) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.len() < max {
                return;
            }
            left.await;
        }
    }
}

/// Held by an owner while it lives: if it ends without letting go, by a fault, its place is free
/// again and the sweeper finds the execution.
pub(crate) struct Hold {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

impl Hold {
    pub(crate) fn new(shared: &Arc<Shared>, slot: &Arc<Slot>) -> Self {
        Self { shared: Arc::clone(shared), slot: Arc::clone(slot) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.owners.vacate(&self.slot);
    }
}

/// Whether an owner could let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// It did.
    Yes,
    /// There is something to read first.
    Not,
}

#[cfg(test)]
mod tests {
    use flux_model::{OrganizationId, ProjectId};

    use super::*;

    fn tenant(project: u128) -> Tenant {
        Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(project) }
    }

    #[test]
    fn a_message_finds_an_owner_or_makes_one() {
        let owners = Owners::default();
        let id = ExecutionId::from_bits(7);
        let Delivery::Vacant(slot) = owners.deliver(tenant(1), id, Message::look()) else { panic!("vacant") };
        assert!(matches!(owners.deliver(tenant(1), id, Message::look()), Delivery::Owned));
        assert!(matches!(owners.deliver(tenant(2), id, Message::look()), Delivery::Foreign(_)));
        assert_eq!(owners.release(&slot), Released::Not, "there are messages");
        assert_eq!(slot.take().len(), 2);
        assert_eq!(owners.release(&slot), Released::Yes);
        assert!(!owners.is_owned(id));
        assert!(owners.reserve(tenant(1), id).is_some() && owners.reserve(tenant(1), id).is_none());
    }

    #[test]
    fn callers_are_refused_when_the_inbox_is_full_and_timers_are_not() {
        let owners = Owners::default();
        let id = ExecutionId::from_bits(7);
        let ask = || Message::asking(Event::Recovered).0;
        let _slot = owners.reserve(tenant(1), id).unwrap();
        for _ in 0..MAILBOX_MESSAGES_MAX {
            assert!(matches!(owners.deliver(tenant(1), id, ask()), Delivery::Owned));
        }
        assert!(matches!(owners.deliver(tenant(1), id, ask()), Delivery::Full(_)));
        assert!(matches!(owners.deliver(tenant(1), id, Message::look()), Delivery::Owned));
    }
}
