//! The store of the world, and everything that can go wrong between asking it to write and being
//! told that it did.
//!
//! Commands queue, a batch of them is written as one transaction, the answer comes later. The
//! store itself is the real one, in memory, with real records and objects. Whatever becomes
//! durable is followed at once by the checks that look at single commits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flux_model::execution::ExecutionStatus;
use flux_model::ids::{OrganizationId, ProjectId};
use flux_model::review::ReviewStatus;
use flux_model::{ExecutionId, Tenant};
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::reviews::ReviewFilter;
use flux_store::{
    Command, ExecutionFilter, ExecutionRow, MemoryStore, Outcome, PageRequest, Step, Store, TimerName,
};

use crate::checks::durable::broken;
use crate::checks::replay::Follower;
use crate::checks::slots;
use crate::driver::Receipt;
use crate::flows::Plans;
use crate::stored::{self, Objects};
use crate::violation::Violation;

/// Commands in one transaction.
const BATCH_MAX: usize = 8;

/// The one tenant of the world.
pub(crate) fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(1) }
}

/// The store with its queue.
pub(crate) struct Disk {
    store: MemoryStore,
    pub(crate) objects: Objects,
    queue: VecDeque<Job>,
    batch: Option<Batch>,
    /// What is durable of each execution, folded.
    followers: BTreeMap<ExecutionId, Follower>,
    /// Executions that the store said must be cancelled to make room.
    stopping: BTreeSet<ExecutionId>,
}

struct Job {
    command: Command,
    receipt: Receipt,
}

struct Batch {
    jobs: Vec<Job>,
    /// Set once it is durable.
    outcomes: Option<Vec<Outcome>>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            objects: Objects::new(),
            queue: VecDeque::new(),
            batch: None,
            followers: BTreeMap::new(),
            stopping: BTreeSet::new(),
        }
    }

    /// The store, to read from.
    pub(crate) fn store(&self) -> &dyn Store {
        &self.store
    }

    /// What is durable of an execution.
    pub(crate) fn follower(&self, id: ExecutionId) -> Option<&Follower> {
        self.followers.get(&id)
    }

    /// The row of an execution.
    pub(crate) fn row(&self, id: ExecutionId) -> Option<ExecutionRow> {
        self.store.execution(tenant(), id).ok().flatten()
    }

    /// Asks for a command to be written.
    pub(crate) fn submit(&mut self, command: Command, receipt: Receipt) {
        self.queue.push_back(Job { command, receipt });
    }

    /// Takes what is queued into a batch, unless one is under way. Says whether one was begun.
    pub(crate) fn begin(&mut self) -> bool {
        if self.batch.is_some() || self.queue.is_empty() {
            return false;
        }
        let count = self.queue.len().min(BATCH_MAX);
        self.batch = Some(Batch { jobs: self.queue.drain(..count).collect(), outcomes: None });
        true
    }

    /// The batch becomes durable.
    pub(crate) fn write(&mut self, plans: &Plans) -> Result<(), Violation> {
        let Some(mut batch) = self.batch.take() else { return Ok(()) };
        let commands: Vec<Command> = batch.jobs.iter().map(|job| job.command.clone()).collect();
        let outcomes = self.store.commit_batch(&commands).map_err(broken)?;
        for (command, outcome) in commands.iter().zip(&outcomes) {
            self.follow(command, outcome, plans)?;
        }
        batch.outcomes = Some(outcomes);
        self.batch = Some(batch);
        self.check_slots(plans)
    }

    /// The answers to a durable batch.
    pub(crate) fn answer(&mut self) -> Vec<(Receipt, Outcome)> {
        let Some(Batch { jobs, outcomes: Some(outcomes) }) = self.batch.take() else { return Vec::new() };
        jobs.into_iter().map(|job| job.receipt).zip(outcomes).collect()
    }

    /// Whether a batch is under way that is not durable yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.outcomes.is_none())
    }

    /// The process died: what was not durable is gone, and no answer arrives.
    pub(crate) fn lose(&mut self) {
        self.queue.clear();
        self.batch = None;
    }

    fn follow(&mut self, command: &Command, outcome: &Outcome, plans: &Plans) -> Result<(), Violation> {
        let (id, step) = match (command, outcome) {
            (Command::Accept(accept), Outcome::Started { cancel }) => {
                self.stopping.extend(cancel);
                match &accept.first {
                    Some(step) => (accept.execution.id, step),
                    None => return Ok(()),
                }
            }
            (Command::Release(_), Outcome::Started { cancel }) => {
                self.stopping.extend(cancel);
                return Ok(());
            }
            (Command::Append(append), Outcome::Appended { .. }) => (append.execution, &append.step),
            (Command::Append(append), other) => {
                let what = format!("{}: a step was refused: {other:?}", append.execution);
                return Err(Violation::new("store", what));
            }
            (_, Outcome::Refused(refusal)) => return Err(Violation::new("store", refusal.to_string())),
            (_, _) => return Ok(()),
        };
        let row = self.row(id).ok_or_else(|| Violation::new("store", format!("{id} is gone")))?;
        self.follow_step(&row, step, plans)
    }

    fn follow_step(&mut self, row: &ExecutionRow, step: &Step, plans: &Plans) -> Result<(), Violation> {
        let unreadable = |what: String| Violation::new("durable", format!("{}: {what}", row.id));
        let entries = stored::entries(&step.record, &self.objects).map_err(unreadable)?;
        let plan = plans.get(&row.flow).ok_or_else(|| unreadable(format!("no plan for {}", row.flow)))?;
        let follower = self.followers.entry(row.id);
        let follower = follower.or_insert_with(|| Follower::new(plan.clone(), row.id));
        follower.follow(&entries)?;
        follower.check_row(row)?;
        let timers = self.store.timers_of(tenant(), row.id).map_err(broken)?;
        let machine = timers.into_iter().filter_map(|timer| match timer.name {
            TimerName::Machine(key) => Some((key, timer.due)),
            TimerName::Start => None,
        });
        follower.check_timers(machine.collect())?;
        let filter = ReviewFilter { status: Some(ReviewStatus::Pending), execution: Some(row.id) };
        let page = self.store.reviews(tenant(), &filter, PageRequest::first(PAGE_ROWS_MAX));
        let pending = page.map_err(broken)?.items;
        follower.check_reviews(&pending.into_iter().map(|row| row.request.id).collect())
    }

    fn check_slots(&self, plans: &Plans) -> Result<(), Violation> {
        for (name, plan) in plans.iter().filter(|(_, plan)| plan.settings().concurrency.is_some()) {
            let filter = ExecutionFilter {
                flow: Some(name.clone()),
                statuses: vec![ExecutionStatus::Running, ExecutionStatus::Waiting],
                ..ExecutionFilter::default()
            };
            let page = self.store.executions(tenant(), &filter, PageRequest::first(PAGE_ROWS_MAX));
            slots::check(plan, &page.map_err(broken)?.items, &self.stopping)?;
        }
        Ok(())
    }
}
