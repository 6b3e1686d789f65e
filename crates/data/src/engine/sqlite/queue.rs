//! A bounded queue of work and the threads that do it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::Seat;
use crate::DataError;
use crate::limits::QUEUE_MAX;

/// Work for a thread that has a connection.
pub(super) type Job = Box<dyn FnOnce(&mut Seat) + Send>;

/// Work that waits. Its threads end when it is closed and empty.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    /// A queue with so many threads, each with a seat of its own.
    pub(super) fn start(name: &str, threads: usize, seat: impl Fn() -> Seat) -> Result<Arc<Self>, DataError> {
        let queue = Arc::new(Self { state: Mutex::new(State::default()), changed: Condvar::new() });
        for _ in 0..threads {
            let (queue, mut seat) = (Arc::clone(&queue), seat());
            let work = move || {
                while let Some(job) = queue.next() {
                    job(&mut seat);
                }
            };
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(work).map_err(DataError::unavailable)?;
        }
        Ok(queue)
    }

    pub(super) fn push(&self, job: Job) -> Result<(), DataError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(DataError::unavailable("the database was closed"));
        }
        let measured = state.jobs.len();
        if measured >= QUEUE_MAX {
            let (measured, max) = (measured as u64, QUEUE_MAX as u64);
            return Err(DataError::Overloaded { limit: "QUEUE_MAX", measured, max });
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}
