//! Check 1: nothing acknowledged is lost. What somebody was told is in the store, now and after any
//! crash, with the effect that it promised.

use flux_model::effect::Response;
use flux_model::event::Event;
use flux_model::execution::ExecutionResult;
use flux_model::journal::JournalEvent;
use flux_model::review::Decision;
use flux_model::{ExecutionId, NodePath, Value};

use super::durable::{Durable, Kept};
use crate::violation::Violation;

/// What somebody outside was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// The execution is accepted. With its input, unless later events may replace it.
    Started { input: Option<Value> },
    /// The decision counts.
    Decided { path: NodePath, decision: Decision },
    /// The signal is delivered.
    Signalled { signal: String },
    /// The execution is being cancelled.
    Cancelled,
    /// The execution is over.
    Ended { result: ExecutionResult },
    /// The flow's answer.
    Answered { response: Response },
}

/// Checks everything that was told.
pub(crate) fn check(told: &[(ExecutionId, Told)], durable: &Durable) -> Result<(), Violation> {
    for (id, told) in told {
        let visible = durable.get(id).is_some_and(|kept| is_visible(kept, told));
        if !visible {
            return Err(Violation::new(
                "acknowledged",
                format!("{id}: {told:?} was acknowledged and is lost"),
            ));
        }
    }
    Ok(())
}

/// Checks what was told once nothing happens any more: whatever was cancelled is over.
pub(crate) fn check_at_rest(told: &[(ExecutionId, Told)], durable: &Durable) -> Result<(), Violation> {
    for (id, _) in told.iter().filter(|(_, told)| *told == Told::Cancelled) {
        let over = durable.get(id).is_some_and(|kept| kept.row.status.is_terminal());
        if !over {
            let what = format!("{id}: its cancellation was acknowledged, and it is not over");
            return Err(Violation::new("acknowledged", what));
        }
    }
    Ok(())
}

fn is_visible(kept: &Kept, told: &Told) -> bool {
    let mut events = kept.entries.iter().map(|entry| &entry.event);
    let mut inputs = kept.entries.iter().filter_map(|entry| {
        if let JournalEvent::Input { input } = &entry.event { Some(input) } else { None }
    });
    match told {
        Told::Started { input: None } => true,
        Told::Started { input: Some(accepted) } => match inputs.next() {
            Some(Event::Started { input, .. }) => input == accepted,
            Some(Event::CancelRequested { .. }) | None => true,
            Some(_) => false,
        },
        Told::Decided { path, decision } => inputs.any(|input| {
            let Event::Decided { path: other, decision: made } = input else { return false };
            other == path && made == decision
        }),
        Told::Signalled { signal } => {
            inputs.any(|input| matches!(input, Event::Signalled { id, .. } if id == signal))
        }
        Told::Cancelled => {
            kept.row.status.is_terminal()
                || inputs.any(|input| matches!(input, Event::CancelRequested { .. }))
        }
        Told::Ended { result } => kept.result() == Some(result),
        Told::Answered { response } => events
            .any(|event| matches!(event, JournalEvent::Responded { response: made } if made == response)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::Sample;

    fn check_told(told: Told, expect: bool) {
        let sample = Sample::run();
        let kept = Kept { row: sample.row(), entries: sample.entries.clone() };
        let durable = Durable::from([(sample.id, kept)]);
        let found = check(&[(sample.id, told.clone())], &durable);
        assert_eq!(found.is_ok(), expect, "{told:?}: {found:?}");
        assert!(check(&[(sample.id, told)], &Durable::new()).is_err(), "the whole execution is lost");
    }

    #[test]
    fn a_cancellation_without_effect_is_noticed() {
        let sample = Sample::delayed();
        let kept = Kept { row: sample.row(), entries: sample.entries.clone() };
        let durable = Durable::from([(sample.id, kept)]);
        assert!(check_at_rest(&[(sample.id, Told::Cancelled)], &durable).is_err());
        assert_eq!(check_at_rest(&[(sample.id, Told::Started { input: None })], &durable), Ok(()));
    }

    #[test]
    fn what_is_lost_is_noticed() {
        check_told(Told::Started { input: None }, true);
        check_told(Told::Started { input: Some(Value::Null) }, true);
        check_told(Told::Started { input: Some(Value::from(true)) }, false);
        check_told(Told::Cancelled, true);
        check_told(Told::Signalled { signal: "x".to_owned() }, false);
        check_told(Told::Ended { result: ExecutionResult::Succeeded { output: Value::Null } }, true);
        check_told(Told::Ended { result: ExecutionResult::Cancelled { reason: String::new() } }, false);
        let response = Response { status: 200, headers: Vec::new(), body: Value::Null };
        check_told(Told::Answered { response }, false);
        let decision = Decision {
            action: flux_model::review::ReviewAction::Approve,
            content: None,
            comment: None,
            decided_by: "ada".to_owned(),
            expected_version: 1,
        };
        check_told(Told::Decided { path: NodePath::root("n1"), decision }, false);
    }
}
