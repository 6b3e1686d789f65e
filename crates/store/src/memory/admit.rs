//! Admission: duplicates, debounce, rate and concurrency, in that order.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::admission::{ConcurrencyRule, DebounceRule, Slot};
use flux_model::{ExecutionId, ExecutionStatus, Tenant, Timestamp};

use super::state::{Kept, Nested, State, nested};
use crate::command::{Accept, Held, NewExecution, PROMOTED_MAX, Release};
use crate::executions::ExecutionRow;
use crate::outcome::Outcome;
use crate::reviews;
use crate::timers::TimerName;

impl State {
    pub(super) fn accept(&mut self, accept: &Accept) -> Outcome {
        let new = &accept.execution;
        if self.executions.contains_key(&new.id) {
            return Outcome::Duplicate { execution: new.id };
        }
        let known = idempotency(accept).and_then(|key| self.idempotency.get(&key));
        if let Some(execution) = known {
            return Outcome::Duplicate { execution: *execution };
        }
        if let Some(rule) = &accept.debounce
            && let Some(pending) = self.debounced(new, rule)
        {
            return self.join(pending, accept, rule);
        }
        if let Some(refusal) = self.judge_first(accept) {
            return refusal;
        }
        let mut arrival = None;
        if let Some(rule) = &accept.rate {
            let key = nested(new.tenant, &new.flow, &rule.key);
            match rule.decide(self.rates.get(&key).copied(), accept.at) {
                Ok(next) => arrival = Some((key, next)),
                Err(retry_after) => return Outcome::RateLimited { retry_after },
            }
        }
        let outcome = match (&accept.debounce, &accept.concurrency) {
            (Some(rule), _) => self.queue_until(accept, rule),
            (None, None) => self.start(accept, Vec::new()),
            (None, Some(rule)) => {
                let active = self.active(new.tenant, &new.flow, &rule.key);
                match rule.decide(active.len() as u64) {
                    Slot::Free { cancel } => self.start(accept, oldest(active, cancel)),
                    Slot::Queue => self.queue(accept),
                    Slot::Drop => return Outcome::Dropped,
                }
            }
        };
        self.rates.extend(arrival);
        outcome
    }

    fn judge_first(&self, accept: &Accept) -> Option<Outcome> {
        let changes = accept.first.as_ref().map_or(&[][..], |step| &step.reviews);
        self.judge_reviews(accept.execution.id, changes)
    }

    pub(super) fn judge_reviews(
        &self,
        execution: ExecutionId,
        changes: &[reviews::ReviewChange],
    ) -> Option<Outcome> {
        let lookup = |id| {
            let row = self.reviews.get(&id);
            Ok::<_, std::convert::Infallible>(row.map(|row| reviews::ReviewState {
                execution: row.execution,
                version: row.request.version,
                status: row.status,
            }))
        };
        reviews::judge(execution, changes, lookup).unwrap_or_else(|never| match never {})
    }

    fn debounced(&self, new: &NewExecution, rule: &DebounceRule) -> Option<ExecutionId> {
        let same = |kept: &&Kept| {
            kept.debounce_key.as_ref() == Some(&rule.key)
                && kept.row.flow == new.flow
                && kept.row.tenant.project == new.tenant.project
        };
        self.executions.values().find(same).map(|kept| kept.row.id)
    }

    fn join(&mut self, pending: ExecutionId, accept: &Accept, rule: &DebounceRule) -> Outcome {
        let starts_at = rule.starts_at(pending.made_at(), accept.at);
        let new = &accept.execution;
        self.idempotency.extend(idempotency(accept).map(|key| (key, pending)));
        if let Some(kept) = self.executions.get_mut(&pending) {
            kept.row.version.clone_from(&new.version);
            kept.row.trigger.clone_from(&new.trigger);
            kept.row.request_id.clone_from(&new.request_id);
            kept.row.input.clone_from(&new.input);
            kept.row.priority = new.priority;
            kept.row.concurrency_key = accept.concurrency.as_ref().map(|rule| rule.key.clone());
            kept.concurrency.clone_from(&accept.concurrency);
            kept.hold(accept.held.as_ref());
            kept.timers.insert(TimerName::Start, starts_at);
        }
        Outcome::Debounced { execution: pending, starts_at }
    }

    fn queue_until(&mut self, accept: &Accept, rule: &DebounceRule) -> Outcome {
        let id = accept.execution.id;
        let starts_at = rule.starts_at(id.made_at(), accept.at);
        self.queue(accept);
        if let Some(kept) = self.executions.get_mut(&id) {
            kept.debounce_key = Some(rule.key.clone());
            kept.timers.insert(TimerName::Start, starts_at);
        }
        Outcome::Queued { starts_at: Some(starts_at) }
    }

    fn queue(&mut self, accept: &Accept) -> Outcome {
        self.insert(accept, ExecutionStatus::Queued).hold(accept.held.as_ref());
        Outcome::Queued { starts_at: None }
    }

    fn start(&mut self, accept: &Accept, cancel: Vec<ExecutionId>) -> Outcome {
        self.replace(&cancel, accept.execution.id);
        let kept = self.insert(accept, ExecutionStatus::Running);
        kept.row.started_at = Some(accept.at);
        match &accept.first {
            Some(step) => self.commit_step(accept.execution.id, step),
            None => kept.hold(accept.held.as_ref()),
        }
        Outcome::Started { cancel }
    }

