//! What triggers remember between firings.

use flux_model::{Tenant, Timestamp};

/// Replace the state of a trigger, if it still has the expected version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutTriggerState {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow's name.
    pub flow: String,
    /// The trigger node's key.
    pub node: String,
    /// The state, JSON.
    pub state: String,
    /// The version the caller saw; 0 means there must be none.
    pub expected_version: u64,
    /// When.
    pub at: Timestamp,
}

/// The stored state of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerStateRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow's name.
    pub flow: String,
    /// The trigger node's key.
    pub node: String,
    /// The state, JSON.
    pub state: String,
    /// Counts the changes, from 1.
    pub version: u64,
    /// When it last changed.
    pub updated_at: Timestamp,
}
