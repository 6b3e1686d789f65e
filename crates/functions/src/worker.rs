//! One worker: a process with a loaded bundle, the calls in flight in it, and their ends.
//!
//! Frames come in through [`Worker::take`], which never waits. Supervision is in `watch.rs`, host
//! calls in `calls.rs`, bodies in `bodies.rs`.

mod bodies;
mod calls;
mod start;
mod table;
mod watch;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flux_model::limits::VALUE_DEPTH_MAX;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::depth::depth;
use crate::error::FunctionError;
use crate::faults::{self, Death};
use crate::host::{Host, LogLine};
use crate::invocation::{ClockReads, Invoked, Output, RunRecord};
use crate::link::{Link, Urgency};
use crate::process::Evidence;
use crate::protocol::heads;
use crate::protocol::{Frame, Kind};

pub(crate) use start::{Loaded, WorkerPlan, WorkerStartError};
use table::{Entry, Table};

/// How long a worker may take to confirm that it gave up a call.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Is told what happens to a worker.
pub(crate) trait Keeper: Send + Sync {
    /// A call ended.
    fn freed(&self);
    /// The worker's process ended.
    fn lost(self: Arc<Self>, worker: &Worker);
    /// The worker is to be replaced: it is old, has served enough, or has grown.
    fn worn(self: Arc<Self>, worker: &Worker);
}

/// A worker that can be called.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Tells it from the other workers of its version.
    pub(crate) number: u64,
    link: Arc<Link>,
    evidence: Evidence,
    table: Mutex<Table>,
    /// Why it ends, once that is decided.
    death: Mutex<Option<Death>>,
    started: Instant,
    /// When the last frame came, in milliseconds since it started.
    heard_ms: AtomicU64,
    served: AtomicU64,
    /// Calls that have a place in it.
    places: AtomicUsize,
    /// Wakes the supervision when the first call comes in.
    busy: tokio::sync::Notify,
    plan: Arc<WorkerPlan>,
    /// Whoever waits for the end of all workers waits until the last of these is dropped.
    _alive: tokio::sync::mpsc::Sender<()>,
}

/// A place for one call in a worker, from before it begins until after it ended.
#[derive(Debug)]
pub(crate) struct Place(Arc<Worker>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, Ordering::Relaxed);
        if let Some(keeper) = self.0.plan.keeper.upgrade() {
            keeper.freed();
        }
    }
}

/// A call as a worker takes it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) function: Arc<str>,
    /// The head of the frame.
    pub(crate) head: Vec<u8>,
    pub(crate) input: Bytes,
    pub(crate) limit: TimeLimit,
}

/// A call that was sent.
#[derive(Clone, Copy)]
struct Run<'a> {
    id: u32,
    task: &'a Task,
    begun: Instant,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimit {
    /// From its beginning.
    pub(crate) most: Duration,
    /// What sets it.
    pub(crate) setting: &'static str,
}

/// What became of a call.
pub(crate) enum Outcome {
    /// It ended.
    Ended(Result<Invoked, FunctionError>),
    /// The worker ended before the call began: another worker may take it.
    NotBegun(Death),
}

/// The worker's last word about a call.
#[derive(Debug)]
pub(crate) enum Reply {
    Output(heads::Run, Bytes),
    Streamed(heads::Run, tokio::sync::mpsc::UnboundedReceiver<crate::invocation::Piece>),
    Failed(heads::Failure),
    Lost { death: Death, begun: Begun },
}

/// Whether a call had begun when its worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    Yes,
    No,
}

impl Worker {
    /// Takes a place for one call.
    pub(crate) fn place(self: &Arc<Self>) -> Place {
        self.places.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Calls that have a place in it.
    pub(crate) fn in_flight(&self) -> usize {
        self.places.load(Ordering::Relaxed)
    }

    /// Whether it takes further calls.
    pub(crate) fn is_open(&self) -> bool {
        !self.table.lock().closed
    }

    /// Calls that it was given.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.evidence.pid()
    }

    /// Runs one call to its end. `keep` is held until then, and until the end of a streamed output.
    pub(crate) async fn run(
        place: Place,
        task: &Task,
        host: Arc<dyn Host>,
        keep: Arc<dyn Send + Sync>,
    ) -> Outcome {
        let this = &Arc::clone(&place.0);
        this.run_in(place, task, host, keep).await
    }

