//! What the embedded store promises: it behaves like the store in memory, it survives power cuts,
//! and it stops at the first failure of the disk.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is how it fails")]

mod conformance;
mod damage;
mod fault;
mod image;
mod powercut;
mod property;
mod tape;
mod workload;

use std::path::Path;

use tempfile::TempDir;

/// A folder on a memory file system where there is one: syncing is what these tests count, not
/// what they wait for.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}
