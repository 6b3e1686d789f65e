//! Runs seeds and says which fail: `cargo run -p flux-sim -- --seeds 2000`.
//!
//! The only place of the simulator with threads: two, each with its own seeds.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use flux_sim::{Report, Telling, corpus, simulate};

const THREADS: usize = 2;
const SEEDS_DEFAULT: u64 = 2_000;
/// Stories that are printed in full; of further failures only the seed is.
const STORIES_MAX: usize = 1;
const HELP: &str = "\
Simulates random histories with faults and checks that every promise holds.

  --seeds N     run N seeds (2000), after the seeds of the corpus
  --start N     begin with this seed (0)
  --seed X      run this seed only, and tell its story if it fails
  --verbose     tell the story of every seed that runs
";

/// What was asked for on the command line.
struct Options {
    start: u64,
    seeds: u64,
    only: Option<u64>,
    telling: Telling,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    let seeds: Vec<u64> = match options.only {
        Some(seed) => vec![seed],
        None => {
            corpus().into_iter().chain(options.start..options.start.saturating_add(options.seeds)).collect()
        }
    };
    // Failures are told again with their story; the default hook would only repeat them.
    std::panic::set_hook(Box::new(|_| ()));
    let reports = run_all(&seeds, options.telling);
    let failed: Vec<&Report> = reports.iter().filter(|report| report.violation.is_some()).collect();
    if options.telling == Telling::Lines {
        reports.iter().filter(|report| report.violation.is_none()).for_each(print_story);
    }
    for (number, report) in failed.iter().enumerate() {
        if number < STORIES_MAX || options.telling == Telling::Lines {
            print_story(&simulate(report.seed, Telling::Lines));
        }
        if let Some(violation) = &report.violation {
            println!("seed {} failed: {violation}", report.seed);
        }
        println!("  cargo run -p flux-sim -- --seed {}", report.seed);
    }
    let total = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    println!(
        "{} things happened to {} executions in {} processes",
        total(|report| report.happened),
        total(|report| report.executions as u64),
        total(|report| u64::from(report.crashes) + 1),
    );
    println!("{} passed, {} failed", reports.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The reports in the order of the seeds.
fn run_all(seeds: &[u64], telling: Telling) -> Vec<Report> {
    let next = AtomicU64::new(0);
    let mut reports = std::thread::scope(|scope| {
        let work = || {
            let mut reports = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(seed) = usize::try_from(number).ok().and_then(|number| seeds.get(number)) else {
                    return reports;
                };
                reports.push((number, simulate(*seed, telling)));
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let done = threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default());
        done.collect::<Vec<_>>()
    });
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn print_story(report: &Report) {
    println!("seed {} (trace {:016x}):", report.seed, report.hash);
    report.story.iter().for_each(|line| println!("{line}"));
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { start: 0, seeds: SEEDS_DEFAULT, only: None, telling: Telling::Hash };
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{name} {value}: not a number"))
        };
        match name.as_str() {
            "--seeds" => options.seeds = number()?,
            "--start" => options.start = number()?,
            "--seed" => options.only = Some(number()?),
            "--verbose" => options.telling = Telling::Lines,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(Some(options))
}