    async fn run_in(
        self: &Arc<Self>,
        place: Place,
        task: &Task,
        host: Arc<dyn Host>,
        keep: Arc<dyn Send + Sync>,
    ) -> Outcome {
        let (reply_to, mut reply) = oneshot::channel();
        let begun = Instant::now();
        let entry = Entry::new(place, Arc::clone(&task.function), host, reply_to);
        let Some(id) = self.begin(task, entry) else {
            return Outcome::NotBegun(self.death_or("the process is ending"));
        };
        let run = Run { id, task, begun };
        let mut abort = AbortOnDrop { worker: self, id: Some(id) };
        let answer = tokio::select! {
            biased;
            answer = &mut reply => answer,
            () = tokio::time::sleep(task.limit.most) => {
                let error = self.end_overdue(run, reply).await;
                abort.id = None;
                return error;
            }
        };
        abort.id = None;
        let answer = answer
            .unwrap_or_else(|_| Reply::Lost { death: self.death_or("the process ended"), begun: Begun::Yes });
        self.conclude(run, answer, keep)
    }

    fn begin(&self, task: &Task, entry: Entry) -> Option<u32> {
        let mut table = self.table.lock();
        if table.closed {
            return None;
        }
        let urgency = if table.entries.is_empty() { Urgency::Idle } else { Urgency::Busy };
        if urgency == Urgency::Idle {
            self.busy.notify_one();
        }
        let id = table.next_id();
        table.entries.insert(id, entry);
        // Under the lock, so that calls begin in the order of their ids: see `Evidence::last_begun`.
        self.link.send(Kind::Invoke, id, (&task.head, &task.input), urgency);
        self.served.fetch_add(1, Ordering::Relaxed);
        Some(id)
    }

    fn conclude(self: &Arc<Self>, run: Run<'_>, reply: Reply, keep: Arc<dyn Send + Sync>) -> Outcome {
        let Run { id, task, begun } = run;
        let function = &task.function;
        Outcome::Ended(match reply {
            Reply::Output(run, body) => output_of(function, body)
                .map(|output| Invoked { output, record: record(run, begun.elapsed()) }),
            Reply::Streamed(mut run, pieces) => {
                let response =
                    run.response.take().unwrap_or(heads::ResultResponse { status: 200, headers: Vec::new() });
                let body = self.body_of(id, pieces, begun, keep);
                let left = task.limit.most.saturating_sub(begun.elapsed());
                self.limit_stream(id, Arc::clone(function), task.limit, left);
                Ok(Invoked {
                    output: Output::Response { status: response.status, headers: response.headers, body },
                    record: record(run, begun.elapsed()),
                })
            }
            Reply::Failed(failure) => Err(faults::from_failure(failure, function, &self.plan.bundle)),
            Reply::Lost { death, begun: Begun::No } => return Outcome::NotBegun(death),
            Reply::Lost { death, begun: Begun::Yes } => Err(faults::from_death(&death, function)),
        })
    }

    /// Ends a call whose time is over; if the worker does not react, ends the worker.
    async fn end_overdue(&self, run: Run<'_>, mut reply: oneshot::Receiver<Reply>) -> Outcome {
        let Run { id, task, begun } = run;
        self.link.send(Kind::Abort, id, (b"", b""), Urgency::Idle);
        let answer = match tokio::time::timeout(ABORT_GRACE, &mut reply).await {
            Ok(answer) => answer,
            Err(_) => {
                self.end(faults::overdue(&task.function, &task.limit, begun.elapsed()));
                reply.await
            }
        };
        let function = &task.function;
        match answer {
            Ok(Reply::Failed(heads::Failure::Aborted { pending })) => {
                Outcome::Ended(Err(faults::timeout(function, &task.limit, begun.elapsed(), &pending)))
            }
            Ok(Reply::Lost { death, begun: Begun::No }) => Outcome::NotBegun(death),
            Ok(Reply::Lost { death, begun: Begun::Yes }) => {
                Outcome::Ended(Err(faults::from_death(&death, function)))
            }
            Ok(Reply::Failed(failure)) => {
                Outcome::Ended(Err(faults::from_failure(failure, function, &self.plan.bundle)))
            }
            // It came a moment too late.
            Ok(Reply::Output(..) | Reply::Streamed(..)) | Err(_) => {
                self.abort(id);
                Outcome::Ended(Err(faults::timeout(
                    function,
                    &task.limit,
                    begun.elapsed(),
                    &["its output".to_owned()],
                )))
            }
        }
    }

