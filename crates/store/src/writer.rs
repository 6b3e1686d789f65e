//! The batcher: many callers, one thread, one transaction per batch (group commit).
//!
//! There is no timer: while one batch is being made durable the next one gathers. The queue is
//! bounded by commands and by bytes, so a slow disk pushes back instead of filling memory. After
//! a failed batch nothing more is written: the health says so, and the way on is to open the store
//! again through recovery.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch};

use crate::command::Command;
use crate::outcome::Outcome;
use crate::store::{Store, StoreError};

/// Commands in one transaction.
pub const BATCH_COMMANDS_MAX: usize = 256;
/// A batch ends with the command that reaches this many bytes.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes a command counts for beside its blobs and texts.
const COMMAND_BYTES_BASE: usize = 256;

/// How much may wait to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterLimits {
    /// Commands, those being written included.
    pub queue_commands_max: u32,
    /// Bytes, those being written included. A larger command goes through alone.
    pub queue_bytes_max: u32,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self { queue_commands_max: 8_192, queue_bytes_max: 64 * 1024 * 1024 }
    }
}

/// Whether commands are being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// They are.
    Working,
    /// A batch failed with this error; open the store again.
    Failed(StoreError),
    /// The writer was closed.
    Closed,
}

/// Why a command was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Too much waits to be written already; the command was not taken.
    #[error(
        "{waiting} commands wait to be written, {max} (queue_commands_max) or their bytes are at the limit"
    )]
    Full {
        /// How many wait.
        waiting: usize,
        /// How many may.
        max: u32,
    },
    /// The writer was closed; the command was not taken.
    #[error("the writer is closed")]
    Closed,
    /// The store failed. Whether the command is durable shows after it was opened again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Job {
    command: Command,
    bytes: usize,
    reply: oneshot::Sender<Result<Outcome, WriteError>>,
    /// Given back when the job is dropped, after its reply.
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// Takes commands and answers when they are durable. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    limits: WriterLimits,
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    jobs: Mutex<Option<Sender<Job>>>,
    health: watch::Receiver<Health>,
}

/// A command that was taken: a future of its outcome. Dropping it does not take the command back.
pub struct Pending {
    reply: oneshot::Receiver<Result<Outcome, WriteError>>,
}

impl Pending {
    /// Waits until the command is durable or refused.
    ///
    /// # Errors
    /// [`WriteError::Store`] if its batch failed.
    pub async fn outcome(self) -> Result<Outcome, WriteError> {
        self.reply.await.unwrap_or(Err(WriteError::Closed))
    }
}

impl Writer {
    /// Starts the thread that writes to `store`.
    ///
    /// # Errors
    /// The system's, if it cannot start a thread.
    pub fn start(store: Arc<dyn Store>, limits: WriterLimits) -> std::io::Result<Self> {
        Self::start_with(move |commands: &[Command]| store.commit_batch(commands), limits)
    }

