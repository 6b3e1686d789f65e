//! `make bench`: runs every workload against the release binary and writes `RESULTS.md`.
//!
//! The load comes from this process, the server is another; both share the machine's cores, as
//! does the receiver that effect steps call. Each figure stands beside the machine's own
//! fdatasync, measured in the same run. Nothing here asserts a time: the report says what was
//! reached and what was aimed at.

mod disk;
mod flows;
mod load;
mod memory;
mod receiver;
mod report;
mod server;
mod stored;
mod workloads;

use anyhow::{Context, Result};

/// What may follow the program's name: a workload's name runs only that one.
fn main() -> Result<()> {
    let only = std::env::args().nth(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the load generator")?;
    runtime.block_on(run(only.as_deref()))
}

async fn run(only: Option<&str>) -> Result<()> {
    let disk = disk::measure().context("cannot measure fdatasync")?;
    eprintln!("fdatasync: p50 {:.2} ms, p99 {:.2} ms", disk.p50_ms, disk.p99_ms);
    let mut report = report::Report::new(disk);
    for (name, workload) in workloads::ALL {
        if only.is_none_or(|only| only == *name) {
            eprintln!("{name} …");
            let figures = workload().await.with_context(|| format!("workload {name}"))?;
            for figure in figures {
                eprintln!("  {figure}");
                report.add(figure);
            }
        }
    }
    match only {
        None => report.write(),
        Some(_) => Ok(()),
    }
}
