//! The random flows of one world, planned. A flow may call those after it, never itself, so calls
//! end.

mod nodes;
mod sketch;

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use flux_core::plan::{Catalog, Plan, plan};
use flux_model::flow::{Concurrency, Debounce, Flow, Overflow, RateLimit, Settings};

use crate::weather::hits;
use sketch::Sketch;

/// Flows of one world.
const FLOWS_MAX: usize = 4;

/// Plans by flow name.
pub(crate) type Plans = BTreeMap<String, Arc<Plan>>;

/// Makes the flows of a world.
///
/// # Errors
/// The diagnostics of a flow that does not plan: a fault of this module or of the planner.
pub(crate) fn random(rng: &mut Rng, catalog: &Catalog) -> Result<Plans, String> {
    let count = rng.usize(1..=FLOWS_MAX);
    let names: Vec<String> = (0..count).map(|number| format!("f{number}")).collect();
    let mut plans = Plans::new();
    for (number, name) in names.iter().enumerate() {
        let size = rng.usize(2..if number == 0 { 24 } else { 12 });
        let (nodes, edges) = Sketch::draw(rng, &names[number + 1..], size);
        let settings = settings(rng);
        let flow = Flow { flux: 1, name: name.clone(), description: None, nodes, edges, settings };
        let planned = plan(&flow, catalog);
        let made = planned.plan.ok_or_else(|| {
            let said: Vec<String> = planned.diagnostics.iter().map(ToString::to_string).collect();
            format!("the flow does not plan: {}; {}", said.join("; "), describe(&flow))
        })?;
        plans.insert(name.clone(), made);
    }
    Ok(plans)
}

/// A flow as one line of JSON.
pub(crate) fn describe(flow: &Flow) -> String {
    serde_json::to_string(flow).unwrap_or_default()
}

fn settings(rng: &mut Rng) -> Settings {
    let key = |rng: &mut Rng| hits(rng, 350).then(|| "{{ trigger.k }}".to_owned());
    let concurrency = hits(rng, 450).then(|| Concurrency {
        key: key(rng),
        limit: [1, 1, 2, 3][rng.usize(..4)],
        overflow: [Overflow::Queue, Overflow::Drop, Overflow::CancelOldest][rng.usize(..3)],
    });
    let rate_limit = hits(rng, 100).then(|| RateLimit {
        key: key(rng),
        limit: rng.u32(1..5),
        period_ms: rng.u64(100..5_000),
        burst: None,
    });
    let debounce = hits(rng, 120).then(|| Debounce {
        key: key(rng),
        period_ms: rng.u64(10..2_000),
        max_ms: rng.bool().then_some(3_000),
    });
    Settings {
        concurrency,
        rate_limit,
        debounce,
        priority: rng.i32(-1..2),
        timeout_ms: hits(rng, 200).then(|| rng.u64(200..40_000)),
        steps_max: hits(rng, 120).then(|| rng.u64(2..30)),
        strict: hits(rng, 80),
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_node_is_drawn_and_every_flow_plans() {
        let catalog = crate::catalog::catalog();
        let mut drawn = BTreeSet::new();
        for seed in 0..200 {
            let plans = random(&mut Rng::with_seed(seed), &catalog).unwrap();
            let nodes = plans.values().flat_map(|plan| plan.flow().nodes.iter());
            drawn.extend(nodes.map(|node| node.node_type.clone()));
        }
        let all: BTreeSet<String> = catalog.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(drawn, all);
    }
}
