//! The workloads, in the order of the report.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::load::{self, Client, Outcome, Request};
use crate::memory::resident_mib;
use crate::report::{Figure, Reached};
use crate::server::{Project, Server};
use crate::{flows, receiver};

type Measured = Pin<Box<dyn Future<Output = Result<Vec<Figure>>>>>;

type Workload = fn() -> Measured;

/// Every workload, by name.
pub(crate) const ALL: &[(&str, Workload)] = &[
    ("start", || Box::pin(start())),
    ("pure", || Box::pin(pure())),
    ("overload", || Box::pin(overload())),
    ("effects", || Box::pin(effects())),
    ("light", || Box::pin(light())),
    ("long", || Box::pin(long())),
    ("waiting", || Box::pin(waiting())),
    ("stored", || Box::pin(stored())),
    ("template", || Box::pin(template())),
];

const RUNS: usize = 3;
const LENGTH: Duration = Duration::from_secs(8);

async fn start() -> Result<Vec<Figure>> {
    let project = Project::new(&[flows::pure()])?;
    let mut times = Vec::new();
    let mut idle_mib = 0.0;
    for _ in 0..RUNS {
        let server = project.start().await?;
        times.push(server.started_in.as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        idle_mib = resident_mib(server.pid()?)?;
        server.stop().await?;
    }
    let ms = median(&mut times);
    Ok(vec![
        figure("start to serving", format!("{ms:.0} ms"), "under 300 ms", ms < 300.0),
        figure("idle, resident", format!("{idle_mib:.0} MiB"), "under 60 MB", idle_mib < 57.2),
    ])
}

async fn pure() -> Result<Vec<Figure>> {
    let project = Project::new(&[flows::pure()])?;
    let server = project.start().await?;
    let request = Request::new("POST", "/hooks/pure", None, r#"{"a": 1, "b": 2}"#, 200);
    let run = median_run(&server, &request, 64).await?;
    server.stop().await?;
    let held = run.per_second >= 5_000.0 && run.p99_ms < 30.0;
    Ok(vec![figure(
        "webhook, 3 pure nodes, respond; accepted durably, 64 connections",
        show(&run),
        "5,000/s, p99 under 30 ms",
        held,
    )])
}

/// Twice as much as the server can do: what it does not refuse is still answered soon.
async fn overload() -> Result<Vec<Figure>> {
    let project = Project::new(&[flows::pure()])?;
    let server = project.start().await?;
    let request = Request::new("POST", "/hooks/pure", None, r#"{"a": 1, "b": 2}"#, 200);
    let most = median_run(&server, &request, 64).await?.per_second;
    let run = load::offer(server.gateway, &request, most * 2.0, LENGTH).await?;
    server.stop().await?;
    let refused = run.refused as f64 / LENGTH.as_secs_f64();
    Ok(vec![figure(
        "the same with twice as many requests offered as it can do, on 1,024 connections",
        format!("{} accepted, {refused:.0}/s refused", show(&run)),
        "p99 of what is accepted under 250 ms",
        run.p99_ms < 250.0,
    )])
}

async fn effects() -> Result<Vec<Figure>> {
    let project = Project::new(&[flows::effects(receiver::start().await?)])?;
    let server = project.start().await?;
    let request = Request::new("POST", "/hooks/effects", None, "{}", 200);
    let many = median_run(&server, &request, 64).await?;
    // Before and after: the disk of a shared machine is not the same from minute to minute.
    let before = crate::disk::measure()?;
    let one = median_run(&server, &request, 1).await?;
    let fdatasync_ms = (before.p50_ms + crate::disk::measure()?.p50_ms) / 2.0;
    server.stop().await?;
    let bound = 2.0 * 5.0 * fdatasync_ms;
    Ok(vec![
        figure(
            "3 effect steps (HTTP calls) in sequence, each durable before the next, 64 connections",
            show(&many),
            "3,000/s, p99 under 60 ms",
            many.per_second >= 3_000.0 && many.p99_ms < 60.0,
        ),
        figure(
            "the same on one connection",
            format!(
                "p50 {:.2} ms against 2 × 5 fdatasync of {fdatasync_ms:.2} ms = {bound:.2} ms",
                one.p50_ms
            ),
            "p50 at most 2 × (steps + 2) fdatasync",
            one.p50_ms <= bound,
        ),
    ])
}

async fn light() -> Result<Vec<Figure>> {
    let receiver = receiver::start().await?;
    let project = Project::new(&[flows::sequential(receiver, 40), flows::each("parallel", receiver, 100)])?;
    let server = project.start().await?;
    let sequential = time_of(&server, "sequential", "{}").await?;
    let items: Vec<usize> = (0..400).collect();
    let parallel = time_of(&server, "parallel", &json!({"items": items}).to_string()).await?;
    server.stop().await?;
    Ok(vec![
        figure("40 sequential light steps", format!("{sequential:.3} s"), "under 0.2 s", sequential < 0.2),
        figure("400 parallel light tasks", format!("{parallel:.3} s"), "under 0.5 s", parallel < 0.5),
    ])
}

async fn long() -> Result<Vec<Figure>> {
    let project = Project::new(&[flows::each("steps", receiver::start().await?, 1)])?;
    let server = project.start().await?;
    let per_step = async |count: usize| -> Result<f64> {
        let items: Vec<usize> = (0..count).collect();
        Ok(time_of(&server, "steps", &json!({"items": items}).to_string()).await? / count as f64)
    };
    let short = per_step(100).await?;
    let long = per_step(10_000).await?;
    server.stop().await?;
    let ratio = long / short;
    Ok(vec![figure(
        "a step of a 10,000-step execution against one of a 100-step execution",
        format!("{:.0} µs against {:.0} µs: {ratio:.2}x", long * 1e6, short * 1e6),
        "at most 1.5x",
        ratio <= 1.5,
    )])
}

async fn waiting() -> Result<Vec<Figure>> {
    const COUNT: usize = 100_000;
    let project = Project::new(&[flows::waiting()])?;
    let server = project.start().await?;
    let request = Request::new("POST", "/hooks/waiting", None, r#"{"order": 7}"#, 202);
    let per_connection = COUNT / 64 + 1;
    let senders: Vec<_> = (0..64)
        .map(|_| {
            let (request, gateway) = (request.clone(), server.gateway);
            tokio::spawn(async move {
                let mut client = Client::connect(gateway).await?;
                for _ in 0..per_connection {
                    let (status, body) = client.send(&request).await?;
                    if status != 202 {
                        bail!("answered {status}: {}", String::from_utf8_lossy(&body));
                    }
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mib = resident_mib(server.pid()?)?;
    server.stop().await?;
    let again = project.start().await?;
    let restart = again.started_in.as_secs_f64();
    let listed = again.get("/executions?status=waiting&limit=200").await?;
    if listed["items"].as_array().map(Vec::len) != Some(200) {
        bail!("the waiting executions are not listed after the restart");
    }
    again.stop().await?;
    Ok(vec![
        figure("100,000 waiting executions, resident", format!("{mib:.0} MiB"), "under 300 MB", mib < 286.0),
        figure("restart with them, until serving", format!("{restart:.2} s"), "under 10 s", restart < 10.0),
    ])
}

async fn stored() -> Result<Vec<Figure>> {
    const COUNT: usize = 1_000_000;
    let project = Project::new(&[flows::pure()])?;
    let request = Request::new("POST", "/hooks/pure", None, r#"{"a": 1, "b": 2}"#, 200);
    let server = project.start().await?;
    let empty = median_run(&server, &request, 64).await?;
    server.stop().await?;
    crate::stored::fill(&project.data(), COUNT)?;
    let server = project.start().await?;
    let full = median_run(&server, &request, 64).await?;
    let page_ms = page_p99_ms(&server).await?;
    server.stop().await?;
    let change = (full.per_second / empty.per_second - 1.0) * 100.0;
    Ok(vec![
        figure(
            "throughput with 1,000,000 stored executions",
            format!("{:.0}/s against {:.0}/s: {change:+.0} %", full.per_second, empty.per_second),
            "within 15 %",
            change >= -15.0,
        ),
        figure("any list page with them", format!("p99 {page_ms:.1} ms"), "p99 under 30 ms", page_ms < 30.0),
    ])
}

/// Lists of every kind, followed through their pages.
async fn page_p99_ms(server: &Server) -> Result<f64> {
    let mut times = Vec::new();
    for filter in [
        "",
        "status=succeeded&",
        "status=failed&",
        "flow=pure&",
        "flow=pure&status=succeeded&",
        "since=2026-01-01T00:00:00Z&",
    ] {
        let mut cursor = String::new();
        for _ in 0..40 {
            let begun = Instant::now();
            let page = server.get(&format!("/executions?{filter}limit=100{cursor}")).await?;
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() * 99 / 100])
}

/// The figures that the template example prints: `name: 123 ns`.
async fn template() -> Result<Vec<Figure>> {
    let output = tokio::process::Command::new("cargo")
        .args([
            "run",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            "flux-core",
            "--example",
            "template_bench",
        ])
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let nanoseconds = |name: &str| -> Result<f64> {
        let line = text.lines().map(str::trim).find(|line| line.starts_with(name));
        let line = line.with_context(|| format!("no line for {name}"))?;
        let number = line.split_whitespace().rev().nth(1).context("no number")?;
        Ok(number.parse()?)
    };
    let path = nanoseconds("single path")?;
    let ten = nanoseconds("10-expression text")?;
    Ok(vec![
        figure("template: single path", format!("{path:.0} ns"), "under 1 µs", path < 1_000.0),
        figure(
            "template: 10-expression text, 100 kB context",
            format!("{:.1} µs", ten / 1e3),
            "under 15 µs",
            ten < 15_000.0,
        ),
    ])
}

/// Seconds from posting to a webhook to its answer; the median of several, after one to warm up.
async fn time_of(server: &Server, hook: &str, body: &str) -> Result<f64> {
    let request = Request::new("POST", &format!("/hooks/{hook}"), None, body, 200);
    let mut client = Client::connect(server.gateway).await?;
    let mut times = Vec::new();
    for _ in 0..=RUNS {
        let begun = Instant::now();
        let (status, answer) = client.send(&request).await?;
        if status != 200 {
            bail!("{hook} answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        times.push(begun.elapsed().as_secs_f64());
    }
    times.remove(0);
    Ok(median(&mut times))
}

async fn median_run(server: &Server, request: &Request, connections: usize) -> Result<Outcome> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let run = load::run(server.gateway, request, connections, LENGTH).await?;
        if run.refused > 0 {
            bail!("{} requests were not answered as expected", run.refused);
        }
        runs.push(run);
    }
    runs.sort_by(|left, right| left.per_second.total_cmp(&right.per_second));
    Ok(runs.swap_remove(RUNS / 2))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn show(run: &Outcome) -> String {
    format!("{:.0}/s, p50 {:.1} ms, p99 {:.1} ms", run.per_second, run.p50_ms, run.p99_ms)
}

fn figure(what: &str, value: String, aim: &'static str, reached: bool) -> Figure {
    Figure { what: what.to_owned(), value, aim, reached: Reached::of(reached) }
}
