//! Starts flows by their schedules.
//!
//! One cursor per schedule, in the store, says up to when everything is decided. It is moved after
//! the fires were admitted, and every fire has a key made of its scheduled instant, so a crash or a
//! clock that jumps makes nothing fire twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flux_model::admission::ConcurrencyRule;
use flux_model::flow::Overflow;
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::{ExecutionStatus, Timestamp};
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::triggers::PutTriggerState;
use flux_store::{Command, ExecutionFilter, Outcome, PageRequest, Store};
use flux_triggers::schedule::{Fire, Overlap, Schedule};
use serde::{Deserialize, Serialize};

use crate::admission::{Admission, TriggerKind};
use crate::admit::admit;
use crate::children;
use crate::engine::active_plans;
use crate::error::{AdmissionError, EngineError};
use crate::plans::trigger_config;
use crate::shared::Shared;

/// Look at the clock at least this often: it may have jumped.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The key under which executions of one schedule share their slot.
const OVERLAP_KEY: &str = "trigger.schedule";

/// The concurrency rule that an overlap policy amounts to, for a flow without one of its own.
fn overlap_rule(overlap: Overlap) -> Option<ConcurrencyRule> {
    let overflow = match overlap {
        Overlap::Skip => Overflow::Drop,
        Overlap::Queue => Overflow::Queue,
        Overlap::Allow => return None,
        Overlap::CancelOther => Overflow::CancelOldest,
    };
    Some(ConcurrencyRule { key: OVERLAP_KEY.to_owned(), limit: 1, overflow })
}

/// A flow that is started by a schedule.
struct Scheduled {
    tenant: Tenant,
    flow: String,
    node: String,
    schedule: Schedule,
    /// Up to when everything is decided.
    cursor: Timestamp,
    /// The version of the stored cursor; 0 if there is none.
    version: u64,
    /// When it fires next.
    next: Option<Timestamp>,
}

/// What is stored of a schedule.
#[derive(Serialize, Deserialize)]
struct State {
    cursor: Timestamp,
}

type Place = (Tenant, String, String);

/// Whether schedules that appear were there all along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// At the start of the process: what was missed meanwhile counts.
    AtStart,
    /// Later: the flow was switched on just now, and what was before does not count.
    Later,
}

/// Fires schedules until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let fire = async {
        let mut changes = shared.lasting.flow_changes.subscribe();
        let mut scheduled = BTreeMap::new();
        let mut seen = Seen::AtStart;
        let mut stale = true;
        loop {
            let mut again = false;
            if stale {
                match refresh(&shared, std::mem::take(&mut scheduled), seen).await {
                    Ok(fresh) => (scheduled, seen) = (fresh, Seen::Later),
                    Err((kept, error)) => {
                        tracing::warn!(%error, "schedules cannot be read; trying again");
                        (scheduled, again) = (kept, true);
                    }
                }
            }
            let now = shared.now();
            for one in scheduled.values_mut() {
                one.look(&shared, now).await;
            }
            let next = scheduled.values().filter_map(|one| one.next).min();
            let length = next.map_or(LOOK_EVERY, |next| next.since(shared.now()).min(LOOK_EVERY));
            stale = tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                () = shared.lasting.clock.sleep(length.max(Duration::from_millis(1))) => again,
            };
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = fire => {}
    }
}

type Refreshed = BTreeMap<Place, Scheduled>;

/// The schedules of all flows that are switched on.
async fn refresh(
    shared: &Arc<Shared>,
    mut before: Refreshed,
    seen: Seen,
) -> Result<Refreshed, (Refreshed, EngineError)> {
    let plans = match active_plans(shared).await {
        Ok(plans) => plans,
        Err(error) => return Err((before, error)),
    };
    let now = shared.now();
    let mut scheduled = Refreshed::new();
    for active in plans {
        let trigger = active.plan.trigger();
        if trigger.node_type != "trigger.schedule" {
            continue;
        }
        let (flow, node) = (active.plan.flow().name.clone(), trigger.key.clone());
        let parsed = trigger_config(&active.plan, now).and_then(|config| {
            Schedule::parse(&config)
                .map_err(|found| found.first().map_or_else(String::new, ToString::to_string))
        });
        let schedule = match parsed {
            Ok(schedule) => schedule,
            Err(error) => {
                tracing::error!(flow, error, "the schedule cannot be used");
                continue;
            }
        };
        let place = (active.tenant, flow.clone(), node.clone());
        let (cursor, version) = match before.remove(&place) {
            Some(known) => (known.cursor, known.version),
            None => match stored(shared, &place).await {
                Ok((stored, version)) => match seen {
                    Seen::AtStart => (stored.unwrap_or(now), version),
                    Seen::Later => (now, version),
                },
                Err(error) => {
                    before.extend(scheduled);
                    return Err((before, error));
                }
            },
        };
        let next = schedule.next_after(cursor);
        let tenant = active.tenant;
        scheduled.insert(place, Scheduled { tenant, flow, node, schedule, cursor, version, next });
    }
    Ok(scheduled)
}