    /// Gives up a call: its host calls end, and the worker is told.
    fn abort(&self, id: u32) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(&id) else { return };
        let calls = std::mem::take(&mut entry.calls);
        table.stop_calls(&calls);
        drop(table);
        self.link.send(Kind::Abort, id, (b"", b""), Urgency::Idle);
    }

    /// Ends the worker for this reason, unless another one came first.
    pub(crate) fn end(&self, death: Death) {
        self.death.lock().get_or_insert(death);
        self.evidence.kill();
    }

    /// Lets the worker end by itself; one that does not within `grace` is ended.
    pub(crate) fn shut_down(self: &Arc<Self>, grace: Duration) {
        self.death.lock().get_or_insert(Death::Ended("it was shut down".to_owned()));
        self.table.lock().closed = true;
        self.link.send(Kind::Shutdown, 0, (b"", b""), Urgency::Idle);
        let Ok(executor) = tokio::runtime::Handle::try_current() else {
            // The server itself is ending.
            return self.evidence.kill();
        };
        let worker = Arc::downgrade(self);
        executor.spawn(async move {
            tokio::time::sleep(grace).await;
            if let Some(worker) = Weak::upgrade(&worker) {
                worker.evidence.kill();
            }
        });
    }

    fn death_or(&self, otherwise: &str) -> Death {
        self.death.lock().clone().unwrap_or_else(|| Death::Ended(otherwise.to_owned()))
    }

    /// Takes one frame from the worker. An error is a breach of the protocol.
    fn take(self: &Arc<Self>, frame: Frame) -> Result<(), String> {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(now_ms, Ordering::Relaxed);
        match frame.kind {
            Kind::Result => self.take_result(frame)?,
            Kind::Failed => {
                let failed: heads::Failed = read(&frame.head)?;
                self.take_failure(frame.id, failed.failure);
            }
            Kind::Call => self.take_call(frame)?,
            Kind::Log => self.take_log(&frame)?,
            Kind::Data => self.take_data(frame.id, frame.body)?,
            Kind::End => self.take_end(&frame)?,
            Kind::Credit => {
                let credit: heads::Credit = read(&frame.head)?;
                self.take_credit(frame.id, credit.bytes);
            }
            Kind::Abort => self.table.lock().stop_calls(&[frame.id]),
            Kind::Pong => {}
            Kind::Hello | Kind::Load | Kind::Invoke | Kind::Answer | Kind::Shutdown | Kind::Ping => {
                return Err(format!("{:?} is not a frame of a worker", frame.kind));
            }
            Kind::Ready | Kind::Loaded => return Err(format!("{:?} came twice", frame.kind)),
        }
        Ok(())
    }

    fn take_result(&self, frame: Frame) -> Result<(), String> {
        let run: heads::Run = read(&frame.head)?;
        if run.response.is_none() {
            self.finish(frame.id, |entry| entry.answer(Reply::Output(run, frame.body)));
            return Ok(());
        }
        let mut table = self.table.lock();
        if let Some(entry) = table.entries.get_mut(&frame.id) {
            let pieces = entry.open_stream();
            entry.answer(Reply::Streamed(run, pieces));
        }
        Ok(())
    }

    fn take_failure(&self, id: u32, failure: heads::Failure) {
        let bundle = &self.plan.bundle;
        self.finish(id, |entry| entry.fail(failure, bundle));
    }

    /// Removes a call and lets go of what belongs to it.
    fn finish(&self, id: u32, last: impl FnOnce(&mut Entry)) {
        let entry = {
            let mut table = self.table.lock();
            let Some(mut entry) = table.entries.remove(&id) else { return };
            let calls = std::mem::take(&mut entry.calls);
            table.stop_calls(&calls);
            entry
        };
        let mut entry = entry;
        last(&mut entry);
        entry.roll_back();
    }

    fn take_log(&self, frame: &Frame) -> Result<(), String> {
        let log: heads::Log = read(&frame.head)?;
        let host = self.table.lock().entries.get(&frame.id).map(|entry| Arc::clone(&entry.host));
        let Some(host) = host else {
            tracing::info!(bundle = %self.plan.bundle.id, level = ?log.level, message = log.message, "a module of a function logged");
            return Ok(());
        };
        let fields = if frame.body.is_empty() {
            flux_model::Value::Null
        } else {
            flux_model::Value::from_json(&frame.body).map_err(|error| error.to_string())?
        };
        host.log(LogLine {
            level: log.level,
            message: log.message,
            fields,
            at_us: log.at_us,
            site: log.site.map(Into::into),
        });
        Ok(())
    }
}

fn output_of(function: &str, json: Bytes) -> Result<Output, FunctionError> {
    let depth = depth(&json);
    if depth <= VALUE_DEPTH_MAX {
        return Ok(Output::Json(json));
    }
    let reason = format!("it is nested {depth} levels deep, at most {VALUE_DEPTH_MAX} (VALUE_DEPTH_MAX)");
    Err(FunctionError::Unserialisable { function: function.to_owned(), reason })
}

/// Gives a call up when its caller goes away.
struct AbortOnDrop<'a> {
    worker: &'a Worker,
    id: Option<u32>,
}

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.worker.abort(id);
        }
    }
}

fn read<'a, T: serde::Deserialize<'a>>(head: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(if head.is_empty() { b"{}" } else { head })
        .map_err(|error| format!("a head: {error}"))
}

pub(crate) fn record(run: heads::Run, duration: Duration) -> RunRecord {
    RunRecord {
        duration,
        cpu: Duration::from_micros(run.cpu_us),
        clock: ClockReads { deltas_us: run.clock, dropped: run.clock_dropped },
        logs_dropped: run.logs_dropped,
    }
}
