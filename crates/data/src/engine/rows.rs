//! Which tables a select reads, for the cache.

use std::sync::Arc;

use crate::plan::RowsPlan;

/// The table of a select and those of its includes.
pub(crate) fn tables(plan: &RowsPlan<'_>) -> Vec<Arc<str>> {
    let mut tables = vec![Arc::clone(&plan.table.name)];
    for include in &plan.includes {
        tables.extend(self::tables(&include.rows));
    }
    tables
}
