//! The concurrency limit of a flow is never exceeded, per key. Where the overflow policy cancels
//! the oldest, those that were told to stop do not count while they are stopping.

use std::collections::BTreeSet;

use flux_core::plan::Plan;
use flux_model::flow::Overflow;
use flux_model::{ExecutionId, ExecutionStatus};
use flux_store::ExecutionRow;

use crate::violation::Violation;

/// Checks the executions of one flow. `stopping` are those that were told to stop.
pub(crate) fn check<'a>(
    plan: &Plan,
    rows: impl IntoIterator<Item = &'a ExecutionRow>,
    stopping: &BTreeSet<ExecutionId>,
) -> Result<(), Violation> {
    let Some(rule) = &plan.settings().concurrency else { return Ok(()) };
    let mut active: std::collections::BTreeMap<&str, Vec<ExecutionId>> = Default::default();
    for row in rows {
        let holds = matches!(row.status, ExecutionStatus::Running | ExecutionStatus::Waiting);
        let excused = rule.overflow == Overflow::CancelOldest && stopping.contains(&row.id);
        if let Some(key) = row.concurrency_key.as_deref().filter(|_| holds && !excused) {
            active.entry(key).or_default().push(row.id);
        }
    }
    for (key, ids) in active {
        if ids.len() > rule.limit as usize {
            let what = format!(
                "{} executions of key \"{key}\" are active, the limit is {}: {ids:?}",
                ids.len(),
                rule.limit
            );
            return Err(Violation::new("slots", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::sample::Sample;

    fn check_limit(overflow: &str, stopping: &[u128], holds: bool) {
        let sample = Sample::run();
        let mut flow = sample.plan.flow().clone();
        flow.settings =
            serde_json::from_value(json!({"concurrency": {"limit": 1, "overflow": overflow}})).unwrap();
        let plan = flux_core::plan::plan(&flow, &crate::catalog::catalog()).plan.unwrap();
        let row = |bits: u128| ExecutionRow {
            id: ExecutionId::from_bits(bits),
            status: ExecutionStatus::Waiting,
            concurrency_key: Some(String::new()),
            ..sample.row()
        };
        let stopping = stopping.iter().map(|bits| ExecutionId::from_bits(*bits)).collect();
        let found = check(&plan, &[row(1), row(2)], &stopping);
        assert_eq!(found.is_ok(), holds, "{overflow} {stopping:?}: {found:?}");
    }

    #[test]
    fn one_too_many_is_noticed() {
        check_limit("queue", &[], false);
        check_limit("queue", &[1], false);
        check_limit("cancel_oldest", &[], false);
        check_limit("cancel_oldest", &[1], true);
    }
}
