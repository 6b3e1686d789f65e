//! Damage is found and named, and everything else is still served.

use flux_store::conformance::sample::{accepting, append, execution, step, tenant};
use flux_store::store::{CheckDepth, Finding};
use flux_store::{Store, StoreError};
use flux_store_sqlite::{DATABASE_FILE, OpenError, Options, SqliteStore};
use rusqlite::Connection;

use crate::folder;

/// Damages a store of two executions and gives what a full check finds.
fn check(damage: &str) -> Vec<Finding> {
    let folder = folder();
    let open = || SqliteStore::open(folder.path(), &Options::default()).unwrap();
    let commands = [accepting(1, |_| {}), append(1, 1, step(1)), append(1, 2, step(2)), accepting(2, |_| {})];
    open().commit_batch(&commands).unwrap();
    Connection::open(folder.path().join(DATABASE_FILE)).unwrap().execute_batch(damage).unwrap();
    let store = open();
    let other = store.journal(tenant(1), execution(2), 0).unwrap();
    assert_eq!(other.records.len(), 1, "the other execution is served");
    store.check(CheckDepth::Full).unwrap().findings
}

#[test]
fn a_sound_store_has_no_findings() {
    assert_eq!(check(""), []);
}

#[test]
fn missing_and_unreadable_records_are_named() {
    let gap = |seq| Finding::JournalGap { execution: execution(1), seq };
    assert_eq!(check("DELETE FROM journal WHERE first_seq = 1"), [gap(1)]);
    assert_eq!(check("DELETE FROM journal WHERE first_seq = 2"), [gap(2)]);
    let found = check("UPDATE journal SET record = x'7b' WHERE first_seq = 2");
    let [Finding::JournalUnreadable { execution: id, seq: 2, .. }] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*id, execution(1));
    let other = "(SELECT record FROM journal WHERE first_seq = 1)";
    let found = check(&format!("UPDATE journal SET entries = 9, record = {other} WHERE first_seq = 2"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn rows_without_execution_are_named() {
    let found =
        check("DELETE FROM executions WHERE id = (SELECT execution FROM journal WHERE first_seq = 2)");
    assert!(matches!(&found[..], [Finding::Structure(text)] if text.contains("journal")), "{found:?}");
}

#[test]
fn an_unreadable_row_is_an_error_not_a_panic() {
    let folder = folder();
    let store = SqliteStore::open(folder.path(), &Options::default()).unwrap();
    store.commit_batch(&[accepting(1, |_| {}), accepting(2, |_| {})]).unwrap();
    let raw = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    raw.execute("UPDATE executions SET kind = 9 WHERE accepted = 1", []).unwrap();
    let damaged = store.execution(tenant(1), execution(1));
    assert!(matches!(&damaged, Err(StoreError::Undecodable { reason, .. }) if reason.contains("kind: 9")));
    assert!(store.execution(tenant(1), execution(2)).unwrap().is_some());
}

#[test]
fn a_second_process_is_refused() {
    let folder = folder();
    let _store = SqliteStore::open(folder.path(), &Options::default()).unwrap();
    let second = SqliteStore::open(folder.path(), &Options::default());
    assert!(matches!(second, Err(OpenError::DataFolderLocked { .. })));
}
