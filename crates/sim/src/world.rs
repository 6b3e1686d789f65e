//! One world: its clock, its store, its process, everybody outside, and the loop that lets one
//! thing happen after the other until nothing is left to happen.

use std::collections::BTreeSet;
use std::fmt;

use fastrand::Rng;
use flux_model::ExecutionId;
use flux_model::review::ReviewStatus;

use crate::catalog::catalog;
use crate::checks::acknowledged::{self, Told};
use crate::checks::durable::Durable;
use crate::checks::effects::Outside;
use crate::checks::{slots, stuck};
use crate::disk::{Disk, tenant};
use crate::driver::{Message, Process};
use crate::flows::{self, Plans};
use crate::outside::Request;
use crate::story::{Story, Telling};
use crate::timeline::Timeline;
use crate::violation::Violation;
use crate::weather::{Weather, hits};

/// Things that may happen in one world; more means that it does not come to rest.
const OCCURRENCES_MAX: u64 = 200_000;
/// How often everything is decided and signalled before what is left is cancelled.
const URGES_MAX: u32 = 60;
/// Longest time that a delivery takes when it is not late, in milliseconds.
const PROMPT_MS_MAX: u64 = 3;
/// Longest jump of the wall clock, in milliseconds: a day.
const JUMP_MS_MAX: i64 = 24 * 3_600 * 1_000;
/// Within this time, clock jumps happen, in milliseconds.
const JUMPS_WITHIN_MS: u64 = 20_000;

/// Something that is going to happen.
pub(crate) enum Occurrence {
    /// The first execution is asked for, and the first visitor comes.
    Begin,
    /// A client asks.
    Ask(usize),
    /// Somebody comes by.
    Visit,
    /// A message arrives, if the process it was sent in still lives.
    Deliver { life: u32, message: Box<Message> },
    /// Entries that nobody waits for are written.
    Flush { life: u32, of: ExecutionId },
    /// A batch becomes durable.
    Written { life: u32 },
    /// The process hears of it.
    Answered { life: u32 },
    /// A timer is due.
    Wake { life: u32 },
    /// A new process begins.
    Restart,
    /// The wall clock is set.
    Jump { by_ms: i64 },
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) timeline: Timeline<Occurrence>,
    pub(crate) disk: Disk,
    pub(crate) plans: Plans,
    /// The process, unless it is down.
    pub(crate) process: Option<Process>,
    /// How many processes there were before.
    pub(crate) life: u32,
    pub(crate) requests: Vec<Request>,
    /// What was acknowledged, to whom it does not matter.
    pub(crate) told: Vec<(ExecutionId, Told)>,
    pub(crate) outside: Outside,
    story: Story,
    happened: u64,
    violation: Option<Violation>,
}

/// What is left of a world.
pub(crate) struct Remains {
    pub(crate) violation: Option<Violation>,
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
    pub(crate) happened: u64,
    pub(crate) executions: usize,
    pub(crate) crashes: u32,
}

impl World {
    /// The world of a seed, before anything happens.
    pub(crate) fn of(seed: u64, telling: Telling) -> Result<Self, Violation> {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::of(&mut rng);
        let plans = flows::random(&mut rng, &catalog()).map_err(|what| Violation::new("flows", what))?;
        let mut world = Self {
            rng,
            weather,
            timeline: Timeline::new(),
            disk: Disk::new(),
            plans,
            process: Some(Process::default()),
            life: 0,
            requests: Vec::new(),
            told: Vec::new(),
            outside: Outside::default(),
            story: Story::new(telling),
            happened: 0,
            violation: None,
        };
        world.tell(format_args!("the weather: {:?}", world.weather.clone()));
        for plan in world.plans.clone().values() {
            world.tell(format_args!("flow {}", flows::describe(plan.flow())));
        }
        world.later(0, Occurrence::Begin);
        for _ in 0..world.weather.jumps {
            let by_ms = world.rng.i64(-JUMP_MS_MAX..=JUMP_MS_MAX);
            let after = world.rng.u64(..JUMPS_WITHIN_MS);
            world.later(after, Occurrence::Jump { by_ms });
        }
        Ok(world)
    }

    /// Lets everything happen, and checks that all of it ends.
    pub(crate) fn run(&mut self) {
        self.rest();
        for round in 0.. {
            if self.violation.is_some() || self.is_over() {
                break;
            }
            if round == 0 {
                self.weather.calm();
                self.tell(format_args!("CALM: from now on everything is decided, signalled or cancelled"));
            }
            if round < URGES_MAX {
                self.urge();
            } else {
                self.cancel_everything();
            }
            self.rest();
            if round > URGES_MAX {
                break;
            }
        }
        if self.violation.is_none()
            && let Err(violation) = self.read_and_check().and_then(|durable| stuck::check_all_over(&durable))
        {
            self.fail(violation);
        }
    }

    /// Lets things happen until nothing happens by itself any more; then nothing may be stuck.
    fn rest(&mut self) {
        while self.violation.is_none() {
            let Some(occurrence) = self.timeline.pop() else { break };
            self.happened += 1;
            if self.happened > OCCURRENCES_MAX {
                let what = format!("{OCCURRENCES_MAX} things happened, and there is no end");
                return self.fail(Violation::new("stuck", what));
            }
            self.happen(occurrence);
            self.begin_batch();
        }
        if self.violation.is_none()
            && let Err(violation) = self.read_and_check().and_then(|durable| self.check_rest(&durable))
        {
            self.fail(violation);
        }
    }