    fn insert(&mut self, accept: &Accept, status: ExecutionStatus) -> &mut Kept {
        self.accepted += 1;
        self.idempotency.extend(idempotency(accept).map(|key| (key, accept.execution.id)));
        let kept = Kept {
            row: row(accept, status),
            accepted: self.accepted,
            concurrency: accept.concurrency.clone(),
            debounce_key: None,
            held: None,
            journal: Vec::new(),
            timers: BTreeMap::new(),
            objects: BTreeSet::new(),
        };
        self.executions.entry(accept.execution.id).or_insert(kept)
    }

    pub(super) fn release(&mut self, release: &Release) -> Outcome {
        let Some(kept) = self.owned(release.tenant, release.execution) else { return Outcome::NotFound };
        if kept.debounce_key.is_none() {
            return Outcome::WrongStatus { status: kept.row.status };
        }
        let starts_at = kept.timers.get(&TimerName::Start).copied().unwrap_or_default();
        if starts_at > release.at {
            return Outcome::NotDue { starts_at };
        }
        let slot = kept.concurrency.clone().map(|rule| {
            let active = self.active(release.tenant, &kept.row.flow, &rule.key);
            (rule.decide(active.len() as u64), active)
        });
        let (slot, active) = slot.unwrap_or((Slot::Free { cancel: 0 }, Vec::new()));
        if slot == Slot::Drop {
            return Outcome::Dropped;
        }
        let kept = self.executions.get_mut(&release.execution).expect("it was found above");
        kept.debounce_key = None;
        kept.timers.remove(&TimerName::Start);
        match slot {
            Slot::Free { cancel } => {
                kept.run(release.at);
                let cancel = oldest(active, cancel);
                self.replace(&cancel, release.execution);
                Outcome::Started { cancel }
            }
            Slot::Queue | Slot::Drop => Outcome::Queued { starts_at: None },
        }
    }

    /// Notes that these are to be cancelled for another one. The first to replace one stays.
    fn replace(&mut self, older: &[ExecutionId], by: ExecutionId) {
        for id in older {
            self.executions.get_mut(id).expect("it holds a slot").row.replaced_by.get_or_insert(by);
        }
    }

    /// Gives free slots of a key to queued executions: highest priority first, then in order of
    /// acceptance.
    pub(super) fn promote(
        &mut self,
        tenant: Tenant,
        flow: &str,
        key: &str,
        at: Timestamp,
    ) -> Vec<ExecutionId> {
        let active = self.active(tenant, flow, key).len() as u64;
        let mut queued: Vec<_> = self
            .sharing(tenant, flow, key)
            .filter(|(kept, _)| kept.row.status == ExecutionStatus::Queued && kept.debounce_key.is_none())
            .map(|(kept, rule)| {
                (-i64::from(kept.row.priority), kept.accepted, kept.row.id, rule.limit.max(1))
            })
            .collect();
        queued.sort_unstable();
        queued.truncate(PROMOTED_MAX);
        let fits = |(taken, (_, _, id, limit))| (taken < u64::from(limit)).then_some(id);
        let promoted: Vec<_> = (active..).zip(queued).map_while(fits).collect();
        for id in &promoted {
            self.executions.get_mut(id).expect("it was found above").run(at);
        }
        promoted
    }

    /// The executions of a key that hold a slot, in order of acceptance.
    pub(super) fn active(&self, tenant: Tenant, flow: &str, key: &str) -> Vec<ExecutionId> {
        let mut active: Vec<_> = self
            .sharing(tenant, flow, key)
            .filter(|(kept, _)| match kept.row.status {
                ExecutionStatus::Running | ExecutionStatus::Waiting => true,
                ExecutionStatus::Queued
                | ExecutionStatus::Succeeded
                | ExecutionStatus::Failed
                | ExecutionStatus::Cancelled => false,
            })
            .map(|(kept, _)| (kept.accepted, kept.row.id))
            .collect();
        active.sort_unstable();
        active.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn sharing<'a>(
        &'a self,
        tenant: Tenant,
        flow: &'a str,
        key: &'a str,
    ) -> impl Iterator<Item = (&'a Kept, &'a ConcurrencyRule)> {
        let rules = self.executions.values().filter_map(|kept| Some((kept, kept.concurrency.as_ref()?)));
        rules.filter(move |(kept, rule)| {
            rule.key == key && kept.row.flow == flow && kept.row.tenant.project == tenant.project
        })
    }
}

impl Kept {
    fn hold(&mut self, held: Option<&Held>) {
        self.held = held.map(|held| held.bytes.clone());
        self.objects.extend(held.iter().flat_map(|held| held.objects.iter().cloned()));
    }

    fn run(&mut self, at: Timestamp) {
        self.row.status = ExecutionStatus::Running;
        self.row.started_at = Some(at);
    }
}

fn idempotency(accept: &Accept) -> Option<Nested> {
    let new = &accept.execution;
    accept.idempotency_key.as_ref().map(|key| nested(new.tenant, &new.flow, key))
}

fn oldest(active: Vec<ExecutionId>, count: u64) -> Vec<ExecutionId> {
    active.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
}

fn row(accept: &Accept, status: ExecutionStatus) -> ExecutionRow {
    let new = accept.execution.clone();
    ExecutionRow {
        id: new.id,
        tenant: new.tenant,
        kind: new.kind,
        flow: new.flow,
        version: new.version,
        trigger: new.trigger,
        request_id: new.request_id,
        parent: new.parent,
        depth: new.depth,
        idempotency_key: accept.idempotency_key.clone(),
        priority: new.priority,
        concurrency_key: accept.concurrency.as_ref().map(|rule| rule.key.clone()),
        replaced_by: None,
        status,
        waits: Vec::new(),
        input: new.input,
        output: None,
        error: None,
        started_at: None,
        ended_at: None,
        next_seq: 0,
        journal_bytes: 0,
    }
}
