//! What a store holds, read through its queries and decoded: what the checks look at.

use std::collections::BTreeMap;

use flux_model::execution::ExecutionResult;
use flux_model::journal::{Entry, JournalEvent};
use flux_model::{ExecutionId, Tenant};
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::{ExecutionFilter, ExecutionRow, PageRequest, Store, StoreError};

use crate::stored::{self, Objects};
use crate::violation::Violation;

/// An execution with its journal.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) row: ExecutionRow,
    pub(crate) entries: Vec<Entry>,
}

/// All executions of the world.
pub(crate) type Durable = BTreeMap<ExecutionId, Kept>;

impl Kept {
    /// How it ended, as its journal says.
    pub(crate) fn result(&self) -> Option<&ExecutionResult> {
        self.entries.iter().rev().find_map(|entry| {
            if let JournalEvent::Finished { result } = &entry.event { Some(result) } else { None }
        })
    }
}

/// Every execution with its journal.
pub(crate) fn read(store: &dyn Store, tenant: Tenant, objects: &Objects) -> Result<Durable, Violation> {
    let mut all = Durable::new();
    for row in rows(store, tenant)? {
        let entries = journal(store, &row, objects)?;
        all.insert(row.id, Kept { row, entries });
    }
    Ok(all)
}

/// Every execution, newest first.
pub(crate) fn rows(store: &dyn Store, tenant: Tenant) -> Result<Vec<ExecutionRow>, Violation> {
    let mut rows = Vec::new();
    let mut request = PageRequest::first(PAGE_ROWS_MAX);
    loop {
        let page = store.executions(tenant, &ExecutionFilter::default(), request).map_err(broken)?;
        rows.extend(page.items);
        match page.next {
            Some(after) => request.after = Some(after),
            None => return Ok(rows),
        }
    }
}

/// The journal of one execution.
pub(crate) fn journal(
    store: &dyn Store,
    row: &ExecutionRow,
    objects: &Objects,
) -> Result<Vec<Entry>, Violation> {
    let mut entries = Vec::new();
    let mut from = Some(0);
    while let Some(seq) = from {
        let page = store.journal(row.tenant, row.id, seq).map_err(broken)?;
        for record in page.records {
            let read = stored::entries(&record.bytes, objects);
            let read = read.map_err(|what| Violation::new("durable", format!("{}: {what}", row.id)))?;
            entries.extend(read);
        }
        from = page.next_seq;
    }
    Ok(entries)
}

/// The store in memory never fails to answer a query.
pub(crate) fn broken(error: StoreError) -> Violation {
    Violation::new("store", error.to_string())
}
