//! What every answer about a flow says of it.

use flux_model::Flow;
use flux_store::flows::{FlowRow, FlowState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::gateway::deployed::FUNCTION;
use crate::moment::Moment;

/// Whether a flow's trigger starts executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FlowStatus {
    /// It was never published.
    Draft,
    /// It does.
    Active,
    /// It is switched off.
    Inactive,
}

/// A flow in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FlowSummary {
    /// Its name.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// Whether its trigger starts executions.
    pub(crate) state: FlowStatus,
    /// The node type of the trigger of the draft.
    pub(crate) trigger: Option<String>,
    /// The hash of the active version.
    pub(crate) active_hash: Option<String>,
    /// The hash of the draft.
    pub(crate) draft_hash: String,
    /// Whether the draft differs from the active version.
    pub(crate) has_changes: bool,
    /// Counts every change, from 1.
    pub(crate) revision: u64,
    /// When it was first saved.
    pub(crate) created_at: Moment,
    /// When it last changed.
    pub(crate) updated_at: Moment,
}

/// The little of a definition that a list shows.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Glance {
    description: Option<String>,
    nodes: Vec<GlanceNode>,
}

#[derive(Deserialize)]
struct GlanceNode {
    #[serde(rename = "type")]
    node_type: String,
}

impl Glance {
    fn of(row: &FlowRow) -> Self {
        serde_json::from_str(&row.draft).unwrap_or_default()
    }

    fn trigger(&self) -> Option<&str> {
        let mut types = self.nodes.iter().map(|node| node.node_type.as_str());
        types.find(|name| name.starts_with("trigger."))
    }
}

/// Whether deploying wrote the flow, for a function, and nobody drew it.
pub(crate) fn is_function(row: &FlowRow) -> bool {
    // Most flows are told by the text alone.
    row.draft.contains(FUNCTION) && Glance::of(row).trigger() == Some(FUNCTION)
}

impl From<&FlowRow> for FlowSummary {
    fn from(row: &FlowRow) -> Self {
        let glance = Glance::of(row);
        let trigger = glance.trigger().map(str::to_owned);
        Self {
            name: row.name.clone(),
            description: glance.description,
            state: status(row),
            trigger,
            active_hash: row.active_hash.clone(),
            draft_hash: row.draft_hash.clone(),
            has_changes: row.active_hash.as_deref() != Some(&row.draft_hash),
            revision: row.revision,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

fn status(row: &FlowRow) -> FlowStatus {
    match (&row.active_hash, row.state) {
        (None, _) => FlowStatus::Draft,
        (Some(_), FlowState::Active) => FlowStatus::Active,
        (Some(_), FlowState::Inactive) => FlowStatus::Inactive,
    }
}

/// A stored definition cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored definition of flow `{name}` cannot be read: {reason}")]
pub(crate) struct Unreadable {
    pub(crate) name: String,
    pub(crate) reason: serde_json::Error,
}

/// Reads a stored definition.
pub(crate) fn stored(name: &str, definition: &str) -> Result<Flow, Unreadable> {
    serde_json::from_str(definition).map_err(|reason| Unreadable { name: name.to_owned(), reason })
}
