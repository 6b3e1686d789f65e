//! Random but sensible commands: a number decides everything, so a failing list of numbers shrinks
//! and repeats.

use flux_model::admission::RateRule;
use flux_model::execution::{Wait, WaitOn};
use flux_model::flow::Overflow;
use flux_model::review::ReviewStatus;
use flux_model::{ExecutionKind, ExecutionStatus, KeyId, NodePath, Tenant};

use super::sample::{
    accept, at, debounce, ending, failing, held, request, review, slots, step, tenant, timer,
};
use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretRow};
use crate::command::{Accept, Append, Command, Promote, Release, Retain, StatusChange, Step};
use crate::executions::{ExecutionFilter, ExecutionRow, Parent};
use crate::flows::{FlowState, PublishFlow, RestoreFlow, SaveDraft, SetFlowState};
use crate::page::PageRequest;
use crate::reviews::{ReviewChange, ReviewFilter};
use crate::store::{Store, StoreError};
use crate::triggers::PutTriggerState;

/// The tenants that the commands are about.
pub const TENANTS: [Tenant; 2] = [tenant(1), tenant(2)];
const FLOWS: [&str; 3] = ["f", "g", "h"];

/// Draws small numbers from one large one.
struct Draw(u64);

impl Draw {
    /// Mixes the number, so that near ones draw differently (`SplitMix64`).
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap_or(0)]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Command number `n` of a run, as `choice` decides it and `store` makes it sensible: most steps
/// fit the execution they are for, some do not.
///
/// # Errors
/// What the queries of the store give.
pub fn command(n: u32, choice: u64, store: &dyn Store) -> Result<Command, StoreError> {
    let mut draw = Draw::new(choice);
    let tenant = draw.pick(&TENANTS);
    Ok(match draw.below(24) {
        0..8 => Command::Accept(Box::new(accepting(n, &mut draw, tenant, store)?)),
        8..17 => match target(&mut draw, tenant, &[], store)? {
            Some(row) => appending(n, &mut draw, &row, store)?,
            None => Command::Accept(Box::new(accept(n))),
        },
        17 | 18 => match target(&mut draw, tenant, &[ExecutionStatus::Queued], store)? {
            Some(row) => Command::Release(Release { tenant, execution: row.id, at: now(n) }),
            None => Command::Accept(Box::new(accept(n))),
        },
        19 => {
            let (flow, key) = (draw.pick(&FLOWS).to_owned(), "k".to_owned());
            Command::Promote(Promote { tenant, flow, key, at: now(n) })
        }
        20 => Command::Retain(Retain {
            tenant,
            flow: draw.one_in(2).then(|| draw.pick(&FLOWS).to_owned()),
            ended_before: at(now(n).millis() - 10_000),
            limit: 2,
        }),
        21 | 22 => flow_command(n, &mut draw, tenant),
        _ => access_command(n, &mut draw, tenant),
    })
}

fn now(n: u32) -> flux_model::Timestamp {
    at(i64::from(n) * 1_000)
}

/// One of the youngest executions with these statuses.
fn target(
    draw: &mut Draw,
    tenant: Tenant,
    statuses: &[ExecutionStatus],
    store: &dyn Store,
) -> Result<Option<ExecutionRow>, StoreError> {
    let filter = ExecutionFilter { statuses: statuses.to_vec(), ..ExecutionFilter::default() };
    let mut rows = store.executions(tenant, &filter, PageRequest::first(12))?.items;
    if rows.is_empty() {
        return Ok(None);
    }
    let index = usize::try_from(draw.below(rows.len() as u64)).unwrap_or(0);
    Ok(Some(rows.swap_remove(index)))
}

fn accepting(n: u32, draw: &mut Draw, tenant: Tenant, store: &dyn Store) -> Result<Accept, StoreError> {
    let reused = if draw.one_in(10) { target(draw, tenant, &[], store)? } else { None };
    let mut accept = accept(n);
    let new = &mut accept.execution;
    new.id = reused.as_ref().map_or(new.id, |row| row.id);
    new.parent =
        reused.map(|row| Parent { execution: row.id, path: NodePath::root("call"), awaited: draw.one_in(2) });
    new.tenant = tenant;
    new.flow = draw.pick(&FLOWS).into();
    new.kind = draw.pick(&[ExecutionKind::Flow, ExecutionKind::Flow, ExecutionKind::Function]);
    new.priority = draw.pick(&[0, 0, -1, 7]);
    new.request_id = format!("trace {}", draw.below(4));
    accept.idempotency_key = draw.one_in(3).then(|| format!("event {}", draw.below(12)));
    let overflow = draw.pick(&[Overflow::Queue, Overflow::Queue, Overflow::Drop, Overflow::CancelOldest]);
    let limit = draw.pick(&[1, 1, 2, 3]);
    accept.concurrency = draw.one_in(2).then(|| slots(limit, overflow)).flatten();
    accept.debounce = draw.one_in(4).then(|| debounce(20_000, 45_000)).flatten();
    accept.rate = draw.one_in(4).then(|| RateRule {
        key: String::new(),
        limit: 1,
        period: std::time::Duration::from_millis(150_000),
        burst: 2,
    });
    accept.held = (!draw.one_in(12)).then(|| {
        let mut held = held(n);
        held.objects.push(format!("object {}", draw.below(8)));
        held
    });
    accept.first = (!draw.one_in(4)).then(|| {
        let mut step = some_step(n, draw, 0);
        step.reviews.extend(draw.one_in(5).then(|| opening(n)));
        step
    });
    Ok(accept)
}

fn opening(n: u32) -> ReviewChange {
    ReviewChange::Open { request: request(n), at: now(n) }
}