    /// Starts the thread, with what stands in for [`Store::commit_batch`]: for simulated faults.
    ///
    /// # Errors
    /// The system's, if it cannot start a thread.
    pub fn start_with<C>(commit: C, limits: WriterLimits) -> std::io::Result<Self>
    where
        C: FnMut(&[Command]) -> Result<Vec<Outcome>, StoreError> + Send + 'static,
    {
        let (jobs, queue) = channel();
        let (health, watched) = watch::channel(Health::Working);
        thread::Builder::new().name("flux-writer".to_owned()).spawn(move || {
            let last = Batcher { commit, queue, health: &health }.run();
            health.send_replace(last);
        })?;
        let shared = Shared {
            limits,
            commands: Arc::new(Semaphore::new(limits.queue_commands_max as usize)),
            bytes: Arc::new(Semaphore::new(limits.queue_bytes_max as usize)),
            jobs: Mutex::new(Some(jobs)),
            health: watched,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits for room in the queue, then until the command is durable or refused.
    ///
    /// # Errors
    /// [`WriteError`], never [`WriteError::Full`].
    pub async fn submit(&self, command: Command) -> Result<Outcome, WriteError> {
        let bytes = weight(&command);
        let closed = |_| WriteError::Closed;
        let slot = self.shared.commands.clone().acquire_owned().await.map_err(closed)?;
        let room = self.shared.bytes.clone().acquire_many_owned(self.room(bytes)).await.map_err(closed)?;
        self.send(command, bytes, (slot, room))?.outcome().await
    }

    /// Takes the command if there is room in the queue. Commands are written in the order in
    /// which they were taken.
    ///
    /// # Errors
    /// [`WriteError::Full`] without room: the caller should refuse work.
    pub fn try_submit(&self, command: Command) -> Result<Pending, WriteError> {
        let bytes = weight(&command);
        let slot = self.shared.commands.clone().try_acquire_owned().map_err(|error| self.refuse(error))?;
        let room = self.shared.bytes.clone().try_acquire_many_owned(self.room(bytes));
        let room = room.map_err(|error| self.refuse(error))?;
        self.send(command, bytes, (slot, room))
    }

    /// How many commands wait or are being written.
    pub fn waiting(&self) -> usize {
        (self.shared.limits.queue_commands_max as usize)
            .saturating_sub(self.shared.commands.available_permits())
    }

    /// Whether commands are being written.
    pub fn health(&self) -> Health {
        self.shared.health.borrow().clone()
    }

    /// Follows the health.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.shared.health.clone()
    }

    /// Takes no more commands and waits until those taken are written.
    pub async fn close(&self) {
        self.shared.commands.close();
        self.shared.bytes.close();
        self.shared.jobs.lock().take();
        let mut health = self.shared.health.clone();
        // An error means that the thread is gone, which is what is waited for.
        let _ = health.wait_for(|health| *health != Health::Working).await;
    }

    fn room(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.shared.limits.queue_bytes_max)
    }

    fn refuse(&self, error: TryAcquireError) -> WriteError {
        match error {
            TryAcquireError::Closed => WriteError::Closed,
            TryAcquireError::NoPermits => {
                WriteError::Full { waiting: self.waiting(), max: self.shared.limits.queue_commands_max }
            }
        }
    }

    fn send(
        &self,
        command: Command,
        bytes: usize,
        permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Result<Pending, WriteError> {
        let (reply, receiver) = oneshot::channel();
        let job = Job { command, bytes, reply, _permits: permits };
        let jobs = self.shared.jobs.lock();
        let sender = jobs.as_ref().ok_or(WriteError::Closed)?;
        sender.send(job).map_err(|_| WriteError::Closed)?;
        Ok(Pending { reply: receiver })
    }
}

/// The thread's side.
struct Batcher<'a, C> {
    commit: C,
    queue: Receiver<Job>,
    health: &'a watch::Sender<Health>,
}

impl<C: FnMut(&[Command]) -> Result<Vec<Outcome>, StoreError>> Batcher<'_, C> {
    /// Writes until the queue is closed and empty; gives the last health.
    fn run(mut self) -> Health {
        let mut failed = None;
        while let Ok(first) = self.queue.recv() {
            let jobs = self.gather(first);
            match &failed {
                None => failed = self.write(jobs),
                Some(error) => refuse_all(jobs, error),
            }
        }
        failed.map_or(Health::Closed, Health::Failed)
    }

    fn gather(&self, first: Job) -> Vec<Job> {
        let mut bytes = first.bytes;
        let mut jobs = vec![first];
        while jobs.len() < BATCH_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(job) = self.queue.try_recv() else { break };
            bytes += job.bytes;
            jobs.push(job);
        }
        jobs
    }

    fn write(&mut self, jobs: Vec<Job>) -> Option<StoreError> {
        let mut commands = Vec::with_capacity(jobs.len());
        let mut replies = Vec::with_capacity(jobs.len());
        for job in jobs {
            commands.push(job.command);
            replies.push((job.reply, job._permits));
        }
        match (self.commit)(&commands) {
            Ok(outcomes) => {
                debug_assert_eq!(outcomes.len(), replies.len(), "one outcome per command");
                for (outcome, (reply, _permits)) in outcomes.into_iter().zip(replies) {
                    // Nobody waits any more if the caller was dropped; the command stands.
                    let _ = reply.send(Ok(outcome));
                }
                None
            }
            Err(error) => {
                tracing::error!(%error, commands = commands.len(), "a batch was not written; no more writes");
                self.health.send_replace(Health::Failed(error.clone()));
                for (reply, _permits) in replies {
                    let _ = reply.send(Err(WriteError::Store(error.clone())));
                }
                Some(error)
            }
        }
    }
}

