//! Check 3: no stuck execution. When nothing is going to happen by itself any more, every
//! execution is over, or waits for something that somebody can still bring about, and says so.

use flux_model::execution::{Wait, WaitOn};
use flux_model::review::ReviewStatus;
use flux_model::{ExecutionStatus, ReviewId};
use flux_store::ExecutionRow;

use super::durable::Durable;
use crate::flows::Plans;
use crate::violation::Violation;

const CHECK: &str = "stuck";

/// Checks a world in which nothing is going to happen by itself. `review` gives the status of a
/// stored review.
pub(crate) fn check(
    durable: &Durable,
    plans: &Plans,
    review: impl Fn(ReviewId) -> Option<ReviewStatus>,
) -> Result<(), Violation> {
    for kept in durable.values() {
        let row = &kept.row;
        let reason = match row.status {
            ExecutionStatus::Succeeded | ExecutionStatus::Failed | ExecutionStatus::Cancelled => None,
            ExecutionStatus::Running => Some("it is running, and nothing of it is".to_owned()),
            ExecutionStatus::Queued => queued_in_vain(row, durable, plans),
            ExecutionStatus::Waiting if row.waits.is_empty() => Some("it waits for nothing".to_owned()),
            ExecutionStatus::Waiting => {
                row.waits.iter().find_map(|wait| waits_in_vain(wait, durable, &review))
            }
        };
        let orphaned = || {
            is_orphan(row, durable).then(|| "its parent, which waited for it, does not any more".to_owned())
        };
        if let Some(reason) = reason.or_else(orphaned) {
            return Err(Violation::new(CHECK, format!("{} ({}): {reason}", row.id, row.flow)));
        }
    }
    Ok(())
}

/// Once everything was decided, signalled and cancelled, everything is over.
pub(crate) fn check_all_over(durable: &Durable) -> Result<(), Violation> {
    match durable.values().find(|kept| !kept.row.status.is_terminal()) {
        Some(kept) => {
            let row = &kept.row;
            let what = format!(
                "{} ({}) cannot be driven to its end: {:?} {:?}",
                row.id, row.flow, row.status, row.waits
            );
            Err(Violation::new(CHECK, what))
        }
        None => Ok(()),
    }
}

fn waits_in_vain(
    wait: &Wait,
    durable: &Durable,
    review: impl Fn(ReviewId) -> Option<ReviewStatus>,
) -> Option<String> {
    let node = &wait.node;
    match &wait.on {
        WaitOn::Timer { until }
        | WaitOn::Review { until: Some(until), .. }
        | WaitOn::Signal { until: Some(until), .. } => Some(format!("{node}: the timer of {until} is lost")),
        WaitOn::Review { review: id, until: None } => match review(*id) {
            Some(ReviewStatus::Pending) => None,
            status => Some(format!("{node}: review {id} is {status:?}")),
        },
        WaitOn::Signal { until: None, .. } => None,
        WaitOn::Child { execution } => match durable.get(execution) {
            Some(child) if !child.row.status.is_terminal() => None,
            Some(_) => Some(format!("{node}: child {execution} is over, and nobody said so")),
            None => Some(format!("{node}: child {execution} does not exist")),
        },
    }
}

/// A queued execution needs somebody who holds the slot it waits for.
fn queued_in_vain(row: &ExecutionRow, durable: &Durable, plans: &Plans) -> Option<String> {
    let rule = plans.get(&row.flow).and_then(|plan| plan.settings().concurrency.as_ref());
    let limit = rule.map_or(0, |rule| rule.limit as usize);
    let holders = durable.values().filter(|other| {
        let other = &other.row;
        let active = matches!(other.status, ExecutionStatus::Running | ExecutionStatus::Waiting);
        active && other.flow == row.flow && other.concurrency_key == row.concurrency_key
    });
    let holders = holders.count();
    (limit == 0 || holders < limit).then(|| format!("it is queued, but {holders} of {limit} slots are taken"))
}

/// Whether nobody waits any more for a child that somebody waited for.
fn is_orphan(row: &ExecutionRow, durable: &Durable) -> bool {
    let Some(parent) = row.parent.as_ref().filter(|parent| parent.awaited) else { return false };
    let waits = durable.get(&parent.execution).map_or(&[][..], |parent| &parent.row.waits);
    let awaited = waits.iter().any(|wait| wait.on == WaitOn::Child { execution: row.id });
    !row.status.is_terminal() && !awaited
}

#[cfg(test)]
mod tests {
    use flux_model::{ExecutionId, NodePath, Timestamp};
    use flux_store::executions::Parent;

    use super::*;
    use crate::checks::durable::Kept;
    use crate::checks::sample::Sample;

    fn check_row(change: impl Fn(&mut ExecutionRow), review: Option<ReviewStatus>, expect: &str) {
        let sample = Sample::run();
        let over = Kept { row: sample.row(), entries: Vec::new() };
        let mut row = ExecutionRow { id: ExecutionId::from_bits(8), ..sample.row() };
        change(&mut row);
        let durable = Durable::from([(sample.id, over), (row.id, Kept { row, entries: Vec::new() })]);
        let plans = Plans::from([("f0".to_owned(), sample.plan.clone())]);
        let found = check(&durable, &plans, |_| review);
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    fn waiting(on: WaitOn) -> impl Fn(&mut ExecutionRow) {
        move |row| {
            row.status = ExecutionStatus::Waiting;
            row.waits = vec![Wait { node: NodePath::root("n1"), on: on.clone() }];
        }
    }

    #[test]
    fn waits_for_nothing_real_are_noticed() {
        let review = || WaitOn::Review { review: ReviewId::from_bits(1), until: None };
        let child = |bits| WaitOn::Child { execution: ExecutionId::from_bits(bits) };
        check_row(|_| (), None, "");
        check_row(|row| row.status = ExecutionStatus::Running, None, "nothing of it is");
        check_row(|row| row.status = ExecutionStatus::Queued, None, "slots are taken");
        check_row(|row| row.status = ExecutionStatus::Waiting, None, "waits for nothing");
        check_row(waiting(WaitOn::Timer { until: Timestamp::default() }), None, "is lost");
        check_row(waiting(review()), Some(ReviewStatus::Pending), "");
        check_row(waiting(review()), Some(ReviewStatus::Approved), "Approved");
        check_row(waiting(WaitOn::Signal { name: "s".to_owned(), until: None }), None, "");
        check_row(waiting(child(7)), None, "nobody said so");
        check_row(waiting(child(9)), None, "does not exist");
    }

    #[test]
    fn orphans_and_the_unfinished_are_noticed() {
        let orphan = |row: &mut ExecutionRow| {
            waiting(WaitOn::Signal { name: "s".to_owned(), until: None })(row);
            let (execution, path) = (ExecutionId::from_bits(7), NodePath::root("n1"));
            row.parent = Some(Parent { execution, path, awaited: true });
        };
        check_row(orphan, None, "does not any more");
        let sample = Sample::delayed();
        let open = Durable::from([(sample.id, Kept { row: sample.row(), entries: Vec::new() })]);
        assert!(check_all_over(&open).unwrap_err().what.contains("cannot be driven"));
    }
}
