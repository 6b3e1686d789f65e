//! Terminal states never change: nothing follows the end of a journal, there is one end, and the
//! row agrees with it.

use flux_model::journal::JournalEvent;

use super::durable::Kept;
use crate::violation::Violation;

/// Checks one execution.
pub(crate) fn check(kept: &Kept) -> Result<(), Violation> {
    let violation = |what: String| Err(Violation::new("ending", format!("{}: {what}", kept.row.id)));
    let mut ends = kept.entries.iter().filter(|entry| matches!(entry.event, JournalEvent::Finished { .. }));
    let (first, second) = (ends.next(), ends.next());
    if let Some(second) = second {
        return violation(format!("it ends a second time in entry {}", second.seq));
    }
    let last = kept.entries.last().map(|entry| entry.seq);
    match (first, last) {
        (Some(end), Some(last)) if end.seq != last => {
            violation(format!("it ended in entry {}, the journal goes on to {last}", end.seq))
        }
        (Some(_), _) => match kept.result().map(flux_model::execution::ExecutionResult::status) {
            Some(status) if status == kept.row.status => Ok(()),
            status => violation(format!("the journal ends as {status:?}, the row as {:?}", kept.row.status)),
        },
        (None, _) if kept.row.status.is_terminal() => {
            violation(format!("the row is {:?}, the journal has no end", kept.row.status))
        }
        (None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::Sample;

    fn check_changed(change: impl Fn(&mut Kept), expect: &str) {
        let sample = Sample::run();
        let mut kept = Kept { row: sample.row(), entries: sample.entries.clone() };
        change(&mut kept);
        match (check(&kept), expect) {
            (found, "") => assert_eq!(found, Ok(())),
            (found, expect) => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    #[test]
    fn a_second_end_and_a_life_after_it_are_noticed() {
        let copy = |kept: &mut Kept, from: usize| {
            let mut entry = kept.entries[from].clone();
            entry.seq = kept.entries.len() as u64;
            kept.entries.push(entry);
        };
        check_changed(|_| (), "");
        check_changed(|kept| copy(kept, kept.entries.len() - 1), "a second time");
        check_changed(|kept| copy(kept, 0), "goes on");
        check_changed(|kept| kept.row.status = flux_model::ExecutionStatus::Failed, "the row as");
        check_changed(|kept| drop(kept.entries.pop()), "no end");
    }
}