fn refuse_all(jobs: Vec<Job>, error: &StoreError) {
    let reason = error.to_string();
    for job in jobs {
        let _ = job.reply.send(Err(WriteError::Store(StoreError::Poisoned { reason: reason.clone() })));
    }
}

/// About how many bytes a command writes.
fn weight(command: &Command) -> usize {
    let blobs = match command {
        Command::Accept(accept) => {
            let first = accept.first.as_ref().map_or(0, |step| step.record.len());
            let held = accept.held.as_ref().map_or(0, |held| held.bytes.len());
            accept.execution.input.len() + first + held
        }
        Command::Append(append) => append.step.record.len(),
        Command::SaveDraft(draft) => draft.definition.len(),
        Command::PublishFlow(publish) => 2 * publish.draft.definition.len(),
        Command::PutSecret(secret) => secret.sealed.len(),
        Command::PutTriggerState(put) => put.state.len(),
        Command::Release(_)
        | Command::Promote(_)
        | Command::Retain(_)
        | Command::RestoreFlow(_)
        | Command::SetFlowState(_)
        | Command::DeleteFlow { .. }
        | Command::DeleteSecret { .. }
        | Command::PutDataKey(_)
        | Command::PutKey(_)
        | Command::RevokeKey { .. }
        | Command::TouchKey { .. }
        | Command::EnsureProject(_) => 0,
    };
    COMMAND_BYTES_BASE + blobs
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::conformance::sample::{accepting, append, ending, execution, tenant};
    use crate::memory::MemoryStore;

    const ROOM: WriterLimits = WriterLimits { queue_commands_max: 1_000, queue_bytes_max: 10_000_000 };

    /// A writer whose every commit waits for a permission and reports how many commands it had.
    fn gated(store: Arc<MemoryStore>, limits: WriterLimits) -> (Writer, Sender<()>, Receiver<usize>) {
        let (permit, gate) = channel();
        let (report, sizes) = channel();
        let commit = move |commands: &[Command]| {
            report.send(commands.len()).unwrap();
            gate.recv().unwrap();
            store.commit_batch(commands)
        };
        (Writer::start_with(commit, limits).unwrap(), permit, sizes)
    }

    #[tokio::test]
    async fn commands_gather_while_a_batch_is_written() {
        let store = Arc::new(MemoryStore::new());
        let (writer, permit, sizes) = gated(Arc::clone(&store), ROOM);
        let first = writer.try_submit(accepting(1, |_| {})).unwrap();
        assert_eq!(sizes.recv(), Ok(1));
        let others: Vec<_> = (2..=400).map(|n| writer.try_submit(accepting(n, |_| {})).unwrap()).collect();
        assert_eq!(writer.waiting(), 400);
        (0..3).for_each(|_| permit.send(()).unwrap());
        for pending in std::iter::once(first).chain(others) {
            assert_eq!(pending.outcome().await, Ok(Outcome::Started { cancel: vec![] }));
        }
        assert_eq!(sizes.iter().take(2).collect::<Vec<_>>(), [BATCH_COMMANDS_MAX, 399 - BATCH_COMMANDS_MAX]);
        writer.close().await;
        assert_eq!((writer.health(), writer.waiting()), (Health::Closed, 0));
        assert_eq!(writer.submit(accepting(401, |_| {})).await, Err(WriteError::Closed));
    }

    #[tokio::test]
    async fn a_large_command_ends_its_batch() {
        let (writer, permit, sizes) = gated(Arc::new(MemoryStore::new()), ROOM);
        let large = |n| accepting(n, |accept| accept.held.as_mut().unwrap().bytes = vec![0; BATCH_BYTES_MAX]);
        let commands = [accepting(1, |_| {}), accepting(2, |_| {}), large(3), accepting(4, |_| {})];
        let pending: Vec<_> =
            commands.into_iter().map(|command| writer.try_submit(command).unwrap()).collect();
        (0..3).for_each(|_| permit.send(()).unwrap());
        for pending in pending {
            pending.outcome().await.unwrap();
        }
        let sizes: Vec<_> = sizes.try_iter().collect();
        assert_eq!(sizes.iter().sum::<usize>(), 4);
        assert_eq!(sizes.last(), Some(&1), "what comes after the large one waits for the next batch");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_or_waits() {
        let limits = WriterLimits { queue_commands_max: 2, queue_bytes_max: 10_000_000 };
        let (writer, permit, _sizes) = gated(Arc::new(MemoryStore::new()), limits);
        let taken: Vec<_> = (1..=2).map(|n| writer.try_submit(accepting(n, |_| {})).unwrap()).collect();
        let refused = writer.try_submit(accepting(3, |_| {})).err();
        assert_eq!(refused, Some(WriteError::Full { waiting: 2, max: 2 }));
        let patient = {
            let writer = writer.clone();
            async move { writer.submit(accepting(3, |_| {})).await }
        };
        let patient = tokio::spawn(patient);
        (0..3).for_each(|_| permit.send(()).unwrap());
        for pending in taken {
            pending.outcome().await.unwrap();
        }
        assert_eq!(patient.await.unwrap(), Ok(Outcome::Started { cancel: vec![] }));
    }

    #[tokio::test]
    async fn closing_writes_what_was_taken() {
        let store = Arc::new(MemoryStore::new());
        let (writer, permit, _sizes) = gated(Arc::clone(&store), ROOM);
        let taken =
            [accepting(1, |_| {}), append(1, 1, ending(1, 2_000))].map(|command| writer.try_submit(command));
        permit.send(()).unwrap();
        permit.send(()).unwrap();
        writer.close().await;
        for pending in taken {
            pending.unwrap().outcome().await.unwrap();
        }
        let row = store.execution(tenant(1), execution(1)).unwrap().unwrap();
        assert!(row.status.is_terminal());
    }

    #[tokio::test]
    async fn after_a_failed_batch_nothing_is_written() {
        let failure = StoreError::Unavailable { doing: "writing a batch", reason: "disk full".into() };
        let (told, mut commits) = (failure.clone(), 0);
        let commit = move |_: &[Command]| {
            commits += 1;
            assert_eq!(commits, 1, "a failed batch was followed by another");
            Err(told.clone())
        };
        let writer = Writer::start_with(commit, ROOM).unwrap();
        assert_eq!(writer.submit(accepting(1, |_| {})).await, Err(WriteError::Store(failure.clone())));
        assert_eq!(writer.health(), Health::Failed(failure.clone()));
        let next = writer.submit(accepting(2, |_| {})).await;
        assert!(matches!(next, Err(WriteError::Store(StoreError::Poisoned { .. }))), "{next:?}");
        writer.close().await;
        assert_eq!(writer.health(), Health::Failed(failure));
    }

    #[tokio::test]
    async fn a_reader_answers_from_the_store() {
        let store = Arc::new(MemoryStore::new());
        store.commit_batch(&[accepting(1, |_| {})]).unwrap();
        let reader = crate::Reader::new(store);
        let row = reader.query(|store| store.execution(tenant(1), execution(1))).await.unwrap();
        assert_eq!(row.map(|row| row.id), Some(execution(1)));
    }
}
