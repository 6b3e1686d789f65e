//! What the planner, the editor and the API know of a node type.

use serde::{Deserialize, Serialize};

use crate::shape::Shape;

/// How a node's work relates to the outside world; decides what is durable before what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purity {
    /// Computed from its inputs alone: computed again after a crash, never waited on.
    Pure,
    /// Touches the outside: its completion is durable before anything that depends on it starts.
    Effect,
    /// Ends when something else happens: a timer, a decision, a signal, a child execution.
    Wait,
}

/// Who does a node's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Starts the flow; its output is the input of the execution.
    Trigger,
    /// An executor outside the core does the work: the driver is handed [`crate::Effect::Run`].
    Task,
    /// `logic.if`
    If,
    /// `logic.switch`
    Switch,
    /// `logic.filter`
    Filter,
    /// `logic.merge`
    Merge,
    /// `logic.loop`
    Loop,
    /// `logic.delay`
    Delay,
    /// `data.set`
    Set,
    /// `data.transform`
    Transform,
    /// `flow.respond`
    Respond,
    /// `flow.call`
    Call,
    /// `flow.signal`
    Signal,
    /// `human.review`
    Review,
}

/// The output ports of a node type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ports {
    /// One unnamed port.
    Main,
    /// These ports; an edge from the node must name one.
    Named {
        /// The names.
        names: Vec<String>,
    },
    /// One port per entry of the array in config field `field` (its `name`), and `default`.
    PerEntry {
        /// The config field.
        field: String,
    },
    /// None: nothing follows.
    None,
}

/// Everything about a node type except its executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeType {
    /// `http.request`
    #[serde(rename = "type")]
    pub name: String,
    /// Raised when the meaning of config or output changes; part of a plan's identity.
    pub version: u32,
    /// One line for people.
    pub summary: String,
    /// Who does the work.
    pub kind: NodeKind,
    /// What must be durable around it.
    pub purity: Purity,
    /// Output ports, without the `error` port that `on_error: branch` adds.
    pub ports: Ports,
    /// JSON Schema of its config, templates not yet evaluated.
    pub config_schema: serde_json::Value,
    /// What its output looks like.
    pub output: Shape,
    /// Config fields (dotted paths, `*` for any member) whose templates may name secrets.
    pub secret_fields: Vec<String>,
    /// Config fields whose templates the node evaluates itself, once per element: they may name
    /// `item` and `index`.
    pub per_element_fields: Vec<String>,
}
