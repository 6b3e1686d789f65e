//! What an execution has under way outside of the machine: attempts, child executions being
//! admitted, signals being sent.
//!
//! The first of them is polled by the owner's own task; only when there are several does each
//! further one get a task of its own, so that a flow of sequential steps spawns nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use flux_model::event::TimerKey;
use flux_model::journal::JournalEvent;
use flux_model::{Event, NodePath};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What became of something that was under way.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The node.
    pub(crate) path: NodePath,
    /// The attempt.
    pub(crate) attempt: u32,
    /// What was observed meanwhile.
    pub(crate) observed: Vec<JournalEvent>,
    /// What it came to.
    pub(crate) event: Event,
}

/// Everything under way of one execution. Dropping it stops all of it.
#[derive(Default)]
pub(crate) struct Flight {
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    attempts: BTreeMap<(NodePath, u32), Attempt>,
    /// Ended, not yet looked at.
    landed: Vec<Finished>,
}

struct Attempt {
    cancel: CancellationToken,
    /// When its time is over, as the monotonic clock says.
    due: Option<Duration>,
}

impl Flight {
    /// Begins something that ends by itself, or once `cancel` is.
    pub(crate) fn begin(
        &mut self,
        place: (NodePath, u32),
        cancel: CancellationToken,
        due: Option<Duration>,
        work: BoxFuture<'static, Finished>,
    ) {
        self.attempts.insert(place.clone(), Attempt { cancel, due });
        if self.running.is_empty() {
            self.running.push(work);
            return;
        }
        let task = AbortOnDropHandle::new(tokio::spawn(work));
        let landed = task.map(move |ended| ended.unwrap_or_else(|error| fault(place, &error.to_string())));
        self.running.push(landed.boxed());
    }

    /// Asks an attempt to stop. It still lands.
    pub(crate) fn cancel(&mut self, path: &NodePath, attempt: u32) {
        if let Some(attempt) = self.attempts.get_mut(&(path.clone(), attempt)) {
            attempt.cancel.cancel();
            attempt.due = None;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.landed.is_empty()
    }

    /// Ends when something has landed; never, if nothing is under way. Nothing is lost if the
    /// future is dropped.
    pub(crate) async fn land(&mut self) {
        match self.running.next().await {
            Some(finished) => self.landed.push(finished),
            None => futures::future::pending().await,
        }
    }

    /// Everything that has landed.
    pub(crate) fn landed(&mut self) -> Vec<Finished> {
        while let Some(Some(finished)) = self.running.next().now_or_never() {
            self.landed.push(finished);
        }
        let landed = std::mem::take(&mut self.landed);
        for finished in &landed {
            self.attempts.remove(&(finished.path.clone(), finished.attempt));
        }
        landed
    }

    /// When the first attempt's time is over.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.attempts.values().filter_map(|attempt| attempt.due).min()
    }

    /// The timers of attempts whose time is over at `now`; each is given once.
    pub(crate) fn overdue(&mut self, now: Duration) -> Vec<TimerKey> {
        let mut overdue = Vec::new();
        for ((path, attempt), state) in &mut self.attempts {
            if state.due.is_some_and(|due| due <= now) {
                state.due = None;
                overdue.push(TimerKey::NodeTimeout { path: path.clone(), attempt: *attempt });
            }
        }
        overdue
    }
}

/// The task of an attempt panicked: a fault of ours that must not keep the execution waiting.
fn fault((path, attempt): (NodePath, u32), reason: &str) -> Finished {
    use flux_model::ErrorCode;
    use flux_model::error::Failure;
    let message = format!("the attempt stopped unexpectedly: {reason}; this is a fault inside Flux");
    let result = Err(Failure::permanent(ErrorCode::Internal, message));
    let event = Event::Completed { path: path.clone(), attempt, result };
    Finished { path, attempt, observed: Vec::new(), event }
}
