//! A random workload through the real store, beside the store in memory.

use std::path::Path;

use fastrand::Rng;
use flux_store::conformance::{dump, random};
use flux_store::store::CheckDepth;
use flux_store::triggers::PutTriggerState;
use flux_store::{Command, MemoryStore, Outcome, Store, StoreError};
use flux_store_sqlite::{Durability, Options, SqliteStore};

/// Pages after which the log is copied back: small, so that many copies are cut.
const CHECKPOINT_PAGES: u32 = 40;

/// Commands in batches, with the state that the model has after each.
pub(crate) struct Workload {
    pub(crate) batches: Vec<Vec<Command>>,
    /// `states[n]` is everything there is after `n` batches.
    states: Vec<String>,
}

impl Workload {
    pub(crate) fn new(seed: u64, batches: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let model = MemoryStore::new();
        let mut workload = Self { batches: Vec::new(), states: vec![state(&model)] };
        let mut n = 0;
        for number in 0..batches {
            let mut commands = vec![marker(number as u64)];
            for _ in 0..rng.usize(1..8) {
                n += 1;
                commands.push(random::command(n, rng.u64(..), &model).unwrap());
            }
            model.commit_batch(&commands).unwrap();
            workload.batches.push(commands);
            workload.states.push(state(&model));
        }
        workload
    }

    /// Checks that the store in `folder` opens, is sound, and holds the first batches whole: all
    /// that were acknowledged, none by halves. Gives how many it holds.
    pub(crate) fn check(&self, folder: &Path) -> usize {
        let store = SqliteStore::open(folder, &options(None, Durability::Full))
            .unwrap_or_else(|error| panic!("it does not open: {error:?}"));
        let found = committed(&store);
        assert!(state(&store) == self.states[found], "half a transaction is there after batch {found}");
        let report = store.check(CheckDepth::Full).unwrap();
        assert_eq!(report.findings, [], "after batch {found}");
        found
    }
}

pub(crate) fn options(vfs: Option<String>, durability: Durability) -> Options {
    Options { vfs, durability, checkpoint_pages: CHECKPOINT_PAGES, readers: 1, ..Options::default() }
}

/// Every batch counts itself.
fn marker(number: u64) -> Command {
    Command::PutTriggerState(PutTriggerState {
        tenant: random::TENANTS[0],
        flow: "marker".to_owned(),
        node: "marker".to_owned(),
        state: String::new(),
        expected_version: number,
        at: flux_model::Timestamp::from_millis(0),
    })
}

fn committed(store: &dyn Store) -> usize {
    let marker = store.trigger_state(random::TENANTS[0], "marker", "marker").unwrap();
    marker.map_or(0, |row| usize::try_from(row.version).unwrap())
}

fn state(store: &dyn Store) -> String {
    dump(store, &random::TENANTS).unwrap()
}

/// Commits a batch that is the `number`th.
pub(crate) fn commit(store: &SqliteStore, number: usize, batch: &[Command]) -> Result<(), StoreError> {
    let outcomes = store.commit_batch(batch)?;
    assert_eq!(outcomes[0], Outcome::Saved { revision: number as u64 + 1 });
    Ok(())
}
