//! The shape of a flow: which edges exist, which nodes form loop bodies, in what order they run.

use std::collections::BTreeSet;
use std::sync::Arc;

use flux_model::diagnostic::Diagnostic;
use flux_model::error::ErrorCode;
use flux_model::flow::Flow;
use flux_model::limits::LOOP_DEPTH_MAX;
use flux_model::node_type::NodeKind;

use super::node_set::NodeSet;
use super::{Catalog, PlanEdge, PlanScope};

/// A loop and the nodes that its `body` port leads to.
struct Body {
    owner: usize,
    nodes: NodeSet,
}

/// A flow's graph, with loop bodies found and back edges taken out.
pub(super) struct Graph {
    pub(super) edges: Vec<PlanEdge>,
    pub(super) scopes: Vec<PlanScope>,
    pub(super) trigger: usize,
    /// Per node: the scope it runs in.
    pub(super) scope_of: Vec<usize>,
    /// Per node: the scope of its body, if it is a loop.
    pub(super) body_of: Vec<Option<usize>>,
    /// Per node: edges into it and out of it.
    pub(super) incoming: Vec<Vec<usize>>,
    pub(super) outgoing: Vec<Vec<usize>>,
    /// Per node: whether the trigger leads to it.
    pub(super) reachable: Vec<bool>,
}

impl Graph {
    /// Builds the graph of a flow that passed the first checks; `None` if it has no order to run in.
    pub(super) fn build(flow: &Flow, catalog: &Catalog, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let index_of = |key: &str| flow.nodes.iter().position(|node| node.key == key);
        let kind_is =
            |node: usize, kind| catalog.get(&flow.nodes[node].node_type).is_some_and(|t| t.kind == kind);
        let resolved = flow.edges.iter().filter_map(|edge| {
            let (from, port) = edge.source();
            let port = port.filter(|port| *port != "main").map(Arc::from);
            Some(PlanEdge { from: index_of(from)?, port, to: index_of(edge.target())? })
        });
        let all: Vec<PlanEdge> = resolved.collect();
        let trigger = (0..flow.nodes.len()).find(|node| kind_is(*node, NodeKind::Trigger)).unwrap_or(0);
        let loops: Vec<usize> = (0..flow.nodes.len()).filter(|node| kind_is(*node, NodeKind::Loop)).collect();
        let bodies = find_bodies(&loops, &all, flow.nodes.len());
        let before = found.len();
        check_depth(flow, &bodies, found);
        if found.len() == before {
            check_exits(flow, &all, &bodies, found);
        }
        if found.len() == before {
            check_entries(flow, &all, &bodies, found);
        }
        if found.len() > before {
            return None;
        }
        let mut graph = Self::with_scopes(flow.nodes.len(), trigger, bodies);
        graph.add_edges(all);
        if let Err(cycle) = graph.order(flow) {
            found.push(cycle);
            return None;
        }
        graph.mark_reachable(flow, found);
        Some(graph)
    }

    fn with_scopes(count: usize, trigger: usize, mut bodies: Vec<Body>) -> Self {
        // Larger bodies first, so that the innermost body is the last to claim a node.
        bodies.sort_by_key(|body| (std::cmp::Reverse(body.nodes.len()), body.owner));
        let mut scope_of = vec![0; count];
        let mut body_of = vec![None; count];
        let mut scopes = vec![PlanScope::default()];
        for body in bodies {
            let scope = scopes.len();
            scopes.push(PlanScope { owner: Some(body.owner), nodes: Vec::new() });
            body_of[body.owner] = Some(scope);
            for node in body.nodes.iter() {
                scope_of[node] = scope;
            }
        }
        Self {
            edges: Vec::new(),
            scopes,
            trigger,
            scope_of,
            body_of,
            incoming: vec![Vec::new(); count],
            outgoing: vec![Vec::new(); count],
            reachable: vec![false; count],
        }
    }

