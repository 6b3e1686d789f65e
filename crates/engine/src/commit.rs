//! From what a session wants durable to the command that makes it so: the record in stored form,
//! the values taken out of it, the row's status, timers and reviews. Nothing is written here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use flux_core::session::{Commit, ReviewChange, TimerChange};
use flux_model::effect::Effect;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_model::journal::{Entry, JournalEvent, Record};
use flux_model::{NodePath, Timestamp, Value};
use flux_store::command::SUMMARY_BYTES_MAX;
use flux_store::executions::ErrorSummary;
use flux_store::reviews::ReviewChange as StoredReviewChange;
use flux_store::{StatusChange, Step, Timer, TimerName};

use crate::events::{Change, NodeChange};

/// Bytes of an input or output that lists show.
const SUMMARY_BYTES: usize = 500;
/// The member that makes a value a file.
const FILE_MEMBER: &str = "$file";

/// A commit, ready to be written.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What goes into the store.
    pub(crate) step: Step,
    /// Values that must be in objects before that: name and JSON text.
    pub(crate) taken: Vec<(String, String)>,
    /// Bytes it adds to the journal, with what was taken out.
    pub(crate) bytes: u64,
    /// Where the execution stands after it.
    pub(crate) status: ExecutionStatus,
    /// What to do once it is durable.
    pub(crate) then: Vec<Effect>,
    /// What followers are told once it is durable.
    pub(crate) changes: Vec<Change>,
}

/// Whether anybody follows changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    Yes,
    No,
}

/// Prepares a commit of an execution that had the status `before`; a new one had none.
pub(crate) fn prepare(
    commit: Commit,
    before: Option<ExecutionStatus>,
    now: Timestamp,
    followed: Followed,
) -> Prepared {
    let changes = match followed {
        Followed::Yes => changes(&commit, before),
        Followed::No => Vec::new(),
    };
    let entries = u32::try_from(commit.entries.len()).unwrap_or(u32::MAX);
    let change = status_change(&commit, before, now);
    let encoded = encode(commit.entries);
    let (set_timers, clear_timers) = timers(commit.timers);
    let reviews = commit.reviews.into_iter().map(|review| stored_review(review, now)).collect();
    Prepared {
        step: Step {
            record: encoded.record,
            entries,
            objects: encoded.objects,
            change,
            set_timers,
            clear_timers,
            reviews,
        },
        taken: encoded.taken,
        bytes: encoded.bytes,
        status: commit.status,
        then: commit.then,
        changes,
    }
}

/// A record in stored form.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) record: Vec<u8>,
    /// Values that must be in objects first: name and JSON text.
    pub(crate) taken: Vec<(String, String)>,
    /// Every object it refers to: values taken out, and files that its values mention.
    pub(crate) objects: Vec<String>,
    /// Bytes of the record and of what was taken out.
    pub(crate) bytes: u64,
}

pub(crate) fn encode(entries: Vec<Entry>) -> Encoded {
    let (mut record, taken) = Record::new(entries);
    let bytes = record.encode();
    let mut objects: BTreeSet<String> = taken.iter().map(|(stored, _)| stored.hash.clone()).collect();
    if mentions_file(&bytes) {
        for value in record.entries.iter_mut().flat_map(|entry| entry.event.values_mut()) {
            collect_files(value, &mut objects);
        }
    }
    let mut total = bytes.len() as u64;
    let taken = taken.into_iter().map(|(stored, json)| {
        total += stored.bytes;
        if mentions_file(json.as_bytes())
            && let Ok(value) = Value::from_json(json.as_bytes())
        {
            collect_files(&value, &mut objects);
        }
        (stored.hash, json)
    });
    let taken = taken.collect();
    Encoded { record: bytes, taken, objects: objects.into_iter().collect(), bytes: total }
}

fn mentions_file(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|text| text.contains(FILE_MEMBER))
}

fn collect_files(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) => {}
        Value::Array(items) => items.iter().for_each(|item| collect_files(item, found)),
        Value::Object(members) => {
            let hash = members.get(FILE_MEMBER).and_then(|file| file.get("hash")).and_then(Value::as_str);
            found.extend(hash.map(str::to_owned));
            members.values().for_each(|member| collect_files(member, found));
        }
    }
}

fn status_change(commit: &Commit, before: Option<ExecutionStatus>, at: Timestamp) -> Option<StatusChange> {
    match (commit.status, &commit.result) {
        (_, Some(ExecutionResult::Succeeded { output })) => {
            Some(StatusChange::Succeeded { output: Some(summary(output)), at })
        }
        (_, Some(ExecutionResult::Failed { error })) => {
            let message = cut(&error.message, SUMMARY_BYTES_MAX).to_owned();
            let error = ErrorSummary { code: error.code, message, node: Some(error.node.clone()) };
            Some(StatusChange::Failed { error, at })
        }
        (_, Some(ExecutionResult::Cancelled { reason })) => {
            Some(StatusChange::Cancelled { reason: cut(reason, SUMMARY_BYTES_MAX).to_owned(), at })
        }
        (ExecutionStatus::Waiting, None) => Some(StatusChange::Waiting { waits: commit.waits.clone() }),
        (ExecutionStatus::Running, None) => match before {
            Some(ExecutionStatus::Waiting | ExecutionStatus::Queued) => Some(StatusChange::Running),
            None
            | Some(
                ExecutionStatus::Running
                | ExecutionStatus::Succeeded
                | ExecutionStatus::Failed
                | ExecutionStatus::Cancelled,
            ) => None,
        },
        (
            ExecutionStatus::Queued
            | ExecutionStatus::Succeeded
            | ExecutionStatus::Failed
            | ExecutionStatus::Cancelled,
            None,
        ) => None,
    }
}

