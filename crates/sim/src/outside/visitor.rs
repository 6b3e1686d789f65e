//! People and programs that do something at random moments, and, at the end, those who decide and
//! signal everything that is still waited for.

use flux_model::execution::WaitOn;
use flux_model::review::{Decision, ReviewAction, ReviewStatus};
use flux_model::{ExecutionId, ExecutionStatus, ReviewId, Value};
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::reviews::ReviewFilter;
use flux_store::{ExecutionRow, PageRequest};

use super::client::Ask;
use crate::checks::durable;
use crate::disk::tenant;
use crate::values;
use crate::weather::hits;
use crate::world::{Occurrence, World};

/// Longest time between two visits, in milliseconds.
const VISIT_MS_MAX: u64 = 1_500;

impl World {
    /// Somebody does something, and somebody else will later.
    pub(crate) fn visit(&mut self) {
        if self.weather.visits == 0 {
            return;
        }
        self.weather.visits -= 1;
        let after = self.rng.u64(..VISIT_MS_MAX);
        self.later(after, Occurrence::Visit);
        match self.rng.u32(..10) {
            0..3 => self.visit_flow(),
            3..6 => self.visit_review(),
            6..8 => self.visit_with_signal(),
            8 => self.visit_to_cancel(),
            _ => self.visit_to_rerun(),
        }
    }

    /// Somebody starts an execution.
    pub(crate) fn visit_flow(&mut self) {
        let names: Vec<String> = self.plans.keys().cloned().collect();
        let flow = names[self.rng.usize(..names.len())].clone();
        let peer = self.any(|_| true).map(|row| row.id);
        let input = values::input(&mut self.rng, peer);
        // Few keys, so that some are met again.
        let idempotency_key = hits(&mut self.rng, 500).then(|| format!("key{}", self.rng.u32(..50)));
        self.plan_request(0, Ask::Start { flow, input, recorded: None, idempotency_key });
    }

    fn visit_review(&mut self) {
        let filter = ReviewFilter { status: Some(ReviewStatus::Pending), execution: None };
        let page = self.disk.store().reviews(tenant(), &filter, PageRequest::first(PAGE_ROWS_MAX));
        let Some(pending) = page.ok().map(|page| page.items).filter(|items| !items.is_empty()) else {
            return;
        };
        let review = &pending[self.rng.usize(..pending.len())];
        let (id, version) = (review.request.id, review.request.version);
        let seen = if hits(&mut self.rng, 100) { version + 1 } else { version };
        self.decide(id, seen);
    }

    fn visit_with_signal(&mut self) {
        let Some(row) = self.any(|row| !row.status.is_terminal()) else { return };
        let name = format!("s{}", self.rng.u32(..3));
        self.send_signal(row.id, name);
    }

    fn visit_to_cancel(&mut self) {
        let Some(row) = self.any(|row| !row.status.is_terminal()) else { return };
        self.plan_request(0, Ask::Cancel { id: row.id });
    }

    fn visit_to_rerun(&mut self) {
        let Some(row) = self.any(|row| row.status.is_terminal() && row.next_seq > 0) else { return };
        let plan = self.plans[&row.flow].clone();
        let nodes: Vec<&str> = plan.flow().nodes.iter().map(|node| node.key.as_str()).collect();
        let from = nodes[self.rng.usize(..nodes.len())];
        let Some(session) = plan.is_root_node(from).then(|| self.fold(&row)).flatten() else { return };
        let recorded = Some(self.recorded(&session, from));
        let input = values::input(&mut self.rng, None);
        self.plan_request(0, Ask::Start { flow: row.flow, input, recorded, idempotency_key: None });
    }

    /// Everything that is waited for happens; some executions are cancelled instead. Says whether
    /// there was something to do.
    pub(crate) fn urge(&mut self) -> bool {
        let open: Vec<ExecutionRow> = self.rows(|row| !row.status.is_terminal());
        for row in &open {
            if hits(&mut self.rng, 200) {
                self.plan_request(0, Ask::Cancel { id: row.id });
            }
            for wait in &row.waits {
                match &wait.on {
                    WaitOn::Review { review, .. } => {
                        let row = self.disk.store().review(tenant(), *review).ok().flatten();
                        let version = row.map_or(1, |row| row.request.version);
                        self.decide(*review, version);
                    }
                    WaitOn::Signal { name, .. } => self.send_signal(row.id, name.clone()),
                    WaitOn::Timer { .. } | WaitOn::Child { .. } => {}
                }
            }
        }
        !open.is_empty()
    }

    /// Somebody cancels everything that is not over.
    pub(crate) fn cancel_everything(&mut self) {
        for row in self.rows(|row| !row.status.is_terminal()) {
            self.plan_request(0, Ask::Cancel { id: row.id });
        }
    }

    fn decide(&mut self, review: ReviewId, expected_version: u32) {
        let actions = [ReviewAction::Approve, ReviewAction::Reject, ReviewAction::Revise];
        let decision = Decision {
            action: actions[self.rng.usize(..3)],
            content: self.rng.bool().then(|| values::output(&mut self.rng)),
            comment: self.rng.bool().then(|| "so be it".to_owned()),
            decided_by: "ada".to_owned(),
            expected_version,
        };
        self.plan_request(0, Ask::Decide { review, decision });
    }

    fn send_signal(&mut self, to: ExecutionId, name: String) {
        let payload = values::output(&mut self.rng);
        let signal = format!("outside-{}", self.requests.len());
        self.plan_request(0, Ask::Signal { to, name, payload: Value::array(vec![payload]), signal });
    }

    fn any(&mut self, wanted: impl Fn(&ExecutionRow) -> bool) -> Option<ExecutionRow> {
        let mut rows = self.rows(wanted);
        (!rows.is_empty()).then(|| rows.swap_remove(self.rng.usize(..rows.len())))
    }

    fn rows(&self, wanted: impl Fn(&ExecutionRow) -> bool) -> Vec<ExecutionRow> {
        let rows = durable::rows(self.disk.store(), tenant()).unwrap_or_default();
        rows.into_iter().filter(wanted).collect()
    }

    /// Whether something is still under way or waits.
    pub(crate) fn is_over(&self) -> bool {
        let over = |row: &ExecutionRow| match row.status {
            ExecutionStatus::Queued | ExecutionStatus::Running | ExecutionStatus::Waiting => false,
            ExecutionStatus::Succeeded | ExecutionStatus::Failed | ExecutionStatus::Cancelled => true,
        };
        self.rows(|row| !over(row)).is_empty()
    }
}
