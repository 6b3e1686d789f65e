//! Requests for a human decision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ReviewId;
use crate::path::NodePath;
use crate::time::Timestamp;
use crate::value::Value;

/// Why a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// A `human.review` node.
    Node,
    /// An at-most-once effect was interrupted: approve says it happened (`content` becomes the
    /// node's output), reject says it failed, revise asks to run it again.
    OutcomeUnknown,
}

/// What is put before the reviewer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReviewRequest {
    /// Its id, derived from the execution and the path.
    pub id: ReviewId,
    /// The node that waits.
    pub path: NodePath,
    /// Why a person is asked.
    pub reason: ReviewReason,
    /// One line.
    pub title: String,
    /// What is to be approved, and may be edited.
    pub content: Value,
    /// What helps to decide.
    pub context: Value,
    /// Who may decide; empty means everybody with the right to review.
    pub assignees: Vec<String>,
    /// When the default action is taken.
    pub expires_at: Option<Timestamp>,
    /// The version a decision must name. Starts at 1.
    pub version: u32,
}

/// What a reviewer can do. Each is an output port of `human.review`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewAction {
    /// Go on, with the content as it is or as edited. Port `approved`.
    Approve,
    /// Do not. Port `rejected`.
    Reject,
    /// Ask for another version. Port `revise`.
    Revise,
}

/// What happens when nobody decides in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// Leave by port `expired`.
    #[default]
    Expire,
    /// As if approved.
    Approve,
    /// As if rejected.
    Reject,
    /// The node fails with `review_expired`.
    Fail,
}

/// A decision as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub action: ReviewAction,
    /// The edited content, if the reviewer changed it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::value::present")]
    pub content: Option<Value>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Who: the name of the key or the user.
    pub decided_by: String,
    /// The version of the review that was looked at.
    pub expected_version: u32,
}

/// Where a review stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewStatus {
    /// Waits for a decision.
    Pending,
    /// Approved.
    Approved,
    /// Rejected.
    Rejected,
    /// Sent back.
    Revised,
    /// Nobody decided in time.
    Expired,
    /// The execution ended first.
    Withdrawn,
}