/// The last change of each timer counts.
fn timers(changes: Vec<TimerChange>) -> (Vec<Timer>, Vec<TimerName>) {
    let mut last = BTreeMap::new();
    for change in changes {
        let (key, due) = match change {
            TimerChange::Set(key, due) => (key, Some(due)),
            TimerChange::Clear(key) => (key, None),
        };
        last.insert(TimerName::Machine(key), due);
    }
    let mut set = Vec::new();
    let mut clear = Vec::new();
    for (name, due) in last {
        match due {
            Some(due) => set.push(Timer { name, due }),
            None => clear.push(name),
        }
    }
    (set, clear)
}

fn stored_review(change: ReviewChange, at: Timestamp) -> StoredReviewChange {
    match change {
        ReviewChange::Open(request) => StoredReviewChange::Open { request, at },
        ReviewChange::Close { review, status, decision } => {
            let expected_version = decision.as_ref().map(|decision| decision.expected_version);
            StoredReviewChange::Close { review, expected_version, status, decision, at }
        }
    }
}

fn changes(commit: &Commit, before: Option<ExecutionStatus>) -> Vec<Change> {
    let mut changes: Vec<Change> = commit.entries.iter().filter_map(node_change).collect();
    changes.extend(commit.reviews.iter().map(|change| match change {
        ReviewChange::Open(request) => {
            Change::Review { review: request.id, status: flux_model::review::ReviewStatus::Pending }
        }
        ReviewChange::Close { review, status, .. } => Change::Review { review: *review, status: *status },
    }));
    if before != Some(commit.status) {
        changes.push(Change::Execution { status: commit.status });
    }
    changes
}

fn node_change(entry: &Entry) -> Option<Change> {
    let node = |path: &NodePath, state| Some(Change::Node { path: path.clone(), state });
    match &entry.event {
        JournalEvent::AttemptStarted { path, attempt } => {
            node(path, NodeChange::Running { attempt: *attempt })
        }
        JournalEvent::NodeSucceeded { path, .. } => node(path, NodeChange::Succeeded),
        JournalEvent::NodeFailed { error, retry_at } => {
            let state = NodeChange::Failed { error: Box::new(error.clone()), retry_at: *retry_at };
            node(&error.node, state)
        }
        JournalEvent::NodeSkipped { path } => node(path, NodeChange::Skipped),
        JournalEvent::NodeCancelled { path } => node(path, NodeChange::Cancelled),
        JournalEvent::NodeWaiting { path, .. } => node(path, NodeChange::Waiting),
        JournalEvent::Input { .. }
        | JournalEvent::Warning { .. }
        | JournalEvent::Responded { .. }
        | JournalEvent::Called { .. }
        | JournalEvent::Logged { .. }
        | JournalEvent::Finished { .. } => None,
    }
}

/// The beginning of a value's JSON text, for people. Reads no further than it shows.
pub(crate) fn summary(value: &Value) -> String {
    let mut head = Head { bytes: Vec::with_capacity(64), max: SUMMARY_BYTES };
    let whole = serde_json::to_writer(&mut head, value).is_ok();
    let mut text = String::from_utf8_lossy(&head.bytes).into_owned();
    if !whole {
        // The last character may have been cut in the middle.
        text.truncate(text.trim_end_matches('\u{fffd}').len());
        text.push('…');
    }
    text
}

/// Takes the first bytes and refuses the rest.
struct Head {
    bytes: Vec<u8>,
    max: usize,
}

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.max - self.bytes.len();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use flux_model::Event;
    use flux_model::event::TimerKey;

    use super::*;

    fn check_summary(value: &Value, expected: &str) {
        assert_eq!(summary(value), expected);
    }

    #[test]
    fn summaries_show_the_beginning() {
        check_summary(&Value::object([("a", Value::from(1_i64))]), r#"{"a":1}"#);
        check_summary(&Value::text("ä".repeat(10_000)), &format!("\"{}…", "ä".repeat(249)));
        let nested = Value::array(vec![Value::text("x".repeat(300)); 1_000]);
        assert!(summary(&nested).len() <= SUMMARY_BYTES + '…'.len_utf8());
    }

    #[test]
    fn objects_of_values_and_files_are_named() {
        let file = Value::object([("$file", Value::object([("hash", Value::text("abc"))]))]);
        let big = Value::array(vec![Value::text("x".repeat(70_000)), file.clone()]);
        let signal = |payload| JournalEvent::Input {
            input: Event::Signalled { name: "s".into(), payload, id: "1".into() },
        };
        let entry = |seq, payload| Entry { seq, at: Timestamp::default(), event: signal(payload) };
        assert_eq!(encode(vec![entry(0, file)]).objects, ["abc"]);
        let encoded = encode(vec![entry(0, big)]);
        assert_eq!(encoded.taken.len(), 1);
        assert!(encoded.objects.contains(&"abc".to_owned()) && encoded.objects.contains(&encoded.taken[0].0));
        assert!(encoded.bytes > 70_000 && encoded.record.len() < 1_000);
        assert!(encode(vec![entry(0, Value::from("plain"))]).objects.is_empty());
    }

    #[test]
    fn a_timer_that_is_set_and_cleared_in_one_step_is_cleared() {
        let key = || TimerKey::Delay { path: NodePath::root("a") };
        let at = Timestamp::from_millis(5);
        let (set, clear) = timers(vec![TimerChange::Set(key(), at), TimerChange::Clear(key())]);
        assert_eq!((set.len(), clear.len()), (0, 1));
        let (set, clear) = timers(vec![TimerChange::Clear(key()), TimerChange::Set(key(), at)]);
        assert_eq!((set[0].due, clear.len()), (at, 0));
    }
}