    /// Takes the edges over, except those that lead from a body back to its loop: the end of an
    /// iteration is that all its nodes are settled.
    fn add_edges(&mut self, all: Vec<PlanEdge>) {
        for edge in all {
            let returns = self.scope_of[edge.from] != 0
                && self.scopes[self.scope_of[edge.from]].owner == Some(edge.to)
                && self.body_of[edge.to].is_some();
            if !returns {
                self.outgoing[edge.from].push(self.edges.len());
                self.incoming[edge.to].push(self.edges.len());
                self.edges.push(edge);
            }
        }
    }

    /// Kahn's algorithm; among ready nodes the one earlier in the file comes first.
    fn order(&mut self, flow: &Flow) -> Result<(), Diagnostic> {
        let mut missing: Vec<usize> = self.incoming.iter().map(Vec::len).collect();
        let mut ready: BTreeSet<usize> = (0..missing.len()).filter(|node| missing[*node] == 0).collect();
        let mut placed = 0;
        while let Some(node) = ready.pop_first() {
            placed += 1;
            self.scopes[self.scope_of[node]].nodes.push(node);
            for edge in &self.outgoing[node] {
                let to = self.edges[*edge].to;
                missing[to] -= 1;
                if missing[to] == 0 {
                    ready.insert(to);
                }
            }
        }
        if placed < missing.len() { Err(self.describe_cycle(flow, &missing)) } else { Ok(()) }
    }

    /// Walks backwards among the nodes that could not be placed until one repeats.
    fn describe_cycle(&self, flow: &Flow, missing: &[usize]) -> Diagnostic {
        let mut node = missing.iter().position(|count| *count > 0).unwrap_or(0);
        let mut walked: Vec<usize> = Vec::new();
        while !walked.contains(&node) {
            walked.push(node);
            let blocked = |edge: &&usize| missing[self.edges[**edge].from] > 0;
            let Some(edge) = self.incoming[node].iter().find(blocked) else { break };
            node = self.edges[*edge].from;
        }
        let start = walked.iter().position(|earlier| *earlier == node).unwrap_or(0);
        let mut cycle: Vec<usize> = walked[start..].iter().rev().copied().collect();
        let first = (0..cycle.len()).min_by_key(|index| cycle[*index]).unwrap_or(0);
        cycle.rotate_left(first);
        let mut keys: Vec<&str> = cycle.iter().map(|index| flow.nodes[*index].key.as_str()).collect();
        keys.push(keys[0]);
        let message = format!("these nodes wait for each other: {}", keys.join(" → "));
        Diagnostic::error(ErrorCode::Cycle, message)
            .at_node(keys[0])
            .suggest(Some("put the part that repeats behind the `body` port of a logic.loop".to_owned()))
    }

    fn mark_reachable(&mut self, flow: &Flow, found: &mut Vec<Diagnostic>) {
        let mut stack = vec![self.trigger];
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut self.reachable[node], true) {
                stack.extend(self.outgoing[node].iter().map(|edge| self.edges[*edge].to));
            }
        }
        for (node, reachable) in flow.nodes.iter().zip(&self.reachable) {
            if !reachable {
                let message = format!("nothing leads from the trigger to `{}`; it will not run", node.key);
                found.push(Diagnostic::warning(ErrorCode::Unreachable, message).at_node(&node.key));
            }
        }
    }

    /// Per node: every node whose output exists when it starts, in its own or an outer scope.
    pub(super) fn ancestors(&self) -> Vec<NodeSet> {
        let count = self.incoming.len();
        let mut ancestors = vec![NodeSet::new(count); count];
        for node in self.topological() {
            let mut mine = NodeSet::new(count);
            for edge in &self.incoming[node] {
                let from = self.edges[*edge].from;
                mine.insert(from);
                mine.union(&ancestors[from]);
            }
            ancestors[node] = mine;
        }
        ancestors
    }

    /// All nodes, each after everything that leads to it.
    fn topological(&self) -> Vec<usize> {
        let mut missing: Vec<usize> = self.incoming.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> = (0..missing.len()).filter(|node| missing[*node] == 0).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(node) = ready.pop() {
            order.push(node);
            for edge in &self.outgoing[node] {
                let to = self.edges[*edge].to;
                missing[to] -= 1;
                if missing[to] == 0 {
                    ready.push(to);
                }
            }
        }
        order
    }

    /// Whether scope `outer` is `inner` or around it.
    pub(super) fn is_enclosing(&self, outer: usize, inner: usize) -> bool {
        let mut scope = inner;
        loop {
            if scope == outer {
                return true;
            }
            match self.scopes[scope].owner {
                Some(owner) => scope = self.scope_of[owner],
                None => return false,
            }
        }
    }
}

