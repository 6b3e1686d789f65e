//! What one durable write costs on this machine: append 512 bytes, fdatasync.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;

const WRITES: usize = 2_000;

/// The cost of a durable append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

pub(crate) fn measure() -> Result<Disk> {
    let folder = tempfile::tempdir_in(".")?;
    let mut file = File::create(folder.path().join("probe"))?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        file.write_all(&[7; 512])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(Disk { p50_ms: times[WRITES / 2], p99_ms: times[WRITES * 99 / 100] })
}
