//! Draws the graph of a random flow: sequences, branches, fans, loops within loops.
//!
//! The drawing keeps, for each place a node could be added, the ports that lead there and the nodes
//! that templates may name there, so that every flow it makes is valid.

use fastrand::Rng;
use flux_model::Value;
use flux_model::flow::{Edge, Node, OnError};

use super::nodes;
use crate::weather::hits;

/// Loops within loops.
const LOOP_DEPTH_MAX: usize = 3;

/// A flow being drawn.
pub(super) struct Sketch<'a> {
    pub(super) rng: &'a mut Rng,
    /// Flows that may be called.
    pub(super) callees: &'a [String],
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Nodes that may still be added.
    left: usize,
}

/// A place where a node could be added.
#[derive(Debug, Clone, Default)]
pub(super) struct Spot {
    /// The ports that lead here: `node` or `node.port`.
    ends: Vec<String>,
    /// The nodes upstream, with what their output is known to be.
    pub(super) seen: Vec<Seen>,
    /// How many loops it is in.
    pub(super) loops: usize,
}

/// A node that templates may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) output: Output,
}

/// What is known of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Anything,
    Array,
}

impl<'a> Sketch<'a> {
    /// Draws a flow of about `size` nodes.
    pub(super) fn draw(rng: &'a mut Rng, callees: &'a [String], size: usize) -> (Vec<Node>, Vec<Edge>) {
        let mut sketch = Self { rng, callees, nodes: Vec::new(), edges: Vec::new(), left: size };
        let spot = sketch.add(Spot::default(), "trigger.manual", Value::Null);
        sketch.sequence(spot, size);
        (sketch.nodes, sketch.edges)
    }

    /// Draws up to `length` steps one after the other.
    fn sequence(&mut self, mut spot: Spot, length: usize) -> Spot {
        for _ in 0..length {
            if self.left == 0 || spot.ends.is_empty() {
                break;
            }
            spot = self.step(spot);
        }
        spot
    }

    fn step(&mut self, spot: Spot) -> Spot {
        match self.rng.u32(..100) {
            0..8 => self.fork(spot, "logic.if", &["true", "false"]),
            8..14 => self.switch(spot),
            14..20 => self.fork(spot, "human.review", &["approved", "rejected", "revise", "expired"]),
            20..29 => self.fan(spot),
            29..38 if spot.loops < LOOP_DEPTH_MAX => self.repeat(spot),
            38..42 => self.merge(spot),
            _ => self.plain(spot),
        }
    }

    /// A node with one port, and perhaps an error port.
    fn plain(&mut self, spot: Spot) -> Spot {
        let (node_type, config) = nodes::plain(self, &spot);
        let before = spot.clone();
        let after = self.add(spot, node_type, config);
        let dials = nodes::dials(self, &before, node_type);
        let node = self.nodes.last_mut().expect("a node was added");
        (node.retry, node.timeout_ms, node.on_error) = (dials.retry, dials.timeout_ms, dials.on_error);
        node.at_most_once = dials.at_most_once;
        node.for_each_concurrency = dials.for_each.is_some().then_some(dials.concurrency).flatten();
        node.for_each = dials.for_each;
        let (each, branches) = (node.for_each.is_some(), node.on_error == OnError::Branch);
        let key = node.key.clone();
        let mut after = after;
        if each && let Some(seen) = after.seen.last_mut() {
            seen.output = Output::Array;
        }
        if !branches {
            return after;
        }
        let aside = Spot { ends: vec![format!("{key}.error")], ..after.clone() };
        let length = self.rng.usize(..3);
        let aside = self.sequence(aside, length);
        if hits(self.rng, 600) { self.join(vec![after, aside]) } else { after }
    }

    fn switch(&mut self, spot: Spot) -> Spot {
        let config = nodes::switch(self, &spot);
        let after = self.add(spot, "logic.switch", config);
        self.branches(after, &["a", "b", "default"])
    }

    fn fork(&mut self, spot: Spot, node_type: &'static str, ports: &[&str]) -> Spot {
        let config = nodes::fork(self, &spot, node_type);
        let after = self.add(spot, node_type, config);
        self.branches(after, ports)
    }

