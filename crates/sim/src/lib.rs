//! A seeded simulator of the whole system around the state machine.
//!
//! A seed gives a world: random flows, a driver that goes through
//! [`flux_core::session::Session`], the in-memory store behind faults, tasks that fail, people
//! who decide, a clock that jumps and a process that is killed between any two things it does.
//! Everything happens in one thread, from one queue, in virtual time; the same seed gives the same
//! story. While it happens and when it is over, the checks look for broken promises.
//!
//! Nothing here is shipped, and nothing here touches a clock, a file, a thread or the network.

mod catalog;
mod checks;
mod disk;
mod driver;
mod flows;
mod outside;
mod stored;
mod story;
mod timeline;
mod values;
mod violation;
mod weather;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use story::Telling;
pub use violation::Violation;
use world::World;

/// Seeds that once found something, one per line; what follows a `#` says what.
const CORPUS: &str = include_str!("../corpus/seeds.txt");

/// How one seed went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The same for two runs of the same seed.
    pub hash: u64,
    /// What happened, one line each, if that was asked for.
    pub story: Vec<String>,
    /// How many things happened.
    pub happened: u64,
    /// How many executions came to their end.
    pub executions: usize,
    /// How often the process was killed.
    pub crashes: u32,
}

/// Simulates one seed.
pub fn simulate(seed: u64, telling: Telling) -> Report {
    let mut world = match World::of(seed, telling) {
        Ok(world) => world,
        Err(violation) => return Report { violation: Some(violation), ..Report::empty(seed) },
    };
    // A fault in the machine must not hide how it came to it.
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    if let Some(payload) = panicked {
        world.fail(Violation::new("panic", panic_text(&*payload)));
    }
    let remains = world.remains();
    Report {
        seed,
        violation: remains.violation,
        hash: remains.hash,
        story: remains.lines,
        happened: remains.happened,
        executions: remains.executions,
        crashes: remains.crashes,
    }
}

/// The seeds that are always run.
pub fn corpus() -> Vec<u64> {
    let lines = CORPUS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(|line| line.parse().ok()).collect()
}

impl Report {
    const fn empty(seed: u64) -> Self {
        Self { seed, violation: None, hash: 0, story: Vec::new(), happened: 0, executions: 0, crashes: 0 }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a text").to_owned()
}
