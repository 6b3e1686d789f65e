//! The workers of one version: which of them takes a call, and who replaces one that is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::FunctionError;
use crate::settings::Spare;
use crate::worker::{self, Keeper, Loaded, Worker, WorkerPlan, WorkerStartError};

/// How long a worker may take to end by itself once it has nothing to do.
const END_GRACE: Duration = Duration::from_secs(1);
/// A worker that ends sooner than this after its start is not replaced before somebody needs it.
const CRASH_LOOP: Duration = Duration::from_secs(1);
/// How often a worker that is being replaced is asked whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The workers of one version. Ends them when it is dropped.
#[derive(Debug)]
pub(crate) struct Pool {
    plan: Arc<WorkerPlan>,
    state: Mutex<State>,
    changed: Notify,
    waiting: AtomicUsize,
    last_number: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    serving: Vec<Arc<Worker>>,
    spare: Option<Arc<Worker>>,
    /// Workers that are being started to serve.
    starting: usize,
    /// Whether a spare is being started.
    spare_starting: bool,
    /// The last failed start.
    failed: Option<(Instant, String)>,
    /// No further calls are taken and no workers started.
    ended: bool,
}

/// What there is for a call.
enum Found {
    Place(worker::Place),
    /// One will be there, or free.
    Wait,
}

impl Pool {
    /// A pool with one worker, and what that worker says of the functions.
    pub(crate) async fn start(
        plan: impl FnOnce(std::sync::Weak<dyn Keeper>) -> WorkerPlan,
    ) -> Result<(Arc<Self>, Loaded), WorkerStartError> {
        let pool = Arc::new_cyclic(|pool: &std::sync::Weak<Self>| Self {
            plan: Arc::new(plan(pool.clone())),
            state: Mutex::default(),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            last_number: AtomicU64::new(0),
        });
        let (worker, loaded) = Worker::start(Arc::clone(&pool.plan), pool.next_number()).await?;
        pool.state.lock().serving.push(worker);
        pool.keep_spare();
        Ok((pool, loaded))
    }

