//! Retries keep to what the flow and the provider ask: as many attempts as the node has, none after
//! a permanent failure, none before a `Retry-After` is over.

use std::collections::BTreeMap;
use std::time::Duration;

use flux_model::error::ErrorClass;
use flux_model::event::Event;
use flux_model::flow::Flow;
use flux_model::journal::{Entry, JournalEvent};
use flux_model::{NodePath, Timestamp};

use super::durable::Kept;
use crate::violation::Violation;

/// Checks one execution against its flow.
pub(crate) fn check(kept: &Kept, flow: &Flow) -> Result<(), Violation> {
    let mut asked: BTreeMap<&NodePath, u64> = BTreeMap::new();
    for entry in &kept.entries {
        if let JournalEvent::AttemptStarted { path, .. } = &entry.event {
            asked.remove(path);
        }
        if let JournalEvent::Input { input: Event::Completed { path, result: Err(failure), .. } } =
            &entry.event
        {
            asked.insert(path, failure.retry_after_ms.unwrap_or_default());
        }
        let found = check_entry(entry, flow, &asked);
        let named = |what| Violation::new("retries", format!("{} entry {}: {what}", kept.row.id, entry.seq));
        found.map_err(named)?;
    }
    Ok(())
}

/// `asked` holds how long the provider of a node asked to wait, in milliseconds.
fn check_entry(entry: &Entry, flow: &Flow, asked: &BTreeMap<&NodePath, u64>) -> Result<(), String> {
    let JournalEvent::NodeFailed { error, retry_at: Some(again) } = &entry.event else { return Ok(()) };
    let node = flow.nodes.iter().find(|node| node.key == error.node.key());
    let attempts = node.and_then(|node| node.retry.as_ref()).map_or(1, |retry| retry.attempts);
    if error.attempt >= attempts {
        return Err(format!("{} is tried again after attempt {} of {attempts}", error.node, error.attempt));
    }
    if error.class == ErrorClass::Permanent {
        return Err(format!("{} is tried again after a permanent failure", error.node));
    }
    let wait = Duration::from_millis(asked.get(&error.node).copied().unwrap_or_default());
    let earliest: Timestamp = entry.at + wait;
    if *again < earliest {
        return Err(format!("{} is tried again at {again}, asked was {earliest}", error.node));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flux_model::ErrorCode;
    use flux_model::error::Failure;
    use serde_json::json;

    use super::*;
    use crate::checks::sample::{Sample, started};

    fn check_changed(change: impl Fn(&mut JournalEvent), expect: &str) {
        let nodes = json!([
            {"key": "start", "type": "trigger.manual"},
            {"key": "n1", "type": "task", "retry": {"attempts": 2, "initial_ms": 1, "jitter": 0}}
        ]);
        let mut failure = Failure::retryable(ErrorCode::HttpStatus, "busy");
        failure.retry_after_ms = Some(500);
        let failed = Event::Completed { path: NodePath::root("n1"), attempt: 1, result: Err(failure) };
        let sample = Sample::of(nodes, &["start > n1"], vec![started(), failed]);
        let mut entries = sample.entries.clone();
        entries.iter_mut().for_each(|entry| change(&mut entry.event));
        let found = check(&Kept { row: sample.row(), entries }, sample.plan.flow());
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    #[test]
    fn retries_that_nobody_asked_for_are_noticed() {
        check_changed(|_| (), "");
        let with = |change: fn(&mut flux_model::NodeError, &mut Option<Timestamp>)| {
            move |event: &mut JournalEvent| {
                if let JournalEvent::NodeFailed { error, retry_at } = event {
                    change(error, retry_at);
                }
            }
        };
        check_changed(with(|error, _| error.attempt = 2), "after attempt 2 of 2");
        check_changed(with(|error, _| error.class = ErrorClass::Permanent), "permanent");
        check_changed(with(|_, again| *again = Some(Timestamp::from_millis(1_100))), "asked was");
    }
}
