//! How fast the embedded store is on this machine: durable appends through the writer, and lists
//! over many stored executions, beside the disk's own sync.
//!
//! `cargo run --release -p flux-store-sqlite --example store_bench -- [seconds] [executions] [folder]`

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_model::{ExecutionId, ExecutionStatus, Tenant, Timestamp};
use flux_store::conformance::sample;
use flux_store::{
    Append, Command, ExecutionFilter, Outcome, PageRequest, StatusChange, Step, Store, Writer, WriterLimits,
};
use flux_store_sqlite::{Options, SqliteStore};

/// Bytes of one journal record.
const RECORD_BYTES: usize = 300;
/// Steps of one execution, its acceptance included.
const STEPS_PER_EXECUTION: u64 = 20;
const FLOWS: u64 = 50;
const SYNCS: usize = 2_000;
const LISTS: usize = 400;
const WARM_UP: Duration = Duration::from_secs(1);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (seconds, executions) = (number(5), number(200_000));
    let folder = arguments.next().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let folder = folder.expect("a folder");
    print_sync(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    for writers in [1, 8, 64] {
        let folder = folder.path().join(format!("writers-{writers}"));
        runtime.block_on(print_appends(&folder, writers, Duration::from_secs(seconds)));
    }
    print_lists(&folder.path().join("lists"), executions);
}

fn print_latencies(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    println!("{what:<44} p50 {:7.3} ms  p99 {:7.3} ms  max {:7.3} ms", at(50), at(99), at(100));
}

fn timed(latencies: &mut Vec<Duration>, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    latencies.push(start.elapsed());
}

/// A growing append with fdatasync.
fn print_sync(folder: &Path) {
    let mut file = File::create(folder.join("sync")).expect("a file");
    let mut latencies = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[7; 4_096]).expect("space");
        timed(&mut latencies, || file.sync_data().expect("a disk"));
    }
    print_latencies("fdatasync after a 4 KiB append", latencies);
}

async fn print_appends(folder: &Path, writers: u32, length: Duration) {
    let store = Arc::new(SqliteStore::open(folder, &Options::default()).expect("a store"));
    let writer = Writer::start(store, WriterLimits::default()).expect("a thread");
    let start = Instant::now() + WARM_UP;
    let tasks: Vec<_> = (0..writers)
        .map(|task| tokio::spawn(append_until(writer.clone(), task, start, start + length)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a task"));
    }
    let rate = latencies.len() as f64 / length.as_secs_f64();
    print_latencies(&format!("{writers:>2} writers: {rate:>6.0} durable steps/s"), latencies);
    writer.close().await;
}

/// Runs executions one after the other, each step durable before the next; how long the steps took
/// that ended between `start` and `end`.
async fn append_until(writer: Writer, task: u32, start: Instant, end: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for n in 0_u64.. {
        let id = ExecutionId::new(Timestamp::from_millis(n.cast_signed()), u128::from(task));
        for seq in 0..STEPS_PER_EXECUTION {
            let submitted = Instant::now();
            let outcome = writer.submit(step_of(id, seq)).await.expect("the store works");
            assert!(matches!(outcome, Outcome::Started { .. } | Outcome::Appended { .. }), "{outcome:?}");
            let now = Instant::now();
            if now > end {
                return latencies;
            }
            if now > start {
                latencies.push(now - submitted);
            }
        }
    }
    latencies
}

fn step_of(id: ExecutionId, seq: u64) -> Command {
    let mut step = Step { record: vec![b'x'; RECORD_BYTES], entries: 1, ..Step::default() };
    if seq == 0 {
        return sample::accepting(1, |accept| {
            accept.execution.id = id;
            accept.execution.request_id = id.to_string();
            accept.held = None;
            accept.first = Some(step);
        });
    }
    if seq + 1 == STEPS_PER_EXECUTION {
        step.change = Some(StatusChange::Succeeded { output: None, at: Timestamp::from_millis(0) });
    }
    Command::Append(Box::new(Append { tenant: tenant(), execution: id, expected_next_seq: seq, step }))
}

const fn tenant() -> Tenant {
    sample::tenant(1)
}

/// Stores executions and lists them in several ways.
fn print_lists(folder: &Path, executions: u64) {
    let store = SqliteStore::open(folder, &Options::default()).expect("a store");
    let start = Instant::now();
    for first in (0..executions).step_by(256) {
        let commands: Vec<_> = (first..executions.min(first + 256)).map(stored).collect();
        store.commit_batch(&commands).expect("the store works");
    }
    let rate = executions as f64 / start.elapsed().as_secs_f64();
    let size = store.size().expect("the store works");
    println!(
        "{executions} executions stored at {rate:.0}/s in {} MiB, log {} MiB",
        size.file_bytes >> 20,
        size.log_bytes >> 20
    );
    let any = ExecutionFilter::default;
    let failed = || ExecutionFilter { statuses: vec![ExecutionStatus::Failed], ..any() };
    let some_flow = |n: u64| ExecutionFilter { flow: Some(format!("flow-{}", n % FLOWS)), ..any() };
    let id = |n: u64| ExecutionId::new(Timestamp::from_millis(n.cast_signed()), u128::from(n));
    print_list(&store, "list: newest", executions, |_| any());
    print_list(&store, "list: failed (1 in 1,000)", executions, |_| failed());
    print_list(&store, "list: one flow", executions, some_flow);
    print_list(&store, "list: one flow, failed", executions, |n| ExecutionFilter {
        flow: some_flow(n).flow,
        ..failed()
    });
    print_list(&store, "list: one trace", executions, |n| ExecutionFilter {
        request_id: Some(id(n).to_string()),
        ..any()
    });
    print_list(&store, "list: any time", executions, |n| ExecutionFilter {
        until: Some(Timestamp::from_millis(n.cast_signed())),
        ..any()
    });
    let mut latencies = Vec::new();
    timed(&mut latencies, || {
        store.status_counts(tenant()).expect("the store works");
    });
    print_latencies("counts by status", latencies);
}

fn stored(n: u64) -> Command {
    let at = Timestamp::from_millis(n.cast_signed());
    sample::accepting(1, |accept| {
        accept.execution.id = ExecutionId::new(at, u128::from(n));
        accept.execution.request_id = accept.execution.id.to_string();
        accept.execution.flow = format!("flow-{}", n % FLOWS);
        accept.held = None;
        let end = if n % 1_000 == 7 { sample::failing(0, 1) } else { sample::ending(0, 1) };
        accept.first = Some(Step { record: vec![b'x'; RECORD_BYTES], ..end });
    })
}

fn print_list(store: &SqliteStore, what: &str, executions: u64, filter: impl Fn(u64) -> ExecutionFilter) {
    let mut latencies = Vec::new();
    for i in 0..LISTS as u64 {
        let filter = filter(i * 7_919 % executions);
        let list = || store.executions(tenant(), &filter, PageRequest::first(200)).expect("the store works");
        timed(&mut latencies, || drop(list()));
    }
    print_latencies(what, latencies);
}
