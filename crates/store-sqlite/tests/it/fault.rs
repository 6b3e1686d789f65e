//! A failing disk: whichever call fails, the batch is not acknowledged, the store takes no more
//! writes, and what was acknowledged is there when it is opened again.

use flux_store::{Store, StoreError};
use flux_store_sqlite::{Durability, SqliteStore};

use crate::folder;
use crate::image::Disk;
use crate::tape::{Fault, Tape};
use crate::workload::{Workload, commit, options};

/// Every call up to this one fails once.
const CALLS_MAX: u64 = 200;
const BATCHES: usize = 25;

/// How many batches were acknowledged before the disk failed.
fn run_until_failure(workload: &Workload, store: &SqliteStore) -> usize {
    for (number, batch) in workload.batches.iter().enumerate() {
        match commit(store, number, batch) {
            Ok(()) => {}
            Err(StoreError::Unavailable { .. }) => {
                let again = store.commit_batch(batch);
                assert!(matches!(again, Err(StoreError::Poisoned { .. })), "{again:?}");
                return number;
            }
            Err(error) => panic!("{error}"),
        }
    }
    workload.batches.len()
}

/// Runs the workload with this fault; whether it happened.
fn check(workload: &Workload, fault: Fault) -> bool {
    let (folder, tape) = (folder(), Tape::start(Some(fault)));
    // The disk may fail while the store is opened: then nothing was acknowledged.
    let opened = SqliteStore::open(folder.path(), &options(Some(tape.name()), Durability::Full));
    let acknowledged = opened.map_or(0, |store| run_until_failure(workload, &store));
    let found = workload.check(folder.path());
    assert!(
        (acknowledged..=acknowledged + 1).contains(&found),
        "{fault:?}: {acknowledged} acknowledged, {found} found"
    );
    check_lost_cache(workload, &tape, acknowledged, fault);
    let store = SqliteStore::open(folder.path(), &options(None, Durability::Full)).unwrap();
    for (number, batch) in workload.batches.iter().enumerate().skip(found).take(2) {
        commit(&store, number, batch).unwrap();
    }
    tape.failed() > 0
}

/// After a failed sync the system may forget what it could not write: the worst of disks.
fn check_lost_cache(workload: &Workload, tape: &Tape, acknowledged: usize, fault: Fault) {
    let (operations, names) = tape.recorded();
    let mut disk = Disk::new(&names);
    operations.iter().for_each(|operation| disk.apply(operation));
    let folder = folder();
    disk.cut(folder.path(), &mut fastrand::Rng::with_seed(acknowledged as u64));
    let found = workload.check(folder.path());
    assert!(found >= acknowledged, "{fault:?}: {acknowledged} acknowledged, {found} durable");
}

fn check_every_call(fault: impl Fn(u64) -> Fault) {
    let workload = Workload::new(7, BATCHES);
    let happened = (0..CALLS_MAX).filter(|after| check(&workload, fault(*after))).count();
    assert!(happened > 20, "the fault happened in {happened} runs only");
}

#[test]
fn a_full_disk_loses_nothing_and_works_again_with_space() {
    check_every_call(|after| Fault::DiskFull { after });
}

#[test]
fn an_input_output_error_at_any_call_loses_nothing() {
    check_every_call(|after| Fault::Io { after });
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    check_every_call(|after| Fault::Sync { after });
}
