//! Boundary calls: everything a node asked of the outside, and what it was told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::time::Timestamp;
use crate::value::Value;

/// What kind of outside was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// An HTTP request.
    Http,
    /// A child execution was asked for.
    Execution,
    /// A signal was sent.
    Signal,
    /// An object was stored or read.
    Object,
    /// The project's database was asked.
    Database,
    /// A function was called within the execution.
    Function,
    /// A message was sent to a function.
    Queue,
    /// A secret was read.
    Secret,
    /// A part of a function that its author named.
    Span,
}

/// One request to the outside with its answer, as recorded: secrets masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundaryCall {
    /// What was asked.
    pub kind: CallKind,
    /// Whom: `GET https://api.example.com/users/7`, a flow name, an execution id.
    pub target: String,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// What was sent. For HTTP: `{method, url, headers, body?}`.
    pub request: Value,
    /// What came back. For HTTP: `{status, headers, body}`.
    pub result: Result<Value, Failure>,
    /// The line of user code that asked: `functions/create_order.ts:12:20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}
