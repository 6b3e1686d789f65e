//! The flow graph as users write it, in JSON or YAML.
//!
//! This is the outside format (`docs/concepts/flows.md`, `protocol/flow.schema.json`); the planner
//! in `core` turns it into something that can run, or into diagnostics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::value::Value;

/// The format version that this code reads and writes.
pub const FLOW_FORMAT: u32 = 1;

/// A flow: nodes joined by edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Format version, 1.
    #[serde(default = "format_version")]
    pub flux: u32,
    /// Unique name within the project: 1–64 of `A-Z a-z 0-9 - _`, starting with a letter.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The edges.
    #[serde(default)]
    pub edges: Vec<Edge>,
    /// How executions of it behave.
    #[serde(default)]
    pub settings: Settings,
}

fn format_version() -> u32 {
    FLOW_FORMAT
}

impl Flow {
    /// SHA-256 of the flow as it is written canonically, in hexadecimal: what a version is
    /// identified by. Positions and notes count, since they are part of the file.
    pub fn content_hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(json))
    }
}

/// A node of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The name by which templates reach its output: a letter or `_`, then letters, digits, `_`.
    pub key: String,
    /// The node type, such as `http.request`.
    #[serde(rename = "type")]
    pub node_type: String,
    /// A display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the node type asks for; every text may hold templates.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// When and how often to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long one attempt may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What an error does.
    #[serde(default, skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
    /// A template giving an array: the node runs once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// How many elements of `for_each` run at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each_concurrency: Option<u32>,
    /// Never attempt the effect twice: its intent is durable before the call, and after a crash in
    /// between a person decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// Where the editor draws it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Remarks for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// A place on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
}

/// A connection from an output port to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// `node` or `node.port`.
    pub from: String,
    /// `node`.
    pub to: String,
}

impl Edge {
    /// The node and port it leaves.
    pub fn source(&self) -> (&str, Option<&str>) {
        match self.from.split_once('.') {
            Some((node, port)) => (node, Some(port)),
            None => (&self.from, None),
        }
    }

    /// The node it enters. A port name is tolerated where it says `main`.
    pub fn target(&self) -> &str {
        self.to.strip_suffix(".main").unwrap_or(&self.to)
    }
}

/// What an error of a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The execution fails.
    #[default]
    Fail,
    /// The execution goes on; the node's output is the error object.
    Continue,
    /// The execution goes on by port `error`, which carries the error object.
    Branch,
}

impl OnError {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When and how often to try again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts in all, the first included. 1–100.
    pub attempts: u32,
    /// Pause before the second attempt, in milliseconds.
    pub initial_ms: u64,
    /// What each further pause is multiplied by. At least 1.
    pub factor: f64,
    /// Longest pause, in milliseconds.
    pub max_ms: u64,
    /// Share of the pause that is spread at random, 0–1; derived from execution, node and
    /// attempt, so it repeats.
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, initial_ms: 500, factor: 2.0, max_ms: 60_000, jitter: 0.2 }
    }
}

/// How executions of a flow behave.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many executions run at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How many executions are accepted per period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Start only once events have stopped coming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Debounce>,
    /// Queued executions of a higher priority start first.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// How long an execution may take in all, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Days that ended executions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Node runs and loop iterations of one execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_max: Option<u64>,
    /// A template that refers to something that is not there fails instead of giving null.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Constants, reachable in templates as `vars`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A bound on simultaneous executions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// A template over the trigger's output; executions with the same result share the limit.
    /// Absent: all executions of the flow do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many.
    pub limit: u32,
    /// What happens to one more.
    #[serde(default)]
    pub overflow: Overflow,
}

/// What happens to an execution over the concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It is refused.
    Drop,
    /// The oldest running one is cancelled.
    CancelOldest,
}

/// A bound on accepted executions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// A template over the trigger's output; executions with the same result share the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many per period.
    pub limit: u32,
    /// The period, in milliseconds.
    pub period_ms: u64,
    /// How many may come at once; `limit` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// Waiting for events to stop coming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Debounce {
    /// A template over the trigger's output; events with the same result belong together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How long nothing must have come, in milliseconds. The last event's input is used.
    pub period_ms: u64,
    /// Start after this time even if events keep coming, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_reads_and_hashes_stably() {
        let text = r#"{"flux":1,"name":"a","nodes":[
            {"key":"t","type":"trigger.manual"},
            {"key":"w","type":"logic.if","config":{"condition":"{{ t.x }}"},"retry":{"attempts":5}}],
            "edges":[{"from":"t","to":"w"}],
            "settings":{"concurrency":{"key":"{{ t.k }}","limit":1,"overflow":"queue"}}}"#;
        let flow: Flow = serde_json::from_str(text).unwrap();
        assert_eq!(
            flow.nodes[1].retry.as_ref().map(|retry| (retry.attempts, retry.initial_ms)),
            Some((5, 500))
        );
        let again: Flow = serde_json::from_str(&serde_json::to_string(&flow).unwrap()).unwrap();
        assert_eq!(again.content_hash(), flow.content_hash());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<Flow>(r#"{"name":"a","nodes":[],"edge":[]}"#).unwrap_err();
        assert!(error.to_string().contains("edge"), "{error}");
    }
}