async fn stored(shared: &Shared, place: &Place) -> Result<(Option<Timestamp>, u64), EngineError> {
    let (tenant, flow, node) = place.clone();
    let row = shared.reader.query(move |store| store.trigger_state(tenant, &flow, &node)).await?;
    let Some(row) = row else { return Ok((None, 0)) };
    let state: Option<State> = serde_json::from_str(&row.state).ok();
    Ok((state.map(|state| state.cursor), row.version))
}

impl Scheduled {
    /// Delivers what came due, and moves the cursor.
    async fn look(&mut self, shared: &Arc<Shared>, now: Timestamp) {
        let first = self.version == 0;
        // The clock stands before the cursor only if it was set back.
        let set_back = now < self.cursor;
        if !first && !set_back && self.next.is_none_or(|next| next > now) {
            return;
        }
        let due = self.schedule.due_between(self.cursor, now);
        if due.skipped > 0 {
            let (flow, skipped) = (&self.flow, due.skipped);
            tracing::warn!(flow, skipped, "fires of a schedule are too old to be delivered (catch_up_ms)");
        }
        for fire in &due.fires {
            if let Err(error) = self.fire(shared, *fire).await {
                if error.retry_after().is_some() || matches!(error, AdmissionError::Storage { .. }) {
                    // It is delivered at the next look: the cursor stays before it.
                    tracing::warn!(flow = self.flow, %error, "a schedule cannot fire now; trying again");
                    return self.move_to(shared, fire.at - Duration::from_millis(1)).await;
                }
                tracing::warn!(flow = self.flow, at = %fire.at, %error, "a fire of a schedule is refused");
            }
        }
        self.move_to(shared, due.cursor).await;
    }

    async fn fire(&self, shared: &Arc<Shared>, fire: Fire) -> Result<(), AdmissionError> {
        let mut admission = Admission::new(
            self.tenant,
            self.flow.as_str(),
            TriggerKind::Schedule,
            self.schedule.output(fire),
        );
        admission.idempotency_key = Some(fire.idempotency_key(&self.flow, &self.node));
        admission.request_id = format!("schedule-{}", shared.new_id());
        admission.concurrency = overlap_rule(self.schedule.overlap());
        if self.has_own_limit(shared).await? && self.yields(shared).await? {
            return Ok(());
        }
        match admit(shared, admission, None).await {
            Err(AdmissionError::ConcurrencyDropped { .. }) if self.schedule.overlap() == Overlap::Skip => {
                tracing::info!(flow = self.flow, at = %fire.at, "skipped: an earlier execution still runs (overlap)");
                Ok(())
            }
            admitted => admitted.map(|_| ()),
        }
    }

    /// Whether the flow has a concurrency limit of its own, which takes the place of the one that
    /// keeps fires apart.
    async fn has_own_limit(&self, shared: &Shared) -> Result<bool, AdmissionError> {
        let version = shared.plans.active(&shared.reader, self.tenant, &self.flow).await?;
        Ok(version.plan.settings().concurrency.is_some())
    }

    /// Looks for executions of earlier fires: whether this one is skipped because of them. Only
    /// for flows with a concurrency limit of their own, where the store cannot judge both.
    async fn yields(&self, shared: &Arc<Shared>) -> Result<bool, AdmissionError> {
        let overlap = self.schedule.overlap();
        if matches!(overlap, Overlap::Allow | Overlap::Queue) {
            return Ok(false);
        }
        let earlier = self.open(shared).await?;
        if overlap == Overlap::CancelOther {
            for id in &earlier {
                let reason = "a later fire of its schedule takes its place (overlap: cancel_other)";
                children::cancel(shared, self.tenant, *id, reason.to_owned());
            }
        }
        Ok(overlap == Overlap::Skip && !earlier.is_empty())
    }

    async fn open(&self, shared: &Shared) -> Result<Vec<ExecutionId>, AdmissionError> {
        let filter = ExecutionFilter {
            statuses: vec![ExecutionStatus::Queued, ExecutionStatus::Running, ExecutionStatus::Waiting],
            flow: Some(self.flow.clone()),
            ..ExecutionFilter::default()
        };
        let tenant = self.tenant;
        let query =
            move |store: &dyn Store| store.executions(tenant, &filter, PageRequest::first(PAGE_ROWS_MAX));
        let page = shared.reader.query(query).await?;
        let scheduled = page.items.into_iter().filter(|row| row.trigger == TriggerKind::Schedule.as_str());
        Ok(scheduled.map(|row| row.id).collect())
    }

    async fn move_to(&mut self, shared: &Shared, cursor: Timestamp) {
        self.cursor = cursor;
        self.next = self.schedule.next_after(cursor);
        let put = PutTriggerState {
            tenant: self.tenant,
            flow: self.flow.clone(),
            node: self.node.clone(),
            state: serde_json::to_string(&State { cursor }).unwrap_or_default(),
            expected_version: self.version,
            at: shared.now(),
        };
        match shared.writer.submit(Command::PutTriggerState(put)).await {
            Ok(Outcome::Saved { revision } | Outcome::Stale { revision }) => self.version = revision,
            Ok(other) => tracing::warn!(flow = self.flow, ?other, "the cursor of a schedule was not stored"),
            Err(error) => tracing::warn!(flow = self.flow, %error, "the cursor of a schedule was not stored"),
        }
    }
}
