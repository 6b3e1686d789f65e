//! Every input counts once: a signal by its id, an answer only for the attempt that was asked,
//! attempts one after the other, a start and a request to cancel a single time.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::NodePath;
use flux_model::event::Event;
use flux_model::journal::JournalEvent;

use super::durable::Kept;
use crate::violation::Violation;

/// Checks one execution.
pub(crate) fn check(kept: &Kept) -> Result<(), Violation> {
    let mut seen = Seen::default();
    for entry in &kept.entries {
        let found = match &entry.event {
            JournalEvent::Input { input } => seen.input(input),
            JournalEvent::AttemptStarted { path, attempt } => seen.attempt(path, *attempt),
            JournalEvent::NodeSucceeded { .. }
            | JournalEvent::NodeFailed { .. }
            | JournalEvent::NodeSkipped { .. }
            | JournalEvent::NodeCancelled { .. }
            | JournalEvent::NodeWaiting { .. }
            | JournalEvent::Warning { .. }
            | JournalEvent::Responded { .. }
            | JournalEvent::Called { .. }
            | JournalEvent::Logged { .. }
            | JournalEvent::Finished { .. } => Ok(()),
        };
        found
            .map_err(|what| Violation::new("once", format!("{} entry {}: {what}", kept.row.id, entry.seq)))?;
    }
    Ok(())
}

#[derive(Default)]
struct Seen {
    attempts: BTreeMap<NodePath, u32>,
    signals: BTreeSet<String>,
    starts: u32,
    cancels: u32,
}

impl Seen {
    fn input(&mut self, input: &Event) -> Result<(), String> {
        match input {
            Event::Completed { path, attempt, .. } => match self.attempts.get(path) {
                Some(asked) if asked != attempt => {
                    Err(format!("an answer of attempt {attempt} of {path} counts, asked was attempt {asked}"))
                }
                Some(_) | None => Ok(()),
            },
            Event::Signalled { id, .. } if !self.signals.insert(id.clone()) => {
                Err(format!("signal {id} counts a second time"))
            }
            Event::Started { .. } => {
                self.starts += 1;
                if self.starts > 1 { Err("it starts a second time".to_owned()) } else { Ok(()) }
            }
            Event::CancelRequested { .. } => {
                self.cancels += 1;
                if self.cancels > 1 { Err("it is cancelled a second time".to_owned()) } else { Ok(()) }
            }
            Event::Signalled { .. }
            | Event::TimerFired { .. }
            | Event::Decided { .. }
            | Event::ChildStarted { .. }
            | Event::ChildEnded { .. }
            | Event::LimitExceeded { .. }
            | Event::Recovered => Ok(()),
        }
    }

    fn attempt(&mut self, path: &NodePath, attempt: u32) -> Result<(), String> {
        let before = self.attempts.insert(path.clone(), attempt).unwrap_or_default();
        if attempt == before + 1 {
            Ok(())
        } else {
            Err(format!("attempt {attempt} of {path} follows attempt {before}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use flux_model::Value;
    use flux_model::journal::Entry;

    use super::*;
    use crate::checks::sample::{Sample, started};

    fn check_added(added: &[JournalEvent], expect: &str) {
        let sample = Sample::run();
        let mut entries = sample.entries.clone();
        for event in added {
            entries.push(Entry { seq: entries.len() as u64, at: sample.at, event: event.clone() });
        }
        let found = check(&Kept { row: sample.row(), entries });
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    fn input(event: Event) -> JournalEvent {
        JournalEvent::Input { input: event }
    }

    #[test]
    fn what_counts_twice_is_noticed() {
        let signal = || input(Event::Signalled { name: "s".into(), payload: Value::Null, id: "1".into() });
        let cancel = || input(Event::CancelRequested { reason: "r".into() });
        let attempt = |attempt| JournalEvent::AttemptStarted { path: NodePath::root("n1"), attempt };
        let result = Err(flux_model::error::Failure::permanent(flux_model::ErrorCode::Cancelled, "r"));
        let answer = input(Event::Completed { path: NodePath::root("n1"), attempt: 1, result });
        check_added(&[], "");
        check_added(&[signal(), cancel(), attempt(2)], "");
        check_added(&[signal(), signal()], "signal 1");
        check_added(&[cancel(), cancel()], "cancelled a second time");
        check_added(&[input(started())], "starts a second time");
        check_added(&[attempt(3)], "follows attempt 1");
        check_added(&[attempt(2), answer], "asked was attempt 2");
    }
}
