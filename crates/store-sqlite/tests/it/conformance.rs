//! The suite that every backend passes.

use std::sync::Arc;

use flux_store_sqlite::{Options, SqliteStore};

use crate::folder;

#[test]
fn it_conforms() {
    let mut folders = Vec::new();
    flux_store::conformance::run_all(&mut || {
        let folder = folder();
        let store = SqliteStore::open(folder.path(), &Options::default()).unwrap();
        folders.push(folder);
        Arc::new(store)
    });
}