    fn check_rest(&self, durable: &Durable) -> Result<(), Violation> {
        let review = |id| -> Option<ReviewStatus> {
            self.disk.store().review(tenant(), id).ok().flatten().map(|row| row.status)
        };
        stuck::check(durable, &self.plans, review)?;
        acknowledged::check_at_rest(&self.told, durable)?;
        // Whoever was told to stop has stopped by now.
        for (name, plan) in &self.plans {
            let rows = durable.values().map(|kept| &kept.row).filter(|row| row.flow == *name);
            slots::check(plan, rows, &BTreeSet::new())?;
        }
        Ok(())
    }

    fn happen(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Begin => {
                for _ in 0..self.rng.u32(1..4) {
                    self.visit_flow();
                }
                self.visit();
            }
            Occurrence::Ask(number) => self.ask(number),
            Occurrence::Visit => self.visit(),
            Occurrence::Deliver { life, message } if life == self.life => {
                if !self.crashes_here() {
                    self.deliver(*message);
                }
            }
            Occurrence::Flush { life, of } if life == self.life => self.flush(of),
            Occurrence::Written { life } if life == self.life => self.write(),
            Occurrence::Answered { life } if life == self.life => self.answer(),
            Occurrence::Wake { life } if life == self.life => self.wake(),
            Occurrence::Deliver { .. }
            | Occurrence::Flush { .. }
            | Occurrence::Written { .. }
            | Occurrence::Answered { .. }
            | Occurrence::Wake { .. } => {}
            Occurrence::Restart => self.restart(),
            Occurrence::Jump { by_ms } => {
                self.tell(format_args!("the clock jumps by {by_ms} ms"));
                self.timeline.jump(by_ms);
                self.wake();
            }
        }
    }

    /// Asks the store to write something, as long as there is a process that can ask.
    pub(crate) fn submit(&mut self, command: flux_store::Command, receipt: crate::driver::Receipt) {
        if self.process.is_some() {
            self.disk.submit(command, receipt);
        }
    }

    fn begin_batch(&mut self) {
        if self.process.is_some() && self.disk.begin() {
            let takes = self.rng.u64(..=self.weather.commit_ms_max);
            self.later(takes, Occurrence::Written { life: self.life });
        }
    }

    /// The batch under way is written, or not, or is but nobody hears of it. The store says so by
    /// failing, and a process whose store failed restarts.
    fn write(&mut self) {
        if hits(&mut self.rng, self.weather.commit_fails) {
            self.disk.lose();
            return self.crash("a commit failed");
        }
        if let Err(violation) = self.disk.write(&self.plans) {
            return self.fail(violation);
        }
        if hits(&mut self.rng, self.weather.commit_lost) {
            return self.crash("a commit succeeded, its answer was lost");
        }
        let takes = self.rng.u64(..=self.weather.commit_ms_max.min(20));
        self.later(takes, Occurrence::Answered { life: self.life });
    }

    fn answer(&mut self) {
        for (receipt, outcome) in self.disk.answer() {
            if self.crashes_here() || self.process.is_none() {
                return;
            }
            self.answered(receipt, outcome);
        }
    }

    /// Has something happen, some time from now.
    pub(crate) fn later(&mut self, after_ms: u64, occurrence: Occurrence) {
        let tie = self.rng.u32(..);
        self.timeline.push(after_ms, tie, occurrence);
    }

    /// Sends a message, which may come late or twice.
    pub(crate) fn send(&mut self, message: Message) {
        self.send_after(0, message);
    }

    /// Sends a message some time from now.
    pub(crate) fn send_after(&mut self, after_ms: u64, message: Message) {
        if self.process.is_none() {
            return;
        }
        if hits(&mut self.rng, self.weather.duplicate) {
            let again = after_ms + self.delay();
            self.deliver_after(again, message.clone());
        }
        let after = after_ms + self.delay();
        self.deliver_after(after, message);
    }

    /// Has a message arrive at that time, once.
    pub(crate) fn deliver_after(&mut self, after_ms: u64, message: Message) {
        let message = Box::new(message);
        self.later(after_ms, Occurrence::Deliver { life: self.life, message });
    }

    fn delay(&mut self) -> u64 {
        if hits(&mut self.rng, self.weather.late) {
            self.rng.u64(..=self.weather.late_ms_max)
        } else {
            self.rng.u64(..PROMPT_MS_MAX)
        }
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&mut self, line: fmt::Arguments<'_>) {
        self.story.tell(self.timeline.now_ms(), line);
    }

    /// A promise was broken; the first one counts.
    pub(crate) fn fail(&mut self, violation: Violation) {
        self.tell(format_args!("VIOLATION {violation}"));
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn remains(self) -> Remains {
        let executions = self.disk.store().status_counts(tenant()).unwrap_or_default();
        let executions = executions.succeeded + executions.failed + executions.cancelled;
        Remains {
            violation: self.violation,
            hash: self.story.hash(),
            lines: self.story.into_lines(),
            happened: self.happened,
            executions: usize::try_from(executions).unwrap_or(usize::MAX),
            crashes: self.life,
        }
    }
}
