//! Power cuts, replayed: the writes and syncs of a workload are recorded, the files are built anew
//! as a cut at a random point may leave them, and the store is opened as after any crash.
//!
//! `FLUX_POWERCUT_POINTS` sets how many points are tried.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;
use flux_store_sqlite::{Durability, SqliteStore};

use crate::folder;
use crate::image::Disk;
use crate::tape::{Operation, Tape};
use crate::workload::{Workload, commit, options};

/// Points where nothing else is asked for.
const POINTS_DEFAULT: usize = 10_000;
/// Points of the control.
const POINTS_CONTROL: usize = 400;
const POINTS_PER_WORKLOAD: usize = 250;
const BATCHES_PER_WORKLOAD: usize = 60;
/// The store is closed and opened again after this many batches.
const BATCHES_PER_OPENING: usize = 25;
const THREADS: usize = 2;

/// A workload as it went to disk.
struct Recording {
    workload: Workload,
    operations: Vec<Operation>,
    names: Vec<String>,
    /// How many operations had been made when each batch was acknowledged.
    acknowledged_at: Vec<usize>,
}

fn record(seed: u64, durability: Durability) -> Recording {
    let workload = Workload::new(seed, BATCHES_PER_WORKLOAD);
    let (folder, tape) = (folder(), Tape::start(None));
    let mut acknowledged_at = Vec::new();
    for (opening, batches) in workload.batches.chunks(BATCHES_PER_OPENING).enumerate() {
        let store = SqliteStore::open(folder.path(), &options(Some(tape.name()), durability)).unwrap();
        for (index, batch) in batches.iter().enumerate() {
            commit(&store, opening * BATCHES_PER_OPENING + index, batch).unwrap();
            acknowledged_at.push(tape.len());
        }
    }
    let (operations, names) = tape.recorded();
    Recording { workload, operations, names, acknowledged_at }
}

impl Recording {
    /// Cuts the power at random points and opens what is left; how often something acknowledged
    /// was lost.
    fn replay(&self, folder: &Path, points: usize, rng: &mut Rng) -> usize {
        let mut cuts: Vec<_> = (0..points).map(|_| rng.usize(..=self.operations.len())).collect();
        cuts.sort_unstable();
        let mut disk = Disk::new(&self.names);
        let (mut applied, mut losses) = (0, 0);
        for cut in cuts {
            self.operations[applied..cut].iter().for_each(|operation| disk.apply(operation));
            applied = cut;
            disk.cut(folder, rng);
            let acknowledged = self.acknowledged_at.partition_point(|at| *at <= cut);
            let found = self.workload.check(folder);
            losses += usize::from(found < acknowledged);
        }
        losses
    }
}

/// Replays workloads on two threads; how often something acknowledged was lost.
fn losses(points: usize, durability: Durability) -> usize {
    let next = AtomicUsize::new(0);
    let workloads = points.div_ceil(POINTS_PER_WORKLOAD);
    let work = || {
        let (folder, mut losses) = (folder(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= workloads {
                return losses;
            }
            let points = POINTS_PER_WORKLOAD.min(points - seed * POINTS_PER_WORKLOAD);
            let seed = seed as u64;
            let recording = record(seed, durability);
            let lost = recording.replay(folder.path(), points, &mut Rng::with_seed(seed));
            if lost > 0 && durability == Durability::Full {
                eprintln!("workload {seed} lost acknowledged commands at {lost} points");
            }
            losses += lost;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let points =
        std::env::var("FLUX_POWERCUT_POINTS").map_or(POINTS_DEFAULT, |points| points.parse().unwrap());
    assert_eq!(losses(points, Durability::Full), 0);
}

#[test]
fn without_syncing_commits_the_replay_finds_losses() {
    let losses = losses(POINTS_CONTROL, Durability::Relaxed);
    assert!(losses > POINTS_CONTROL / 10, "only {losses} of {POINTS_CONTROL} points lost something");
}
