//! The store: whether its lock is free, its schema known, its file sound, its journals complete,
//! its objects folder usable.

use std::path::Path;

use flux_model::ErrorCode;
use flux_store::Store;
use flux_store::store::{CheckDepth, CheckReport, Finding as Damage};
use flux_store_sqlite::{DATABASE_FILE, Options, SqliteStore};

use super::{Depth, Finding, Running};
use crate::output::moment;
use crate::server::{OBJECTS_FOLDER, access::TENANT};

/// A check may read for minutes where a query may not.
const CHECK_MS_MAX: u64 = 30 * 60 * 1_000;
/// Damage that is listed.
const DAMAGE_SHOWN_MAX: usize = 10;

pub(super) fn examine(data: &Path, depth: Depth) -> (Running, Vec<Finding>) {
    const CHECK: &str = "store";
    if !data.join(DATABASE_FILE).is_file() {
        return (Running::No, vec![Finding::ok(CHECK, "is made at the first start")]);
    }
    let options = Options { query_ms_max: CHECK_MS_MAX, ..Options::default() };
    let store = match SqliteStore::open(data, &options) {
        Ok(store) => store,
        Err(error) if error.code() == ErrorCode::DataFolderLocked => {
            let finding = Finding::warning(CHECK, format!("is not checked: {error}")).hint(
                "the server that uses it says how it is at /ready of its gateway; stop it to check the file",
            );
            return (Running::Yes, vec![finding]);
        }
        Err(error) => {
            let source =
                std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            return (Running::No, vec![Finding::error(CHECK, format!("{error}{source}"))]);
        }
    };
    (Running::No, vec![size(&store), integrity(&store, depth), newest(&store), objects(data)])
}

fn size(store: &SqliteStore) -> Finding {
    match store.size() {
        Ok(size) => {
            let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
            let message = format!(
                "{:.1} MiB, {:.1} MiB of it free, log {:.1} MiB",
                mib(size.file_bytes),
                mib(size.free_bytes),
                mib(size.log_bytes)
            );
            Finding::ok("store", message)
        }
        Err(error) => Finding::error("store", error.to_string()),
    }
}

fn integrity(store: &SqliteStore, depth: Depth) -> Finding {
    const CHECK: &str = "integrity";
    let depth = match depth {
        Depth::Quick => CheckDepth::Quick,
        Depth::Full => CheckDepth::Full,
    };
    match store.check(depth) {
        Ok(report) if report.findings.is_empty() => Finding::ok(CHECK, soundness(depth, &report)),
        Ok(report) => Finding::error(CHECK, damage(&report))
            .hint("copy the data folder before anything else; executions that are not named here are still readable"),
        Err(error) => Finding::error(CHECK, error.to_string()),
    }
}

fn soundness(depth: CheckDepth, report: &CheckReport) -> String {
    match depth {
        CheckDepth::Quick => "the file is sound; --full reads every journal too".to_owned(),
        CheckDepth::Full => format!("the file is sound, {} journal records have no gap", report.records),
    }
}

fn damage(report: &CheckReport) -> String {
    let shown = report.findings.iter().take(DAMAGE_SHOWN_MAX).map(|finding| match finding {
        Damage::Structure(text) => text.clone(),
        Damage::JournalGap { execution, seq } => format!("the journal of {execution} lacks entry {seq}"),
        Damage::JournalUnreadable { execution, seq, reason } => {
            format!("the journal of {execution} cannot be read from entry {seq}: {reason}")
        }
    });
    let shown: Vec<String> = shown.collect();
    let more = report.findings.len().saturating_sub(DAMAGE_SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{more}", shown.join("; "))
}

/// An execution from the future says that the clock went back.
fn newest(store: &SqliteStore) -> Finding {
    const CHECK: &str = "clock and store";
    let page = flux_store::PageRequest::first(1);
    match store.executions(TENANT, &flux_store::ExecutionFilter::default(), page) {
        Ok(page) => match page.items.first() {
            Some(row) if row.id.made_at() > moment::now() => {
                let message =
                    format!("the newest execution is from {}, later than the clock says", row.id.made_at());
                Finding::warning(CHECK, message)
                    .hint("the clock went back; timers fire when it has caught up")
            }
            Some(row) => Finding::ok(CHECK, format!("the newest execution is from {}", row.id.made_at())),
            None => Finding::ok(CHECK, "no executions yet"),
        },
        Err(error) => Finding::error(CHECK, error.to_string()),
    }
}

fn objects(data: &Path) -> Finding {
    const CHECK: &str = "objects";
    let folder = data.join(OBJECTS_FOLDER);
    match std::fs::read_dir(&folder) {
        Ok(_) => Finding::ok(CHECK, format!("{} is there", folder.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::ok(CHECK, "none yet"),
        Err(error) => Finding::error(CHECK, format!("{} cannot be read: {error}", folder.display())),
    }
}
