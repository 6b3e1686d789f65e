//! Compiled flows: a bounded number of versions, and which version of each flow is active.
//!
//! A version is named by the hash of its content, so what was compiled once stays right. Which one
//! is active can change; whoever writes flows says so through [`Plans::changed`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flux_core::plan::{Catalog, Plan, plan};
use flux_core::template::{Scope, Warnings};
use flux_model::execution::ExecutionKind;
use flux_model::ids::Tenant;
use flux_model::{Flow, Severity, Timestamp, Value};
use flux_store::flows::FlowState;
use flux_store::{Reader, Store, StoreError};
use flux_triggers::manual::Manual;
use parking_lot::Mutex;

use crate::error::AdmissionError;

/// A version of a flow, ready to run.
#[derive(Debug)]
pub(crate) struct Version {
    /// The hash of its content.
    pub(crate) hash: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) plan: Arc<Plan>,
    /// What an execution of it is called.
    pub(crate) kind: ExecutionKind,
    /// What inputs must fit, where the trigger says.
    pub(crate) manual: Option<Manual>,
}

/// Active flows that are remembered.
const ACTIVE_MAX: usize = 10_000;

pub(crate) struct Plans {
    catalog: Arc<Catalog>,
    max: usize,
    versions: Mutex<Versions>,
    active: Mutex<HashMap<Tenant, HashMap<String, Arc<Version>>>>,
    /// Counts what could have made `active` wrong.
    changes: AtomicU64,
}

#[derive(Default)]
struct Versions {
    known: HashMap<String, (Arc<Version>, u64)>,
    uses: u64,
}

impl Plans {
    pub(crate) fn new(catalog: Arc<Catalog>, max: usize) -> Self {
        let (versions, active, changes) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Self { catalog, max: max.max(1), versions, active, changes }
    }

    /// The active version of a flow that is switched on.
    pub(crate) async fn active(
        &self,
        reader: &Reader,
        tenant: Tenant,
        name: &str,
    ) -> Result<Arc<Version>, AdmissionError> {
        if let Some(version) = self.active.lock().get(&tenant).and_then(|flows| flows.get(name)) {
            return Ok(Arc::clone(version));
        }
        let changes = self.changes.load(Ordering::Acquire);
        let flow = name.to_owned();
        let row = reader.query(move |store| store.flow(tenant, &flow)).await?;
        let row = row.ok_or_else(|| AdmissionError::FlowNotFound { flow: name.to_owned() })?;
        let inactive = |state| AdmissionError::FlowInactive { flow: name.to_owned(), state };
        let hash = row.active_hash.ok_or_else(|| inactive("not published"))?;
        match row.state {
            FlowState::Active => {}
            FlowState::Inactive => return Err(inactive("switched off")),
        }
        let version = self.version(reader, tenant, name, &hash).await?;
        let mut active = self.active.lock();
        if self.changes.load(Ordering::Acquire) == changes {
            if active.len() >= ACTIVE_MAX {
                active.clear();
            }
            active.entry(tenant).or_default().insert(name.to_owned(), Arc::clone(&version));
        }
        Ok(version)
    }

    /// A version of a flow.
    pub(crate) async fn version(
        &self,
        reader: &Reader,
        tenant: Tenant,
        name: &str,
        hash: &str,
    ) -> Result<Arc<Version>, AdmissionError> {
        if let Some(version) = self.versions.lock().find(hash).filter(|version| *version.name == *name) {
            return Ok(version);
        }
        let (flow, wanted) = (name.to_owned(), hash.to_owned());
        let query = move |store: &dyn Store| -> Result<Option<String>, StoreError> {
            Ok(store.flow_version(tenant, &flow, &wanted)?.map(|row| row.definition))
        };
        let definition = reader.query(query).await?;
        let definition = definition.ok_or_else(|| AdmissionError::FlowNotFound { flow: name.to_owned() })?;
        self.compile(name, hash, &definition)
    }

    /// Compiles a version that was read, unless it is known.
    pub(crate) fn compile(
        &self,
        name: &str,
        hash: &str,
        definition: &str,
    ) -> Result<Arc<Version>, AdmissionError> {
        if let Some(version) = self.versions.lock().find(hash).filter(|version| *version.name == *name) {
            return Ok(version);
        }
        let invalid = |reason: String| AdmissionError::FlowInvalid { flow: name.to_owned(), reason };
        let flow: Flow = serde_json::from_str(definition).map_err(|error| invalid(error.to_string()))?;
        let planned = plan(&flow, &self.catalog);
        let Some(plan) = planned.plan else {
            let error = planned.diagnostics.iter().find(|found| found.severity == Severity::Error);
            return Err(invalid(error.map_or_else(String::new, ToString::to_string)));
        };
        let manual = match plan.trigger().node_type.as_str() {
            "trigger.manual" => Some(manual(&plan).map_err(invalid)?),
            _ => None,
        };
        let kind = match plan.trigger().node_type.as_str() {
            "trigger.function" => ExecutionKind::Function,
            _ => ExecutionKind::Flow,
        };
        let version = Version { hash: Arc::from(hash), name: Arc::from(name), plan, kind, manual };
        Ok(self.versions.lock().keep(Arc::new(version), self.max))
    }

    /// Some flow of the tenant changed.
    pub(crate) fn changed(&self, tenant: Tenant) {
        let mut active = self.active.lock();
        self.changes.fetch_add(1, Ordering::AcqRel);
        active.remove(&tenant);
    }
}

impl Versions {
    fn find(&mut self, hash: &str) -> Option<Arc<Version>> {
        self.uses += 1;
        let uses = self.uses;
        self.known.get_mut(hash).map(|(version, used)| {
            *used = uses;
            Arc::clone(version)
        })
    }

    fn keep(&mut self, version: Arc<Version>, max: usize) -> Arc<Version> {
        if self.known.len() >= max
            && let Some(oldest) = self.known.iter().min_by_key(|(_, (_, used))| *used)
        {
            let oldest = oldest.0.clone();
            self.known.remove(&oldest);
        }
        self.uses += 1;
        self.known.insert(version.hash.to_string(), (Arc::clone(&version), self.uses));
        version
    }
}

fn manual(plan: &Plan) -> Result<Manual, String> {
    let config = trigger_config(plan, Timestamp::default())?;
    Manual::parse(&config).map_err(|found| found.first().map_or_else(String::new, ToString::to_string))
}

/// The config of a plan's trigger with its templates evaluated. `vars` has its meaning, a secret
/// stays a reference.
///
/// # Errors
/// The first template that fails, in words.
pub fn trigger_config(plan: &Plan, now: Timestamp) -> Result<Value, String> {
    let scope = TriggerScope { plan, now };
    plan.trigger_config().render(&scope, &mut Warnings::new()).map_err(|error| error.to_string())
}

struct TriggerScope<'a> {
    plan: &'a Plan,
    now: Timestamp,
}

impl Scope for TriggerScope<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        (name == "vars").then(|| {
            let vars = &self.plan.settings().vars;
            Value::object(vars.iter().map(|(name, value)| (name, value.clone())))
        })
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
