//! Supervision of a worker: reading its frames, looking at its memory and processor time, and
//! telling everybody when it has ended.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::task::JoinHandle;

use super::{Begun, Reply, Worker};
use crate::faults::{self, Death};
use crate::link::{FrameReader, ReadError, Urgency};
use crate::protocol::Kind;

/// How often a worker with calls in flight is looked at.
const LOOK_BUSY: Duration = Duration::from_millis(50);
/// How often an idle one is.
const LOOK_IDLE: Duration = Duration::from_secs(5);
/// Silence after which a worker with calls in flight is asked for a sign of life.
const SILENCE: Duration = Duration::from_millis(150);
/// How long a worker may leave that question open without using the processor.
const UNRESPONSIVE_MAX: Duration = Duration::from_secs(15);
/// How long a process whose connection is gone may take to end.
const END_GRACE: Duration = Duration::from_millis(200);
/// A process that is idle and uses more than this part of its memory is replaced.
const WORN_MEMORY: f64 = 0.8;

/// What is looked at from one time to the next.
#[derive(Debug, Default)]
struct Watch {
    ping: Option<Ping>,
    worn: bool,
}

/// A question for a sign of life.
#[derive(Debug)]
struct Ping {
    at: Instant,
    heard_ms: u64,
    cpu: Duration,
}

/// Supervises until the process has ended.
pub(super) fn begin(worker: &Arc<Worker>, child: Child, reader: FrameReader, writing: JoinHandle<()>) {
    let reading = tokio::spawn(read_frames(Arc::clone(worker), reader));
    let worker = Arc::clone(worker);
    tokio::spawn(async move {
        let status = watch(&worker, child).await;
        // What the worker sent before its end counts: reading ends where the connection does.
        let _ = tokio::time::timeout(END_GRACE, reading).await;
        writing.abort();
        close(&worker, status);
    });
}

async fn read_frames(worker: Arc<Worker>, mut reader: FrameReader) {
    loop {
        match reader.next().await {
            Ok(frame) => {
                if let Err(breach) = worker.take(frame) {
                    return worker.end(Death::Ended(breach));
                }
            }
            Err(error @ ReadError::Malformed(_)) => return worker.end(Death::Ended(error.to_string())),
            Err(ReadError::Closed | ReadError::Io(_)) => break,
        }
    }
    // Its process ends as well; one that does not is no use any more.
    let worker = Arc::downgrade(&worker);
    tokio::spawn(async move {
        tokio::time::sleep(END_GRACE).await;
        if let Some(worker) = worker.upgrade() {
            worker.end(Death::Ended("it closed its connection".to_owned()));
        }
    });
}

async fn watch(worker: &Arc<Worker>, mut child: Child) -> std::io::Result<ExitStatus> {
    let mut watch = Watch::default();
    loop {
        let is_busy = worker.in_flight() > 0;
        let pause = if is_busy { LOOK_BUSY } else { LOOK_IDLE };
        tokio::select! {
            status = child.wait() => return status,
            () = tokio::time::sleep(pause) => watch.look(worker),
            () = worker.busy.notified(), if !is_busy => {}
        }
    }
}

impl Watch {
    fn look(&mut self, worker: &Worker) {
        self.look_at_memory(worker);
        if worker.in_flight() > 0 {
            self.look_for_life(worker);
        } else {
            self.ping = None;
        }
        self.look_at_age(worker);
    }

    fn look_at_memory(&mut self, worker: &Worker) {
        let limit_mb = worker.plan.process.memory_mb;
        let Some(measured_mb) = worker.evidence.memory_mb() else { return };
        if measured_mb > limit_mb {
            worker.end(Death::Memory { limit_mb, measured_mb });
        } else if measured_mb as f64 > limit_mb as f64 * WORN_MEMORY && worker.in_flight() == 0 {
            self.wear(worker);
        }
    }

    /// A worker whose event loop turns answers a ping at once. One that does not is in a loop if it
    /// uses the processor, and hangs if it does not.
    fn look_for_life(&mut self, worker: &Worker) {
        let heard_ms = worker.heard_ms.load(Ordering::Relaxed);
        let cpu = worker.evidence.cpu().unwrap_or_default();
        match &self.ping {
            Some(ping) if ping.heard_ms == heard_ms => {
                let measured = cpu.saturating_sub(ping.cpu);
                let limit = worker.plan.settings.cpu;
                if measured >= limit {
                    worker.end(Death::Cpu { limit, measured });
                } else if ping.at.elapsed() > UNRESPONSIVE_MAX {
                    let message = format!(
                        "it did not react for {} ms and did not use the processor; at most {} ms (UNRESPONSIVE_MAX)",
                        ping.at.elapsed().as_millis(),
                        UNRESPONSIVE_MAX.as_millis()
                    );
                    worker.end(Death::Ended(message));
                }
            }
            Some(_) => self.ping = None,
            None if worker.started.elapsed() > Duration::from_millis(heard_ms) + SILENCE => {
                self.ping = Some(Ping { at: Instant::now(), heard_ms, cpu });
                worker.link.send(Kind::Ping, 0, (b"", b""), Urgency::Idle);
            }
            None => {}
        }
    }

    fn look_at_age(&mut self, worker: &Worker) {
        let settings = &worker.plan.settings;
        if worker.served() >= settings.recycle_calls || worker.age() >= settings.recycle_age {
            self.wear(worker);
        }
    }

    fn wear(&mut self, worker: &Worker) {
        if std::mem::replace(&mut self.worn, true) {
            return;
        }
        if let Some(keeper) = worker.plan.keeper.upgrade() {
            keeper.worn(worker);
        }
    }
}

/// Tells every call in flight that the worker is gone, and whether it had begun.
fn close(worker: &Worker, status: std::io::Result<ExitStatus>) {
    let death = death_of(worker, status);
    *worker.death.lock() = Some(death.clone());
    let last_begun = worker.evidence.last_begun();
    let entries = {
        let mut table = worker.table.lock();
        table.closed = true;
        let entries = std::mem::take(&mut table.entries);
        entries.values().for_each(|entry| table.stop_calls(&entry.calls));
        entries
    };
    // Before the calls are answered: who tries again must not meet this worker.
    if let Some(keeper) = worker.plan.keeper.upgrade() {
        keeper.lost(worker);
    }
    for (id, mut entry) in entries {
        let begun = if id <= last_begun { Begun::Yes } else { Begun::No };
        entry.break_stream(faults::from_death(&death, &entry.function));
        entry.answer(Reply::Lost { death: death.clone(), begun });
        entry.roll_back();
    }
}

fn death_of(worker: &Worker, status: std::io::Result<ExitStatus>) -> Death {
    let decided = worker.death.lock().clone();
    if worker.evidence.ran_out_of_memory() && !matches!(decided, Some(Death::Memory { .. })) {
        // V8 gave up; what it held then is close to its limit.
        let limit_mb = worker.plan.process.memory_mb;
        return Death::Memory { limit_mb, measured_mb: limit_mb };
    }
    match (decided, status) {
        (Some(death @ (Death::Cpu { .. } | Death::Memory { .. } | Death::Overdue { .. })), _) => death,
        (Some(death @ Death::Ended(_)), Err(_)) => death,
        (Some(Death::Ended(reason)), Ok(status)) => {
            Death::Ended(format!("{reason}; {}", worker.evidence.describe_end(status)))
        }
        (None, Ok(status)) => Death::Ended(worker.evidence.describe_end(status)),
        (None, Err(error)) => Death::Ended(error.to_string()),
    }
}
