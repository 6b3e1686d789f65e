//! From a flow graph to a plan that can run, or to diagnostics that say what to mend.
//!
//! A plan is immutable and shared by all executions of a flow version. Planning is a pure
//! function of the flow and the catalog of node types; it never looks at an execution.

mod check;
mod graph;
mod node_set;
mod nodes;
mod references;
mod schema;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flux_model::diagnostic::{Diagnostic, Severity};
use flux_model::flow::{Flow, Node, OnError, Retry, Settings};
use flux_model::node_type::{NodeKind, NodeType, Purity};
use sha2::{Digest, Sha256};

use crate::template::{Template, Templated};

/// The node types a flow may use.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    types: BTreeMap<String, NodeType>,
}

impl Catalog {
    /// A catalog of these types; a later one replaces an earlier one of the same name.
    pub fn new(types: impl IntoIterator<Item = NodeType>) -> Self {
        Self { types: types.into_iter().map(|entry| (entry.name.clone(), entry)).collect() }
    }

    /// The type of that name.
    pub fn get(&self, name: &str) -> Option<&NodeType> {
        self.types.get(name)
    }

    /// All types, by name.
    pub fn iter(&self) -> impl Iterator<Item = &NodeType> {
        self.types.values()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}

/// What planning gave.
#[derive(Debug)]
pub struct Planned {
    /// The plan, unless a diagnostic is an error.
    pub plan: Option<Arc<Plan>>,
    /// Errors and warnings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// A flow that can run.
#[derive(Debug)]
pub struct Plan {
    flow: Flow,
    id: String,
    pub(crate) nodes: Vec<PlanNode>,
    pub(crate) edges: Vec<PlanEdge>,
    /// The root scope, then one per loop body.
    pub(crate) scopes: Vec<PlanScope>,
    pub(crate) by_key: BTreeMap<String, usize>,
    pub(crate) trigger: usize,
}

/// A node, ready to run.
#[derive(Debug)]
pub(crate) struct PlanNode {
    pub(crate) key: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) purity: Purity,
    pub(crate) node_type: Arc<str>,
    /// The display name.
    pub(crate) name: String,
    /// The config without its per-element fields.
    pub(crate) config: Templated,
    /// Config fields that are evaluated once per element.
    pub(crate) per_element: BTreeMap<String, Templated>,
    pub(crate) for_each: Option<Template>,
    pub(crate) element_concurrency: u32,
    pub(crate) retry: Retry,
    pub(crate) timeout: Duration,
    pub(crate) on_error: OnError,
    pub(crate) at_most_once: bool,
    /// Which incoming edges it waits for.
    pub(crate) join: Join,
    /// The scope it runs in, and its place there.
    pub(crate) scope: usize,
    pub(crate) slot: usize,
    /// Edges into it, body entries included, back edges not.
    pub(crate) incoming: Vec<usize>,
    /// Edges out of it, body entries included, back edges not.
    pub(crate) outgoing: Vec<usize>,
    /// The scope of its body, where it is a loop.
    pub(crate) body: Option<usize>,
    pub(crate) reachable: bool,
}

/// Which incoming edges a node waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// Until each is delivered or dead.
    All,
    /// Until one is delivered.
    First,
}

/// An edge, with its ends resolved.
#[derive(Debug, Clone)]
pub(crate) struct PlanEdge {
    pub(crate) from: usize,
    /// The port it leaves by; absent is the main port.
    pub(crate) port: Option<Arc<str>>,
    pub(crate) to: usize,
}

/// The nodes that run together: the flow's own, or those of a loop's body.
#[derive(Debug, Default)]
pub(crate) struct PlanScope {
    /// The loop whose body it is.
    pub(crate) owner: Option<usize>,
    /// Its nodes in topological order, ties in the order of the file.
    pub(crate) nodes: Vec<usize>,
}

impl Plan {
    /// The flow it was made of.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// What identifies it: SHA-256 over the flow's content and the versions of its node types, in
    /// hexadecimal.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The trigger.
    pub fn trigger(&self) -> &Node {
        &self.flow.nodes[self.trigger]
    }

    /// The trigger's config with its templates; only `vars` and `secrets` have a meaning in it.
    pub fn trigger_config(&self) -> &Templated {
        &self.nodes[self.trigger].config
    }

    /// How executions behave.
    pub fn settings(&self) -> &Settings {
        &self.flow.settings
    }

    /// Whether `key` names a node at the top of the flow, where a rerun may start.
    pub fn is_root_node(&self, key: &str) -> bool {
        self.by_key.get(key).is_some_and(|index| self.nodes[*index].scope == 0)
    }

    /// The keys of `key` itself and of everything downstream of it, at the top of the flow.
    pub fn downstream(&self, key: &str) -> Vec<&str> {
        let mut reached = vec![false; self.nodes.len()];
        let mut stack: Vec<usize> = self.by_key.get(key).copied().into_iter().collect();
        while let Some(index) = stack.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                stack.extend(self.nodes[index].outgoing.iter().map(|edge| self.edges[*edge].to));
            }
        }
        let hit = self.nodes.iter().zip(reached).filter(|(node, hit)| *hit && node.scope == 0);
        hit.map(|(node, _)| &*node.key).collect()
    }
}

/// Plans a flow.
///
/// The result has a plan exactly if no diagnostic is an error.
pub fn plan(flow: &Flow, catalog: &Catalog) -> Planned {
    let mut diagnostics = check::check_flow(flow, catalog);
    if has_error(&diagnostics) {
        return Planned { plan: None, diagnostics };
    }
    let Some(graph) = graph::Graph::build(flow, catalog, &mut diagnostics) else {
        return Planned { plan: None, diagnostics };
    };
    let nodes = nodes::compile(flow, catalog, &graph, &mut diagnostics);
    references::check(flow, catalog, &graph, &nodes, &mut diagnostics);
    references::check_settings(flow, catalog, &graph, &mut diagnostics);
    if has_error(&diagnostics) {
        return Planned { plan: None, diagnostics };
    }
    let by_key = flow.nodes.iter().enumerate().map(|(index, node)| (node.key.clone(), index)).collect();
    let plan = Plan {
        id: identify(flow, catalog),
        flow: flow.clone(),
        nodes,
        by_key,
        trigger: graph.trigger,
        edges: graph.edges,
        scopes: graph.scopes,
    };
    Planned { plan: Some(Arc::new(plan)), diagnostics }
}

fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

fn identify(flow: &Flow, catalog: &Catalog) -> String {
    let mut hash = Sha256::new();
    hash.update(flow.content_hash());
    for node in &flow.nodes {
        let version = catalog.get(&node.node_type).map_or(0, |entry| entry.version);
        hash.update(node.node_type.as_bytes());
        hash.update(version.to_le_bytes());
    }
    hex::encode(hash.finalize())
}
