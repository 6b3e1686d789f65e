//! Everything that a store holds, as text.

use std::fmt::Write;

use flux_model::{Tenant, Timestamp};

use crate::executions::{ExecutionFilter, ExecutionRow};
use crate::page::{PAGE_ROWS_MAX, PageRequest};
use crate::reviews::ReviewFilter;
use crate::store::{Store, StoreError};

/// Rows that one question for operators gives at most.
const OPERATOR_ROWS_MAX: usize = 100_000;

/// Everything that the queries show of these tenants. Two stores that went through the same
/// commands give the same text.
///
/// # Errors
/// What the queries give.
pub fn dump(store: &dyn Store, tenants: &[Tenant]) -> Result<String, StoreError> {
    let mut out = String::new();
    for tenant in tenants {
        dump_tenant(store, *tenant, &mut out)?;
    }
    line(&mut out, "open", &store.open_executions(None, OPERATOR_ROWS_MAX)?);
    line(&mut out, "due", &store.timers_due(Timestamp::MAX, OPERATOR_ROWS_MAX)?);
    line(&mut out, "next timer", &store.next_timer()?);
    line(&mut out, "active flows", &store.active_flows()?);
    line(&mut out, "data keys", &store.all_data_keys()?);
    line(&mut out, "projects", &store.projects()?);
    Ok(out)
}

fn dump_tenant(store: &dyn Store, tenant: Tenant, out: &mut String) -> Result<(), StoreError> {
    line(out, "tenant", &tenant);
    line(out, "counts", &store.status_counts(tenant)?);
    for row in all_executions(store, tenant)? {
        line(out, "execution", &row);
        line(out, "held", &store.held(tenant, row.id)?);
        line(out, "journal", &store.journal(tenant, row.id, 0)?);
        line(out, "timers", &store.timers_of(tenant, row.id)?);
        if let Some(key) = &row.concurrency_key {
            line(out, "slots", &store.slots(tenant, &row.flow, key)?);
        }
    }
    let mut page = PageRequest::first(PAGE_ROWS_MAX);
    loop {
        let reviews = store.reviews(tenant, &ReviewFilter::default(), page)?;
        line(out, "reviews", &reviews.items);
        page.after = reviews.next;
        if page.after.is_none() {
            break;
        }
    }
    for flow in store.flows(tenant)? {
        line(out, "flow", &flow);
    }
    for flow in ["f", "g", "h"] {
        line(out, "versions", &store.flow_versions(tenant, flow)?);
    }
    line(out, "secrets", &store.secrets(tenant)?);
    line(out, "keys", &store.keys(tenant)?);
    line(out, "triggers", &store.trigger_states(tenant)?);
    let names: Vec<_> = (0..8).map(|n| format!("object {n}")).collect();
    line(out, "objects", &store.objects_referenced(tenant, &names)?);
    Ok(())
}

fn all_executions(store: &dyn Store, tenant: Tenant) -> Result<Vec<ExecutionRow>, StoreError> {
    let mut rows = Vec::new();
    let mut page = PageRequest::first(PAGE_ROWS_MAX);
    loop {
        let found = store.executions(tenant, &ExecutionFilter::default(), page)?;
        rows.extend(found.items);
        page.after = found.next;
        if page.after.is_none() {
            return Ok(rows);
        }
    }
}

fn line(out: &mut String, what: &str, value: &impl std::fmt::Debug) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{what}: {value:?}");
}

#[cfg(test)]
mod tests {
    use super::super::sample::{accepting, execution, tenant};
    use super::*;

    #[test]
    fn a_dump_shows_what_differs() {
        let stores = [crate::MemoryStore::new(), crate::MemoryStore::new()];
        stores[1].commit_batch(&[accepting(1, |_| {})]).unwrap();
        let [empty, full] = stores.map(|store| dump(&store, &[tenant(1)]).unwrap());
        assert_ne!(empty, full);
        assert!(full.contains(&execution(1).to_string()));
    }
}