fn some_step(n: u32, draw: &mut Draw, first: u64) -> Step {
    let ended = now(n).millis();
    let mut step = match draw.below(8) {
        0 | 1 => ending(first, ended),
        2 => failing(first, ended),
        3 => {
            let cancelled = StatusChange::Cancelled { reason: "asked".into(), at: now(n) };
            Step { change: Some(cancelled), ..step(first) }
        }
        4 => {
            let on = WaitOn::Timer { until: at(ended + 500) };
            let waits = vec![Wait { node: NodePath::root("w"), on }];
            Step { change: Some(StatusChange::Waiting { waits }), ..step(first) }
        }
        5 => Step { change: Some(StatusChange::Running), ..step(first) },
        _ => step(first),
    };
    let node = draw.pick(&["a", "b"]);
    step.set_timers.extend(draw.one_in(3).then(|| timer(node, ended + 700)));
    step.clear_timers.extend(draw.one_in(4).then(|| timer(node, 0).name));
    step.objects.extend(draw.one_in(5).then(|| format!("object {}", draw.below(8))));
    step
}

fn appending(n: u32, draw: &mut Draw, row: &ExecutionRow, store: &dyn Store) -> Result<Command, StoreError> {
    let expected_next_seq = if draw.one_in(8) { draw.below(4) } else { row.next_seq };
    let mut step = some_step(n, draw, expected_next_seq);
    step.reviews.extend(draw.one_in(5).then(|| opening(n)));
    if draw.one_in(2) {
        let filter = ReviewFilter { execution: (!draw.one_in(8)).then_some(row.id), status: None };
        let pending = store.reviews(row.tenant, &filter, PageRequest::first(3))?.items;
        step.reviews.extend(pending.first().map(|pending| ReviewChange::Close {
            review: if draw.one_in(9) { review(n) } else { pending.request.id },
            expected_version: draw.pick(&[Some(1), Some(1), None, Some(2)]),
            status: draw.pick(&[ReviewStatus::Approved, ReviewStatus::Rejected, ReviewStatus::Expired]),
            decision: None,
            at: now(n),
        }));
    }
    let tenant = if draw.one_in(20) { draw.pick(&TENANTS) } else { row.tenant };
    Ok(Command::Append(Box::new(Append { tenant, execution: row.id, expected_next_seq, step })))
}

fn flow_command(n: u32, draw: &mut Draw, tenant: Tenant) -> Command {
    let (name, content) = (draw.pick(&FLOWS).to_owned(), draw.below(4));
    let draft = SaveDraft {
        tenant,
        name: name.clone(),
        definition: format!("definition {content}"),
        hash: format!("hash {content}"),
        expected_revision: draw.one_in(2).then(|| draw.below(3)),
        at: now(n),
    };
    match draw.below(8) {
        0 | 1 => Command::SaveDraft(draft),
        2 | 3 => Command::PublishFlow(PublishFlow { draft, author: "ann".into() }),
        4 => Command::RestoreFlow(RestoreFlow { tenant, name, hash: draft.hash, at: now(n) }),
        5 => {
            let state = draw.pick(&[FlowState::Active, FlowState::Inactive]);
            Command::SetFlowState(SetFlowState { tenant, name, state, at: now(n) })
        }
        6 => Command::DeleteFlow { tenant, name },
        _ => Command::PutTriggerState(PutTriggerState {
            tenant,
            flow: name,
            node: draw.pick(&["a", "b"]).into(),
            state: format!("state {n}"),
            expected_version: draw.below(3),
            at: now(n),
        }),
    }
}

fn access_command(n: u32, draw: &mut Draw, tenant: Tenant) -> Command {
    let key = KeyId::from_bits(u128::from(draw.below(6)));
    let name = format!("secret {}", draw.below(3));
    match draw.below(7) {
        0 => Command::PutSecret(SecretRow {
            tenant,
            name,
            sealed: n.to_le_bytes().to_vec(),
            hosts: vec![],
            updated_at: now(n),
        }),
        1 => Command::DeleteSecret { tenant, name },
        2 => {
            let version = u32::try_from(draw.below(3)).unwrap_or(0);
            let wrapped = n.to_le_bytes().to_vec();
            Command::PutDataKey(DataKeyRow { tenant, version, wrapped, updated_at: now(n) })
        }
        3 => Command::PutKey(KeyRow {
            id: key,
            tenant,
            hash: [u8::try_from(draw.below(6)).unwrap_or(0); 32],
            name,
            scopes: vec!["read".into()],
            created_at: now(n),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }),
        4 => Command::RevokeKey { tenant, key, at: now(n) },
        5 => Command::TouchKey { key, at: now(n) },
        _ => Command::EnsureProject(ProjectRow { tenant, name, created_at: now(n) }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::MemoryStore;

    #[test]
    fn random_commands_reach_every_outcome() {
        let store = MemoryStore::new();
        let mut reached = BTreeSet::new();
        for n in 1..5_000 {
            let command = command(n, u64::from(n), &store).unwrap();
            let outcome = format!("{:?}", store.commit_batch(&[command]).unwrap()[0]);
            let name =
                outcome.split(|end: char| !end.is_alphanumeric()).next().unwrap_or_default().to_owned();
            let some = if outcome.contains("[exec_") { " some" } else { "" };
            reached.insert(name + some);
        }
        let expected = [
            "Appended",
            "Appended some",
            "Conflict",
            "Debounced",
            "Deleted",
            "Done",
            "Dropped",
            "Duplicate",
            "Exists",
            "NotDue",
            "NotFound",
            "Promoted",
            "Published",
            "Queued",
            "RateLimited",
            "Refused",
            "ReviewConflict",
            "Saved",
            "Stale",
            "Started",
            "Started some",
            "WrongStatus",
        ];
        assert_eq!(reached, expected.map(str::to_owned).into());
    }
}
