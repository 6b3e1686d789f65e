//! `[storage]`: where everything is kept.

use std::path::PathBuf;

use super::section::section;

section! {
    /// Where everything is kept.
    Storage {
        /// The data folder: database and large values. One process at a time uses it.
        data: PathBuf = PathBuf::from("flux-data");
        /// How long one query may take, in milliseconds.
        query_ms_max: u64 = flux_store_sqlite::QUERY_MS_MAX;
        /// After a failed write, the pause between two attempts to open the store again, in milliseconds.
        reopen_pause_ms: u64 = 3_000;
    }
}