/// Per loop: what its `body` port leads to, without going through the loop itself.
fn find_bodies(loops: &[usize], edges: &[PlanEdge], count: usize) -> Vec<Body> {
    let mut targets: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in edges {
        targets[edge.from].push(edge.to);
    }
    let find = |owner: usize| {
        let enters = |edge: &&PlanEdge| edge.from == owner && edge.port.as_deref() == Some("body");
        let mut stack: Vec<usize> = edges.iter().filter(enters).map(|edge| edge.to).collect();
        let mut nodes = NodeSet::new(count);
        while let Some(node) = stack.pop() {
            if node != owner && nodes.insert(node) {
                stack.extend(&targets[node]);
            }
        }
        Body { owner, nodes }
    };
    loops.iter().map(|owner| find(*owner)).collect()
}

fn check_depth(flow: &Flow, bodies: &[Body], found: &mut Vec<Diagnostic>) {
    for body in bodies {
        let depth = bodies.iter().filter(|outer| outer.nodes.contains(body.owner)).count() + 1;
        if depth > LOOP_DEPTH_MAX {
            let message = format!("loops are nested {depth} deep, at most {LOOP_DEPTH_MAX} are allowed");
            found.push(Diagnostic::error(ErrorCode::LoopBody, message).at_node(&flow.nodes[body.owner].key));
            return;
        }
    }
}

/// A body is left only to its own loop. Where a node leads on to an outer loop instead, each of
/// the two loops is in the body of the other.
fn check_exits(flow: &Flow, edges: &[PlanEdge], bodies: &[Body], found: &mut Vec<Diagnostic>) {
    let key = |node: usize| flow.nodes[node].key.as_str();
    for inner in bodies {
        let mutual = |outer: &&Body| inner.nodes.contains(outer.owner) && outer.nodes.contains(inner.owner);
        for outer in bodies.iter().filter(mutual) {
            let skips = |edge: &&PlanEdge| {
                edge.to == outer.owner && edge.from != inner.owner && inner.nodes.contains(edge.from)
            };
            if let Some(edge) = edges.iter().find(skips) {
                let (node, inner, outer) = (key(edge.from), key(inner.owner), key(outer.owner));
                let message = format!(
                    "`{node}` is in the body of loop `{inner}` and cannot lead directly to the outer loop `{outer}`"
                );
                let way_out = format!("lead to `{outer}` from `{inner}.done`");
                found.push(
                    Diagnostic::error(ErrorCode::LoopBody, message).at_node(node).suggest(Some(way_out)),
                );
                return;
            }
        }
    }
}

/// A body is entered only by its loop's `body` port.
fn check_entries(flow: &Flow, edges: &[PlanEdge], bodies: &[Body], found: &mut Vec<Diagnostic>) {
    let key = |node: usize| flow.nodes[node].key.as_str();
    for Body { owner, nodes } in bodies {
        for edge in edges {
            let enters = nodes.contains(edge.to) && !nodes.contains(edge.from);
            let by_body_port = edge.from == *owner && edge.port.as_deref() == Some("body");
            if enters && !by_body_port {
                let (node, owner, from) = (key(edge.to), key(*owner), key(edge.from));
                let message =
                    format!("`{node}` is in the body of loop `{owner}` but is also entered from `{from}`");
                let way_out = format!("continue after the loop from `{owner}.done`");
                found.push(
                    Diagnostic::error(ErrorCode::LoopBody, message).at_node(node).suggest(Some(way_out)),
                );
            }
        }
    }
}
