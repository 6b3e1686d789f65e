//! The same commands, in memory and in SQLite, have the same outcomes and leave the same state.

use flux_store::conformance::{dump, random};
use flux_store::store::CheckDepth;
use flux_store::{MemoryStore, Store};
use flux_store_sqlite::{Options, SqliteStore};
use proptest::prelude::*;

use crate::folder;

/// Numbers that decide a run: how many commands each batch has, and each command.
fn runs() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(any::<u64>(), 1..12), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_agree(batches in runs()) {
        let folder = folder();
        let memory = MemoryStore::new();
        let sqlite = SqliteStore::open(folder.path(), &Options::default()).unwrap();
        let mut n = 0;
        for batch in batches {
            let mut commands = Vec::new();
            for choice in batch {
                n += 1;
                commands.push(random::command(n, choice, &memory).unwrap());
            }
            let (expected, found) = (memory.commit_batch(&commands), sqlite.commit_batch(&commands));
            prop_assert_eq!(expected, found, "{:#?}", commands);
        }
        let expected = dump(&memory, &random::TENANTS).unwrap();
        prop_assert_eq!(expected, dump(&sqlite, &random::TENANTS).unwrap());
        let report = sqlite.check(CheckDepth::Full).unwrap();
        prop_assert_eq!(report.findings, vec![]);
        drop(sqlite);
        let reopened = SqliteStore::open(folder.path(), &Options::default()).unwrap();
        prop_assert_eq!(dump(&memory, &random::TENANTS).unwrap(), dump(&reopened, &random::TENANTS).unwrap());
    }
}
