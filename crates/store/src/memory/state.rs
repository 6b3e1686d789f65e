//! What the store in memory holds.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::admission::ConcurrencyRule;
use flux_model::{ExecutionId, KeyId, ProjectId, ReviewId, Tenant, Timestamp};

use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretRow};
use crate::executions::{ExecutionRow, JournalRecord};
use crate::flows::{FlowRow, FlowVersionRow};
use crate::reviews::ReviewRow;
use crate::timers::TimerName;
use crate::triggers::TriggerStateRow;

/// A project and a name within it.
pub(super) type Named = (ProjectId, String);

/// A project, a flow and a name within that.
pub(super) type Nested = (ProjectId, String, String);

/// An execution with everything that is deleted with it.
pub(super) struct Kept {
    pub(super) row: ExecutionRow,
    /// Its place in the order of acceptance.
    pub(super) accepted: u64,
    pub(super) concurrency: Option<ConcurrencyRule>,
    /// Set as long as its input may still be replaced.
    pub(super) debounce_key: Option<String>,
    pub(super) held: Option<Vec<u8>>,
    pub(super) journal: Vec<JournalRecord>,
    pub(super) timers: BTreeMap<TimerName, Timestamp>,
    pub(super) objects: BTreeSet<String>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) accepted: u64,
    pub(super) executions: BTreeMap<ExecutionId, Kept>,
    pub(super) idempotency: BTreeMap<Nested, ExecutionId>,
    /// Theoretical arrival times in microseconds, by project, flow and key.
    pub(super) rates: BTreeMap<Nested, i64>,
    pub(super) reviews: BTreeMap<ReviewId, ReviewRow>,
    pub(super) flows: BTreeMap<Named, FlowRow>,
    /// In order of publication.
    pub(super) versions: BTreeMap<Named, Vec<FlowVersionRow>>,
    pub(super) secrets: BTreeMap<Named, SecretRow>,
    pub(super) data_keys: BTreeMap<(ProjectId, u32), DataKeyRow>,
    pub(super) keys: BTreeMap<KeyId, KeyRow>,
    pub(super) triggers: BTreeMap<Nested, TriggerStateRow>,
    pub(super) projects: BTreeMap<ProjectId, ProjectRow>,
}

impl State {
    /// The execution, if it is the tenant's.
    pub(super) fn owned(&self, tenant: Tenant, id: ExecutionId) -> Option<&Kept> {
        self.executions.get(&id).filter(|kept| kept.row.tenant.project == tenant.project)
    }
}

pub(super) fn named(tenant: Tenant, name: &str) -> Named {
    (tenant.project, name.to_owned())
}

pub(super) fn nested(tenant: Tenant, flow: &str, name: &str) -> Nested {
    (tenant.project, flow.to_owned(), name.to_owned())
}