    /// A branch per port; each goes on, joins the others or ends.
    fn branches(&mut self, after: Spot, ports: &[&str]) -> Spot {
        let key = after.ends.first().cloned().unwrap_or_default();
        let mut joined = Vec::new();
        for port in ports {
            let branch = Spot { ends: vec![format!("{key}.{port}")], ..after.clone() };
            let length = self.rng.usize(..4);
            let branch = self.sequence(branch, length);
            if hits(self.rng, 700) {
                joined.push(branch);
            }
        }
        self.join(joined)
    }

    /// Several nodes at once after the same one.
    fn fan(&mut self, spot: Spot) -> Spot {
        let mut joined = Vec::new();
        for _ in 0..self.rng.usize(2..5) {
            let length = self.rng.usize(1..4);
            let branch = self.sequence(spot.clone(), length);
            if branch.ends != spot.ends && hits(self.rng, 850) {
                joined.push(branch);
            }
        }
        if joined.is_empty() { spot } else { self.join(joined) }
    }

    /// What was apart comes together: in a merge, or in whatever follows.
    fn join(&mut self, branches: Vec<Spot>) -> Spot {
        let mut spot = Spot { loops: branches.first().map_or(0, |first| first.loops), ..Spot::default() };
        for branch in branches {
            for end in branch.ends {
                if !spot.ends.contains(&end) {
                    spot.ends.push(end);
                }
            }
            for seen in branch.seen {
                if !spot.seen.contains(&seen) {
                    spot.seen.push(seen);
                }
            }
        }
        if !spot.ends.is_empty() && self.left > 0 && hits(self.rng, 600) { self.merge(spot) } else { spot }
    }

    fn merge(&mut self, spot: Spot) -> Spot {
        let mode = if self.rng.bool() { "first" } else { "all" };
        self.add(spot, "logic.merge", Value::object([("mode", Value::text(mode))]))
    }

    fn repeat(&mut self, spot: Spot) -> Spot {
        let config = nodes::repeat(self, &spot);
        let loops = spot.loops;
        let outside = spot.seen.clone();
        let after = self.add(spot, "logic.loop", config);
        let key = after.ends.first().cloned().unwrap_or_default();
        if hits(self.rng, 300)
            && let Some(node) = self.nodes.last_mut()
        {
            node.on_error = OnError::Branch;
        }
        let body = Spot { ends: vec![format!("{key}.body")], seen: outside, loops: loops + 1 };
        let length = self.rng.usize(..4);
        let (entered, body) = (body.ends.clone(), self.sequence(body, length));
        if body.ends != entered && self.rng.bool() {
            let back = body.ends.into_iter().map(|from| Edge { from, to: key.clone() });
            self.edges.extend(back);
        }
        let mut after = Spot { ends: vec![format!("{key}.done")], ..after };
        if let Some(seen) = after.seen.last_mut() {
            seen.output = Output::Array;
        }
        after
    }

    /// Adds a node behind every end of the spot.
    fn add(&mut self, spot: Spot, node_type: &str, config: Value) -> Spot {
        let key = if self.nodes.is_empty() { "start".to_owned() } else { format!("n{}", self.nodes.len()) };
        self.left = self.left.saturating_sub(1);
        self.edges.extend(spot.ends.into_iter().map(|from| Edge { from, to: key.clone() }));
        self.nodes.push(node(&key, node_type, config));
        let mut seen = spot.seen;
        seen.push(Seen { key: key.clone(), output: Output::Anything });
        Spot { ends: vec![key], seen, loops: spot.loops }
    }
}

fn node(key: &str, node_type: &str, config: Value) -> Node {
    Node {
        key: key.to_owned(),
        node_type: node_type.to_owned(),
        name: None,
        config,
        retry: None,
        timeout_ms: None,
        on_error: OnError::Fail,
        for_each: None,
        for_each_concurrency: None,
        at_most_once: false,
        position: None,
        notes: None,
    }
}
