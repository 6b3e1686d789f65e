//! `benchmarks/RESULTS.md`: figures, aims, the machine and the command that repeats them.

use std::fmt;
use std::fmt::Write as _;

use anyhow::Result;

use crate::disk::Disk;

/// One line of the report.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: String,
    pub(crate) aim: &'static str,
    pub(crate) reached: Reached,
}

/// Whether the aim was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Yes,
    No,
}

impl Reached {
    pub(crate) const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.reached == Reached::Yes { "reached" } else { "not reached" };
        write!(out, "{}: {} (aim: {}; {mark})", self.what, self.value, self.aim)
    }
}

/// All figures of a run.
pub(crate) struct Report {
    disk: Disk,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(disk: Disk) -> Self {
        Self { disk, figures: Vec::new() }
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Writes the table; the notes below the marker in the file are kept.
    pub(crate) fn write(&self) -> Result<()> {
        const PATH: &str = "benchmarks/RESULTS.md";
        const NOTES: &str = "## Notes";
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut text = String::from("# Results\n\nWritten by `make bench`. ");
        write!(
            text,
            "Machine: {cores} cores shared by server, load generator and receiver; fdatasync of an appended 512 bytes p50 {:.2} ms, p99 {:.2} ms at the start of the run; load average at its end {load}. Throughput and latency are medians of three runs.\n\n",
            self.disk.p50_ms, self.disk.p99_ms
        )?;
        text.push_str("| Workload | Figure | Aim | |\n|---|---|---|---|\n");
        for figure in &self.figures {
            let mark = if figure.reached == Reached::Yes { "reached" } else { "**not reached**" };
            writeln!(text, "| {} | {} | {} | {mark} |", figure.what, figure.value, figure.aim)?;
        }
        let old = std::fs::read_to_string(PATH).unwrap_or_default();
        if let Some(at) = old.find(NOTES) {
            write!(text, "\n{}", &old[at..])?;
        }
        std::fs::write(PATH, text)?;
        Ok(())
    }
}
