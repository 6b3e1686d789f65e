//! What the runtime itself costs: frames, starts, memory. Prints one line per figure.
//!
//! `cargo run -p flux-functions --example echo_bench`

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_functions::{
    Answer, Call, Deployment, Host, HostError, Invocation, LogLine, ProjectFunctions, Runtime, Settings,
    Spare, find_deno,
};
use futures::future::BoxFuture;

const INPUT: &str = r#"{"order":{"id":"ord_1842","customer":"Ada Lovelace","total":1290.5,"items":[{"sku":"a","n":2},{"sku":"b","n":1}]}}"#;
const ROUND_TRIPS: usize = 20_000;
const STARTS: usize = 40;
const IDLE: usize = 10;
const LOAD: Duration = Duration::from_secs(3);

/// Answers every host call at once with null.
struct NullHost;

impl Host for NullHost {
    fn call(self: Arc<Self>, _call: Call) -> BoxFuture<'static, Result<Answer, HostError>> {
        Box::pin(async { Ok(Answer::Value(flux_model::Value::Null)) })
    }

    fn log(&self, _line: LogLine) {}
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let deno = find_deno(Path::new(env!("CARGO_MANIFEST_DIR"))).ok_or("`make setup` installs Deno")?;
    let data = tempfile::tempdir()?;
    let mut settings = Settings::new(deno, data.path());
    settings.processes_max = 1;
    let with_spare = Runtime::start(settings.clone()).await?;
    settings.spare = Spare::None;
    let runtime = Runtime::start(settings).await?;
    let project = project()?;
    let bundle = runtime.bundle(&ProjectFunctions::open(project.path())?).await?;
    let deployment = runtime.prepare(bundle.clone()).await?;

    let mut times = round_trips(&deployment, "echo").await?;
    println!(
        "round trip, one in flight: p50 {} us, p99 {} us",
        part(&mut times, 0.5),
        part(&mut times, 0.99)
    );
    let mut times = round_trips(&deployment, "query").await?;
    println!(
        "round trip with one host call: p50 {} us, p99 {} us",
        part(&mut times, 0.5),
        part(&mut times, 0.99)
    );
    for in_flight in [1, 16, 64] {
        let before = cpu_ms(deployment.pids()[0])?;
        let (calls, mut times) = load(&deployment, in_flight).await?;
        let cpu = (cpu_ms(deployment.pids()[0])? - before) as f64 * 1e3 / times.len() as f64;
        let (p50, p99) = (part(&mut times, 0.5), part(&mut times, 0.99));
        println!(
            "{in_flight} in flight: {calls} calls/s, p50 {p50} us, p99 {p99} us; {cpu:.1} us of Deno's processor time per call"
        );
    }

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let fresh = runtime.prepare(bundle.clone()).await?;
        call(&fresh, "echo").await?;
        starts.push(begun.elapsed().as_micros());
    }
    println!("spawn to first answer: p50 {} us, p95 {} us", part(&mut starts, 0.5), part(&mut starts, 0.95));

    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(runtime.prepare(bundle.clone()).await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pids: Vec<u32> = idle.iter().flat_map(|deployment| deployment.pids()).collect();
    let of_all = |field: &str| pids.iter().map(|pid| kib(*pid, field)).sum::<std::io::Result<u64>>();
    let (shared, private) = (of_all("Pss:")? / IDLE as u64, of_all("Private_Dirty:")? / IDLE as u64);
    println!("idle process, {IDLE} of them: {shared} KiB PSS, {private} KiB of them its own");
    drop(idle);
    replacement("without spare", &runtime, bundle.clone()).await?;
    replacement("with spare", &with_spare, bundle).await?;
    saved_to_served(&runtime, project.path()).await
}

fn project() -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("functions"))?;
    std::fs::write(folder.path().join("functions/echo.ts"), "export default async (input) => input;\n")?;
    let query = "export default async (input, ctx) => await ctx.db.query({ table: \"orders\" });\n";
    std::fs::write(folder.path().join("functions/query.ts"), query)?;
    Ok(folder)
}

async fn call(deployment: &Deployment, function: &str) -> Result<(), flux_functions::FunctionError> {
    deployment.invoke(Invocation::new(function, INPUT), Arc::new(NullHost)).await.map(|_| ())
}

async fn round_trips(
    deployment: &Deployment,
    function: &str,
) -> Result<Vec<u128>, flux_functions::FunctionError> {
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for round in 0..ROUND_TRIPS + ROUND_TRIPS / 4 {
        let begun = Instant::now();
        call(deployment, function).await?;
        // The first fifth warms both sides up.
        if round >= ROUND_TRIPS / 4 {
            times.push(begun.elapsed().as_micros());
        }
    }
    Ok(times)
}

async fn load(
    deployment: &Arc<Deployment>,
    in_flight: usize,
) -> Result<(u128, Vec<u128>), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let callers = (0..in_flight).map(|_| {
        let deployment = Arc::clone(deployment);
        tokio::spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < LOAD {
                let called = Instant::now();
                call(&deployment, "echo").await?;
                times.push(called.elapsed().as_micros());
            }
            Ok::<_, flux_functions::FunctionError>(times)
        })
    });
    let mut times = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        times.extend(caller.await??);
    }
    Ok((times.len() as u128 * 1_000 / begun.elapsed().as_millis(), times))
}

async fn replacement(
    name: &str,
    runtime: &Runtime,
    bundle: flux_functions::Bundle,
) -> Result<(), Box<dyn std::error::Error>> {
    let deployment = runtime.prepare(bundle).await?;
    let mut times = Vec::new();
    for _ in 0..STARTS / 2 {
        // A process that ends as soon as it was started is replaced on demand only.
        tokio::time::sleep(Duration::from_millis(200)).await;
        call(&deployment, "echo").await?;
        let pid = deployment.pids()[0];
        let begun = Instant::now();
        std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
        while deployment.pids().first() == Some(&pid) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        call(&deployment, "echo").await?;
        times.push(begun.elapsed().as_micros());
    }
    println!(
        "kill to answer of the replacement, {name}: p50 {} us, p95 {} us",
        part(&mut times, 0.5),
        part(&mut times, 0.95)
    );
    Ok(())
}

async fn saved_to_served(runtime: &Runtime, project: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    for version in 0..STARTS / 2 {
        let source = format!("export default async () => {version};\n");
        let begun = Instant::now();
        std::fs::write(project.join("functions/echo.ts"), source)?;
        let bundle = runtime.bundle(&ProjectFunctions::open(project)?).await?;
        let deployment = runtime.prepare(bundle).await?;
        call(&deployment, "echo").await?;
        times.push(begun.elapsed().as_micros());
    }
    println!("save to served: p50 {} us, p95 {} us", part(&mut times, 0.5), part(&mut times, 0.95));
    Ok(())
}

/// The value that this part of all values is below.
fn part(values: &mut [u128], part: f64) -> u128 {
    values.sort_unstable();
    values[((values.len() - 1) as f64 * part) as usize]
}

/// Processor time of a process so far, in milliseconds; the kernel counts in steps of ten.
fn cpu_ms(pid: u32) -> std::io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(2));
    Ok(fields.into_iter().flatten().filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn kib(pid: u32, field: &str) -> std::io::Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse().unwrap_or(0))
}
