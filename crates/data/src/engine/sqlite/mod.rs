//! SQLite: one file, one thread that writes, a few that read. Statements run on those threads; callers
//! wait without blocking theirs.

mod failure;
mod queue;
mod run;
mod seat;
mod transaction;

pub(crate) use failure::said;
pub(crate) use run::select;
pub(crate) use seat::Seat;
pub(crate) use transaction::SqliteTransaction;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Options;
use super::answer::Row;
use super::steps::{Done, Steps};
use crate::DataError;
use crate::compile::Statement;
use crate::context::Context;
use queue::Queue;
use seat::Role;

/// Limits and settings that every statement of one database has.
pub(crate) use seat::Bounds;

/// An SQLite file that is open.
pub(crate) struct Sqlite {
    writer: Arc<Queue>,
    readers: Arc<Queue>,
    bounds: Bounds,
}

impl Sqlite {
    /// Opens the file, creating it and the engine's own tables.
    pub(crate) async fn open(path: PathBuf, options: &Options) -> Result<Self, DataError> {
        let bounds = Bounds::of(options);
        let writer = Queue::start("flux-data-write", 1, || Seat::new(path.clone(), Role::Writer, bounds))?;
        let readers = options.connections.max(1);
        let readers =
            Queue::start("flux-data-read", readers, || Seat::new(path.clone(), Role::Reader, bounds))?;
        let sqlite = Self { writer, readers, bounds };
        sqlite.write(sqlite.bounds.deadline(None), |seat| seat.prepare_file()).await?;
        Ok(sqlite)
    }

    /// Runs a select on a reading thread.
    pub(crate) async fn select(
        &self,
        context: &Context,
        statement: Statement,
    ) -> Result<(Vec<Row>, Statement), DataError> {
        let deadline = self.bounds.deadline(context.timeout);
        self.read(deadline, move |seat| select(seat, &statement).map(|rows| (rows, statement))).await
    }

    /// Carries out a change in a transaction of its own.
    pub(crate) async fn change(&self, context: &Context, steps: Steps) -> Result<Done, DataError> {
        let (deadline, context) = (self.bounds.deadline(context.timeout), context.clone());
        self.write(deadline, move |seat| run::change(seat, &steps, &context)).await
    }

    /// Begins a transaction, as soon as no other one is open.
    pub(crate) async fn begin(&self, context: &Context) -> Result<SqliteTransaction, DataError> {
        SqliteTransaction::begin(&self.writer, self.bounds, context.timeout).await
    }

    /// Runs `work` on a reading thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&mut Seat) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        run_on(&self.readers, deadline, work).await
    }

    /// Runs `work` on the writing thread.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&mut Seat) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        run_on(&self.writer, deadline, work).await
    }

    pub(crate) const fn bounds(&self) -> Bounds {
        self.bounds
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.writer.close();
        self.readers.close();
    }
}

async fn run_on<T: Send + 'static>(
    queue: &Queue,
    deadline: Instant,
    work: impl FnOnce(&mut Seat) -> Result<T, DataError> + Send + 'static,
) -> Result<T, DataError> {
    let (answer, answered) = oneshot::channel();
    queue.push(Box::new(move |seat: &mut Seat| {
        // Nobody waits any more: the work is not begun.
        if !answer.is_closed() {
            // The caller may go away meanwhile; then the answer is for nobody.
            let _ = answer.send(seat.within(deadline, work));
        }
    }))?;
    answered.await.unwrap_or_else(|_| Err(DataError::unavailable("the database was closed")))
}
