//! A transaction that several queries share: it holds the writing thread until it ends, by a word of its
//! handle, because the handle is gone, or because its time is over.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::queue::Queue;
use super::run::{change_within, execute, roll_back, select};
use super::{Bounds, Seat};
use crate::DataError;
use crate::compile::Statement;
use crate::context::Context;
use crate::engine::answer::Row;
use crate::engine::steps::{Done, Steps};

/// Work within the transaction; the thread goes on to the next unless it says that this was the last.
type Step = Box<dyn FnOnce(&mut Seat) -> Next + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Step,
    Ended(&'static str),
}

/// An open transaction.
pub(crate) struct SqliteTransaction {
    steps: Sender<Step>,
    bounds: Bounds,
    ended: Arc<Mutex<&'static str>>,
}

impl SqliteTransaction {
    pub(super) async fn begin(
        queue: &Queue,
        bounds: Bounds,
        asked: Option<Duration>,
    ) -> Result<Self, DataError> {
        let (steps, taken) = channel::<Step>();
        let (begun, has_begun) = oneshot::channel();
        let ended = Arc::new(Mutex::new("its time (transaction_time_max) is over, it was rolled back"));
        let (deadline, end) = (bounds.deadline(asked), Arc::clone(&ended));
        queue.push(Box::new(move |seat: &mut Seat| {
            let began = seat.within(deadline, |seat| execute(seat, "BEGIN IMMEDIATE"));
            let is_open = began.is_ok();
            if begun.send(began).is_ok() && is_open {
                hold(seat, &taken, Instant::now() + bounds.transaction_time_max, &end);
            }
            roll_back(seat);
        }))?;
        has_begun.await.unwrap_or_else(|_| Err(DataError::unavailable("the database was closed")))?;
        Ok(Self { steps, bounds, ended })
    }

    pub(crate) async fn select(
        &self,
        context: &Context,
        statement: Statement,
    ) -> Result<(Vec<Row>, Statement), DataError> {
        self.step(context, move |seat| select(seat, &statement).map(|rows| (rows, statement))).await
    }

    pub(crate) async fn change(&self, context: &Context, steps: Steps) -> Result<Done, DataError> {
        let who = context.clone();
        self.step(context, move |seat| change_within(seat, &steps, &who)).await
    }

    pub(crate) async fn commit(self) -> Result<(), DataError> {
        self.end("COMMIT", "it was committed").await
    }

    pub(crate) async fn rollback(self) -> Result<(), DataError> {
        self.end("ROLLBACK", "it was rolled back").await
    }

    async fn step<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut Seat) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        let deadline = self.bounds.deadline(context.timeout);
        self.send(
            move |seat| seat.within(deadline, work),
            |done| match done {
                Ok(_) => Next::Step,
                // As in PostgreSQL: after a failure the transaction can only be rolled back.
                Err(_) => Next::Ended("an earlier query in it failed, it was rolled back"),
            },
        )
        .await
    }

    async fn end(self, sql: &'static str, how: &'static str) -> Result<(), DataError> {
        self.send(move |seat| execute(seat, sql), move |_| Next::Ended(how)).await
    }

    async fn send<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Seat) -> Result<T, DataError> + Send + 'static,
        next: impl FnOnce(&Result<T, DataError>) -> Next + Send + 'static,
    ) -> Result<T, DataError> {
        let (answer, answered) = oneshot::channel();
        let step = move |seat: &mut Seat| {
            let done = work(seat);
            let next = next(&done);
            // The caller may be gone; the handle is dropped then, and the transaction rolled back.
            let _ = answer.send(done);
            next
        };
        let over = || DataError::TransactionOver { reason: *self.ended.lock() };
        self.steps.send(Box::new(step)).map_err(|_| over())?;
        answered.await.unwrap_or_else(|_| Err(over()))
    }
}

/// Does the steps of a transaction until it ends.
fn hold(seat: &mut Seat, steps: &Receiver<Step>, deadline: Instant, ended: &Mutex<&'static str>) {
    loop {
        match steps.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(step) => {
                if let Next::Ended(how) = step(seat) {
                    *ended.lock() = how;
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}
