//! Flows as they are stored: a draft with a revision, immutable published versions named by the
//! hash of their content, and the pointer to the active one. Definitions are opaque text here.

use flux_model::{Tenant, Timestamp};

/// Create or replace a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveDraft {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow's name.
    pub name: String,
    /// The flow, canonical JSON.
    pub definition: String,
    /// [`flux_model::Flow::content_hash`] of the definition.
    pub hash: String,
    /// The revision the caller saw: 0 means the flow must not exist, absent means do not check.
    pub expected_revision: Option<u64>,
    /// When.
    pub at: Timestamp,
}

/// Publish a version: store it if its hash is new, make it the draft and the active version, and
/// switch the flow on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishFlow {
    /// What becomes draft and version.
    pub draft: SaveDraft,
    /// Who publishes: the name of the key or the user.
    pub author: String,
}

/// Make an earlier version draft and active again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreFlow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow's name.
    pub name: String,
    /// The version.
    pub hash: String,
    /// When.
    pub at: Timestamp,
}

/// Whether a flow's trigger starts executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// It does.
    Active,
    /// It does not.
    Inactive,
}

/// Switch a flow on or off. Refused for a flow without published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFlowState {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow's name.
    pub name: String,
    /// What it shall be.
    pub state: FlowState,
    /// When.
    pub at: Timestamp,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Its name.
    pub name: String,
    /// Whether its trigger starts executions.
    pub state: FlowState,
    /// The hash of the active version, once one was published.
    pub active_hash: Option<String>,
    /// The draft, canonical JSON.
    pub draft: String,
    /// The hash of the draft.
    pub draft_hash: String,
    /// Counts every change of draft, pointer or state, from 1.
    pub revision: u64,
    /// When it was first saved.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A published version. Never changes, and stays when its flow is deleted, because executions
/// name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowVersionRow {
    /// Whose data it is.
    pub tenant: Tenant,
    /// The flow's name.
    pub flow: String,
    /// Its number within the flow, from 1.
    pub number: u64,
    /// The hash of its content.
    pub hash: String,
    /// The flow, canonical JSON.
    pub definition: String,
    /// Who published it first.
    pub author: String,
    /// When it was first published.
    pub published_at: Timestamp,
}
