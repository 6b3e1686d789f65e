//! The data folder as a place to write to: whether it takes writes, how long it takes to make them
//! durable, how much room is left, and whether the clock is sane.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Finding;

/// Writes that are measured.
const SAMPLES: usize = 50;
/// Bytes of one write: a page of the database.
const WRITE_BYTES: usize = 4_096;
/// A median above this makes durable steps slow enough to notice.
const SYNC_SLOW: Duration = Duration::from_millis(20);
/// Below this a disk does not write: it only says so. No disk makes a page durable that fast.
const SYNC_IMPLAUSIBLE: Duration = Duration::from_micros(15);
/// Less room than this is a warning, in bytes.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// Times before this one cannot be: this version was made later. 2026-01-01T00:00:00Z.
const CLOCK_MIN: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn examine(data: &Path) -> Vec<Finding> {
    let folder = nearest_existing(data);
    let mut findings = vec![writable(data, &folder)];
    findings.push(free(&folder));
    findings.push(clock());
    findings
}

/// The folder itself, or the one it would be made in.
fn nearest_existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|folder| folder.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn writable(data: &Path, folder: &Path) -> Finding {
    const CHECK: &str = "data folder";
    let place =
        if data.is_dir() { data.display().to_string() } else { format!("{} (not made yet)", data.display()) };
    let mut times = match measure(folder) {
        Ok(times) => times,
        Err(error) => {
            return Finding::error(CHECK, format!("{place} cannot be written to: {error}"))
                .hint("make it writable for this user, or choose another folder with --data");
        }
    };
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    let shown =
        |time: Duration| crate::output::moment::duration(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let message = format!(
        "{place} takes writes; durable in {} (median), {} (slowest of {SAMPLES})",
        shown(median),
        shown(slowest)
    );
    if median > SYNC_SLOW {
        return Finding::warning(CHECK, message)
            .hint("every effect waits for this; a local SSD takes about a millisecond");
    }
    if median < SYNC_IMPLAUSIBLE {
        return Finding::warning(CHECK, message).hint(
            "this is faster than a disk can be: what is acknowledged may not survive a power cut here",
        );
    }
    Finding::ok(CHECK, message)
}

/// How long each of some small appends took to become durable.
fn measure(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let path = folder.join(format!(".flux-doctor-{}", std::process::id()));
    let measured = measure_file(&path);
    // Whether or not it was made.
    let _ = std::fs::remove_file(&path);
    measured
}

fn measure_file(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::create_new(path)?;
    let page = [0x5A_u8; WRITE_BYTES];
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let started = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

fn free(folder: &Path) -> Finding {
    const CHECK: &str = "free disk";
    let room = match rustix::fs::statvfs(folder) {
        Ok(room) => room,
        Err(error) => {
            return Finding::warning(CHECK, format!("{} cannot be measured: {error}", folder.display()));
        }
    };
    let bytes = room.f_bavail.saturating_mul(room.f_frsize);
    let message = format!("{:.1} GiB", bytes as f64 / (1024.0 * 1024.0 * 1024.0));
    if bytes < FREE_BYTES_MIN {
        return Finding::warning(CHECK, message)
            .hint("when the disk is full, nothing is accepted until there is room again");
    }
    Finding::ok(CHECK, message)
}

fn clock() -> Finding {
    const CHECK: &str = "clock";
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let shown = crate::output::moment::now();
    if since < CLOCK_MIN {
        return Finding::error(CHECK, format!("says {shown}, which is in the past"))
            .hint("set the clock; timers and schedules follow it");
    }
    Finding::ok(CHECK, format!("says {shown}"))
}