    /// A place for one call in a worker. Waits for one if all are full.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<worker::Place, FunctionError> {
        let since = Instant::now();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            match self.find(since)? {
                Found::Place(place) => return Ok(place),
                Found::Wait => {}
            }
            let _place = self.queue()?;
            changed.await;
        }
    }

    fn find(self: &Arc<Self>, since: Instant) -> Result<Found, FunctionError> {
        let settings = &self.plan.settings;
        let mut state = self.state.lock();
        if state.ended {
            return Err(FunctionError::Cancelled("the server is shutting down".to_owned()));
        }
        if let Some((_, why)) = state.failed.as_ref().filter(|(at, _)| *at >= since)
            && state.serving.is_empty()
        {
            return Err(FunctionError::Unavailable(why.clone()));
        }
        let open = state.serving.iter().filter(|worker| worker.is_open());
        let least = open.map(|worker| (worker.in_flight(), worker)).min_by_key(|(calls, _)| *calls);
        if let Some((_, worker)) = least.filter(|(calls, _)| *calls < settings.calls_per_process) {
            return Ok(Found::Place(worker.place()));
        }
        if state.serving.len() + state.starting >= settings.processes_max.max(1) {
            return Ok(Found::Wait);
        }
        if let Some(spare) = state.spare.take() {
            let place = spare.place();
            state.serving.push(spare);
            drop(state);
            self.keep_spare();
            return Ok(Found::Place(place));
        }
        state.starting += 1;
        drop(state);
        self.start_worker();
        Ok(Found::Wait)
    }

    fn queue(&self) -> Result<Waiting<'_>, FunctionError> {
        let limit = self.plan.settings.queue_max;
        let place = Waiting(&self.waiting);
        let measured = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        if measured > limit {
            drop(place);
            return Err(FunctionError::Overloaded {
                limit,
                measured,
                setting: "functions.queue_max in flux-server.toml",
            });
        }
        Ok(place)
    }

    /// Starts a worker that was counted in `starting`.
    fn start_worker(self: &Arc<Self>) {
        let pool = Arc::downgrade(self);
        let (plan, number) = (Arc::clone(&self.plan), self.next_number());
        tokio::spawn(async move {
            let started = Worker::start(plan, number).await;
            let Some(pool) = pool.upgrade() else {
                if let Ok((worker, _)) = started {
                    worker.shut_down(END_GRACE);
                }
                return;
            };
            let mut state = pool.state.lock();
            state.starting -= 1;
            match started {
                Ok((worker, _)) => state.serving.push(worker),
                Err(error) => state.failed = Some((Instant::now(), error.to_string())),
            }
            drop(state);
            pool.changed.notify_waiters();
        });
    }

    /// Starts a spare if there is to be one and is none.
    fn keep_spare(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            let is_wanted = self.plan.settings.spare == Spare::Kept && !state.ended;
            if !is_wanted || state.spare.is_some() || state.spare_starting {
                return;
            }
            state.spare_starting = true;
        }
        let pool = Arc::downgrade(self);
        let (plan, number) = (Arc::clone(&self.plan), self.next_number());
        tokio::spawn(async move {
            let started = Worker::start(plan, number).await;
            match (started, pool.upgrade()) {
                (Ok((worker, _)), Some(pool)) => {
                    let mut state = pool.state.lock();
                    state.spare_starting = false;
                    // One that everybody waits for does not stay a spare.
                    if state.serving.is_empty() {
                        state.serving.push(worker);
                    } else {
                        state.spare = Some(worker);
                    }
                    drop(state);
                    pool.changed.notify_waiters();
                }
                (Ok((worker, _)), None) => worker.shut_down(END_GRACE),
                (Err(error), Some(pool)) => {
                    let mut state = pool.state.lock();
                    state.spare_starting = false;
                    state.failed = Some((Instant::now(), error.to_string()));
                    drop(state);
                    tracing::warn!(bundle = %pool.plan.bundle.id, %error, "no spare process for functions");
                    pool.changed.notify_waiters();
                }
                (Err(_), None) => {}
            }
        });
    }

    /// Puts the spare in the place of a worker that is gone or going; without a spare, starts one.
    fn replace(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if let Some(spare) = state.spare.take() {
            state.serving.push(spare);
        } else if state.serving.is_empty() && state.starting == 0 && !state.spare_starting && !state.ended {
            state.starting += 1;
            drop(state);
            self.start_worker();
            return;
        }
        drop(state);
        self.changed.notify_waiters();
        self.keep_spare();
    }

    /// Ends every worker once its calls have ended.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let workers: Vec<Arc<Worker>> = state.serving.drain(..).collect();
        let spare = state.spare.take();
        drop(state);
        for worker in workers.into_iter().chain(spare) {
            tokio::spawn(Self::drain(worker, self.plan.settings.drain));
        }
        self.changed.notify_waiters();
    }

    async fn drain(worker: Arc<Worker>, most: Duration) {
        let begun = Instant::now();
        while worker.in_flight() > 0 && begun.elapsed() < most {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        worker.shut_down(END_GRACE);
    }

    fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The numbers of its processes, those that serve first.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let state = self.state.lock();
        state.serving.iter().chain(&state.spare).map(|worker| worker.pid()).collect()
    }

    /// Calls in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().serving.iter().map(|worker| worker.in_flight()).sum()
    }
}

/// The pool as its workers see it. They hold it weakly, so it can be dropped while they end.
impl Keeper for Pool {
    fn freed(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_one();
        }
    }

    fn lost(self: Arc<Self>, worker: &Worker) {
        let mut state = self.state.lock();
        let before = state.serving.len();
        state.serving.retain(|other| other.number != worker.number);
        let was_serving = state.serving.len() < before;
        let was_spare = state.spare.as_ref().is_some_and(|spare| spare.number == worker.number);
        if was_spare {
            state.spare = None;
        }
        drop(state);
        let crashed_at_once = worker.age() < CRASH_LOOP && worker.served() == 0;
        if was_serving && !crashed_at_once {
            self.replace();
        } else if was_spare && !crashed_at_once {
            self.keep_spare();
        }
        self.changed.notify_waiters();
    }

    fn worn(self: Arc<Self>, worker: &Worker) {
        let mut state = self.state.lock();
        let Some(at) = state.serving.iter().position(|other| other.number == worker.number) else { return };
        let worker = state.serving.remove(at);
        drop(state);
        self.replace();
        tokio::spawn(Self::drain(worker, self.plan.settings.drain));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        for worker in state.serving.drain(..).chain(state.spare.take()) {
            worker.shut_down(END_GRACE);
        }
    }
}

/// A place among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
