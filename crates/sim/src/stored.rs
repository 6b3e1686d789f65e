//! Between a session's commit and what the store takes: records, objects, summaries, timers.

use std::collections::BTreeMap;

use flux_core::session::{Commit, ReviewChange as Change, TimerChange};
use flux_model::event::TimerKey;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_model::journal::{Entry, Record};
use flux_model::{ErrorCode, Timestamp, Value};
use flux_store::command::SUMMARY_BYTES_MAX;
use flux_store::executions::ErrorSummary;
use flux_store::reviews::ReviewChange;
use flux_store::{StatusChange, Step, Timer, TimerName};

/// Large values by the name of their object: the virtual object store.
pub(crate) type Objects = BTreeMap<String, String>;

/// The step to store for a commit. Values that are too large for the record are put into
/// `objects` first.
pub(crate) fn step(commit: &Commit, at: Timestamp, objects: &mut Objects) -> Step {
    let (record, taken) = Record::new(commit.entries.clone());
    let names = taken.iter().map(|(stored, _)| stored.hash.clone()).collect();
    objects.extend(taken.into_iter().map(|(stored, json)| (stored.hash, json)));
    let (set_timers, clear_timers) = timers(&commit.timers);
    Step {
        entries: u32::try_from(record.entries.len()).unwrap_or(u32::MAX),
        record: record.encode(),
        objects: names,
        change: status_change(commit, at),
        set_timers,
        clear_timers,
        reviews: commit.reviews.iter().map(|change| review(change, at)).collect(),
    }
}

/// The entries of a stored record.
///
/// # Errors
/// Why it cannot be read, or which object is missing.
pub(crate) fn entries(bytes: &[u8], objects: &Objects) -> Result<Vec<Entry>, String> {
    let mut record = Record::decode(bytes).map_err(|error| error.to_string())?;
    for stored in record.stored.clone() {
        let json = objects.get(&stored.hash);
        let json = json.ok_or_else(|| format!("object {} is missing", stored.hash))?;
        let value = Value::from_json(json.as_bytes()).map_err(|error| error.to_string())?;
        record.restore(&stored, value).map_err(|error| error.to_string())?;
    }
    Ok(record.entries)
}

/// The start of a text, as long as a summary may be.
pub(crate) fn summary(text: &str) -> String {
    let mut end = text.len().min(SUMMARY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Of several changes to one timer the last one counts; the store clears before it sets.
fn timers(changes: &[TimerChange]) -> (Vec<Timer>, Vec<TimerName>) {
    let mut last: BTreeMap<&TimerKey, Option<Timestamp>> = BTreeMap::new();
    for change in changes {
        match change {
            TimerChange::Set(key, at) => last.insert(key, Some(*at)),
            TimerChange::Clear(key) => last.insert(key, None),
        };
    }
    let (mut set, mut clear) = (Vec::new(), Vec::new());
    for (key, due) in last {
        let name = TimerName::Machine(key.clone());
        match due {
            Some(due) => set.push(Timer { name, due }),
            None => clear.push(name),
        }
    }
    (set, clear)
}

fn status_change(commit: &Commit, at: Timestamp) -> Option<StatusChange> {
    match (&commit.result, commit.status) {
        (Some(ExecutionResult::Succeeded { output }), _) => {
            Some(StatusChange::Succeeded { output: Some(summary(&output.to_json())), at })
        }
        (Some(ExecutionResult::Failed { error }), _) => {
            let message = summary(&error.message);
            let node = Some(error.node.clone());
            Some(StatusChange::Failed { error: ErrorSummary { code: error.code, message, node }, at })
        }
        (Some(ExecutionResult::Cancelled { reason }), _) => {
            Some(StatusChange::Cancelled { reason: summary(reason), at })
        }
        (None, ExecutionStatus::Waiting) => Some(StatusChange::Waiting { waits: commit.waits.clone() }),
        (None, ExecutionStatus::Running) => Some(StatusChange::Running),
        (
            None,
            ExecutionStatus::Queued
            | ExecutionStatus::Succeeded
            | ExecutionStatus::Failed
            | ExecutionStatus::Cancelled,
        ) => None,
    }
}

fn review(change: &Change, at: Timestamp) -> ReviewChange {
    match change {
        Change::Open(request) => ReviewChange::Open { request: request.clone(), at },
        Change::Close { review, status, decision } => ReviewChange::Close {
            review: *review,
            expected_version: decision.as_ref().map(|decision| decision.expected_version),
            status: *status,
            decision: decision.clone(),
            at,
        },
    }
}

/// The result that a row tells of, where only the row is left to ask: outputs are not in it.
pub(crate) fn is_result_of(result: &ExecutionResult, error: Option<&ErrorSummary>) -> bool {
    match result {
        ExecutionResult::Succeeded { .. } => error.is_none(),
        ExecutionResult::Failed { error: full } => error.is_some_and(|error| error.code == full.code),
        ExecutionResult::Cancelled { .. } => error.is_some_and(|error| error.code == ErrorCode::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use flux_model::NodePath;

    use super::*;

    #[test]
    fn the_last_change_of_a_timer_counts() {
        let key = |path: &str| TimerKey::Delay { path: NodePath::root(path) };
        let at = Timestamp::from_millis(7);
        let (set, clear) = timers(&[
            TimerChange::Set(key("gone"), at),
            TimerChange::Clear(key("gone")),
            TimerChange::Clear(key("kept")),
            TimerChange::Set(key("kept"), at),
        ]);
        assert_eq!(set, [Timer { name: TimerName::Machine(key("kept")), due: at }]);
        assert_eq!(clear, [TimerName::Machine(key("gone"))]);
    }

    #[test]
    fn a_summary_ends_between_characters() {
        let text = "ä".repeat(SUMMARY_BYTES_MAX);
        assert_eq!(summary(&text).len(), SUMMARY_BYTES_MAX);
        assert_eq!(summary(&format!("x{text}")).len(), SUMMARY_BYTES_MAX - 1);
    }
}
