//! A cgroup v2 of one process: a memory limit that the kernel holds even between two looks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// Processes and threads in one group.
const PIDS_MAX: u32 = 64;
/// What the group may use beyond the limit that is measured, so that the measured limit, which can
/// say what it measured, is the one that is hit.
const HEADROOM_MB: u64 = 64;

/// The group of one process. Removed when it is dropped, after the process's end.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes a group below `parent` and puts the process into it.
    pub(crate) fn enter(parent: &Path, pid: Pid, memory_mb: u64) -> io::Result<Self> {
        let number = pid.as_raw_nonzero();
        let folder = parent.join(format!("flux-{number}"));
        fs::create_dir_all(&folder)?;
        let group = Self { folder };
        let bytes = (memory_mb + HEADROOM_MB) * 1024 * 1024;
        group.write("memory.max", &bytes.to_string())?;
        group.write("memory.swap.max", "0")?;
        group.write("pids.max", &PIDS_MAX.to_string())?;
        group.write("cgroup.procs", &number.to_string())?;
        Ok(group)
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join(file), value)
    }

    /// Whether the kernel ended a process of the group.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        events
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "))
            .any(|count| count.trim().parse::<u64>().is_ok_and(|count| count > 0))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only an empty group can be removed; one that is left is empty and costs nothing.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_group_are_written_and_its_events_read() {
        let parent = tempfile::tempdir().unwrap();
        let group = Group::enter(parent.path(), Pid::from_raw(41).unwrap(), 100).unwrap();
        let read = |file: &str| fs::read_to_string(group.folder.join(file)).unwrap();
        assert_eq!(read("memory.max"), ((100 + HEADROOM_MB) * 1024 * 1024).to_string());
        assert_eq!((read("memory.swap.max"), read("cgroup.procs")), ("0".to_owned(), "41".to_owned()));
        assert!(!group.ran_out_of_memory());
        fs::write(group.folder.join("memory.events"), "low 0\noom 1\noom_kill 0\n").unwrap();
        assert!(!group.ran_out_of_memory());
        fs::write(group.folder.join("memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
        assert!(group.ran_out_of_memory());
    }
}
