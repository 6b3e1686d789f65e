//! The graph is followed: a node runs if an edge into it was delivered and all are decided, is
//! skipped if all are dead, and settles once. Computed from the flow file and the journal alone,
//! without asking the machine that is being checked.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::execution::ExecutionResult;
use flux_model::flow::{Flow, Node, OnError};
use flux_model::journal::JournalEvent;
use flux_model::{NodePath, Value};

use super::durable::Kept;
use crate::violation::Violation;

/// Checks one execution against its flow.
pub(crate) fn check(kept: &Kept, flow: &Flow) -> Result<(), Violation> {
    let graph = Graph::of(flow);
    let found = History::of(kept, &graph).and_then(|history| history.check(&graph, kept));
    found.map_err(|what| Violation::new("graph", format!("{} ({}): {what}", kept.row.id, flow.name)))
}

/// The flow, with the nodes of each loop's body known.
struct Graph<'a> {
    flow: &'a Flow,
    /// Per loop, the nodes of its body, inner bodies included.
    bodies: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// An edge into a node.
struct Incoming<'a> {
    from: &'a str,
    port: Option<&'a str>,
    /// Whether it enters the body of the loop it comes from.
    enters: bool,
}

impl<'a> Graph<'a> {
    fn of(flow: &'a Flow) -> Self {
        let loops = flow.nodes.iter().filter(|node| node.node_type == "logic.loop");
        let bodies = loops.map(|node| (node.key.as_str(), body_of(flow, &node.key))).collect();
        Self { flow, bodies }
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.flow.nodes.iter().find(|node| node.key == key)
    }

    fn is_in_body(&self, of: &str, key: &str) -> bool {
        self.bodies.get(of).is_some_and(|body| body.contains(key))
    }

    /// The innermost loop that a node is in.
    fn owner(&self, key: &str) -> Option<&'a str> {
        let around = self.bodies.iter().filter(|(_, body)| body.contains(key));
        around.min_by_key(|(_, body)| body.len()).map(|(owner, _)| *owner)
    }

    fn incoming(&self, key: &'a str) -> impl Iterator<Item = Incoming<'a>> + '_ {
        let edges = self.flow.edges.iter().filter(move |edge| edge.target() == key);
        edges.filter_map(move |edge| {
            let (from, port) = edge.source();
            let enters = port == Some("body") && self.is_in_body(from, key);
            (!self.is_in_body(key, from)).then_some(Incoming { from, port, enters })
        })
    }
}

fn body_of<'a>(flow: &'a Flow, owner: &str) -> BTreeSet<&'a str> {
    let mut body = BTreeSet::new();
    let entries = flow.edges.iter().filter(|edge| edge.source() == (owner, Some("body")));
    let mut stack: Vec<&str> = entries.map(|edge| edge.target()).collect();
    while let Some(key) = stack.pop() {
        if key != owner && body.insert(key) {
            stack.extend(flow.edges.iter().filter(|edge| edge.source().0 == key).map(|edge| edge.target()));
        }
    }
    body
}

/// What the journal says of one run of a node.
#[derive(Debug, Default)]
struct Run {
    began: Option<u64>,
    outcome: Option<(u64, Outcome)>,
}

#[derive(Debug, Clone)]
enum Outcome {
    /// Left by these ports; the main port if there is none.
    Left(Vec<String>),
    Skipped,
    /// Failed or cancelled: nothing follows.
    Nothing,
}

impl Outcome {
    fn delivers(&self, port: Option<&str>) -> bool {
        match (self, port) {
            (Self::Left(ports), None | Some("main")) => ports.is_empty(),
            (Self::Left(ports), Some(port)) => ports.iter().any(|left| left == port),
            (Self::Skipped | Self::Nothing, _) => false,
        }
    }
}

/// The runs of an execution, by the iteration they are in and the node's key.
struct History {
    runs: BTreeMap<(String, String), Run>,
}

impl History {
    fn of(kept: &Kept, graph: &Graph<'_>) -> Result<Self, String> {
        let mut history = Self { runs: BTreeMap::new() };
        let mut over = BTreeSet::new();
        for entry in &kept.entries {
            let Some((path, outcome)) = reading(&entry.event, graph) else { continue };
            if outcome.is_some() && !over.insert(path.clone()) {
                return Err(format!("`{path}` settles a second time in entry {}", entry.seq));
            }
            history.note(path, entry.seq, outcome);
        }
        Ok(history)
    }

    fn note(&mut self, path: &NodePath, seq: u64, outcome: Option<Reading>) {
        let mut prefix = String::new();
        let segments: Vec<_> = path.segments().collect();
        for (depth, segment) in segments.iter().enumerate() {
            let run = self.runs.entry((prefix.clone(), segment.key.to_owned())).or_default();
            let own = depth + 1 == segments.len();
            let skipped = matches!(outcome, Some(Reading { outcome: Outcome::Skipped, .. }));
            if !(own && skipped) {
                run.began.get_or_insert(seq);
            }
            if own && let Some(reading) = &outcome {
                let whole = segment.index.is_none() || reading.of_element_ends_node;
                if whole && run.outcome.is_none() {
                    run.outcome = Some((seq, reading.outcome.clone()));
                }
            }
            let dot = if prefix.is_empty() { "" } else { "." };
            let index = segment.index.map_or_else(String::new, |index| format!("[{index}]"));
            prefix = format!("{prefix}{dot}{}{index}", segment.key);
        }
    }

    fn check(&self, graph: &Graph<'_>, kept: &Kept) -> Result<(), String> {
        for ((prefix, key), run) in &self.runs {
            let Some(node) = graph.node(key) else { return Err(format!("there is no node `{key}`")) };
            if node.node_type.starts_with("trigger.") {
                continue;
            }
            if let Some(began) = run.began {
                self.check_run(graph, prefix, node, began)?;
            }
            if let Some((seq, Outcome::Skipped)) = run.outcome {
                self.check_skip(graph, prefix, node, seq)?;
            }
        }
        if matches!(kept.result(), Some(ExecutionResult::Succeeded { .. })) {
            return self.check_complete(graph);
        }
        Ok(())
    }

    /// A node that ran had an edge delivered, and the others decided unless it takes the first.
    fn check_run(&self, graph: &Graph<'_>, prefix: &str, node: &Node, seq: u64) -> Result<(), String> {
        let edges: Vec<_> = graph.incoming(key_of(graph, node)).collect();
        let states: Vec<_> = edges.iter().map(|edge| self.edge(prefix, edge, seq)).collect();
        let first = node.config.get("mode").and_then(Value::as_str) == Some("first");
        let takes_first = node.node_type == "logic.merge" && first;
        if !states.contains(&Some(true)) {
            return Err(format!("`{prefix}.{}` runs in entry {seq}, though no edge was delivered", node.key));
        }
        if !takes_first && states.contains(&None) {
            return Err(format!("`{prefix}.{}` runs in entry {seq}, before every edge is decided", node.key));
        }
        Ok(())
    }

    fn check_skip(&self, graph: &Graph<'_>, prefix: &str, node: &Node, seq: u64) -> Result<(), String> {
        let mut edges = graph.incoming(key_of(graph, node));
        if edges.all(|edge| self.edge(prefix, &edge, seq) == Some(false)) {
            return Ok(());
        }
        Err(format!("`{prefix}.{}` is skipped in entry {seq}, though not every edge is dead", node.key))
    }

    /// An execution that succeeded left no node undecided, nor did its iterations.
    fn check_complete(&self, graph: &Graph<'_>) -> Result<(), String> {
        let prefixes: BTreeSet<&str> = self.runs.keys().map(|(prefix, _)| prefix.as_str()).collect();
        for prefix in prefixes {
            let path = NodePath::from(prefix);
            let owner = (!prefix.is_empty()).then(|| path.key());
            if owner.is_some() && !self.loop_succeeded(prefix) {
                continue;
            }
            for node in &graph.flow.nodes {
                let inside = graph.owner(&node.key) == owner && !node.node_type.starts_with("trigger.");
                let run = self.runs.get(&(prefix.to_owned(), node.key.clone()));
                if inside && run.is_none_or(|run| run.outcome.is_none()) {
                    return Err(format!("it succeeded, but `{prefix}.{}` never settled", node.key));
                }
            }
        }
        Ok(())
    }

    /// Whether the loop of this iteration, and all around it, ended well.
    fn loop_succeeded(&self, prefix: &str) -> bool {
        let (outer, last) = prefix.rsplit_once('.').unwrap_or(("", prefix));
        let key = last.split('[').next().unwrap_or_default();
        let run = self.runs.get(&(outer.to_owned(), key.to_owned()));
        let well = run.is_some_and(|run| {
            run.outcome.as_ref().is_some_and(|(_, outcome)| outcome.delivers(Some("done")))
        });
        well && (outer.is_empty() || self.loop_succeeded(outer))
    }

    /// Whether an edge was delivered (`true`) or dead (`false`) before entry `seq`.
    fn edge(&self, prefix: &str, edge: &Incoming<'_>, seq: u64) -> Option<bool> {
        if edge.enters {
            return Some(true);
        }
        if edge.from == "start" {
            return Some(true);
        }
        let run = self.runs.get(&(prefix.to_owned(), edge.from.to_owned()))?;
        let (at, outcome) = run.outcome.as_ref()?;
        (*at < seq).then(|| outcome.delivers(edge.port))
    }
}

/// What an entry says of a node.
struct Reading {
    outcome: Outcome,
    /// Whether, if it is about one element, it is about the whole node too.
    of_element_ends_node: bool,
}

fn reading<'a>(event: &'a JournalEvent, graph: &Graph<'_>) -> Option<(&'a NodePath, Option<Reading>)> {
    let whole = |outcome| Some(Reading { outcome, of_element_ends_node: false });
    match event {
        JournalEvent::AttemptStarted { path, .. } | JournalEvent::NodeWaiting { path, .. } => {
            Some((path, None))
        }
        JournalEvent::NodeSucceeded { path, ports, .. } => Some((path, whole(Outcome::Left(ports.clone())))),
        JournalEvent::NodeSkipped { path } => Some((path, whole(Outcome::Skipped))),
        JournalEvent::NodeCancelled { path } => Some((path, whole(Outcome::Nothing))),
        JournalEvent::NodeFailed { error, retry_at: Some(_) } => Some((&error.node, None)),
        JournalEvent::NodeFailed { error, retry_at: None } => {
            let on_error = graph.node(error.node.key()).map_or(OnError::Fail, |node| node.on_error);
            let outcome = match on_error {
                OnError::Continue => Outcome::Left(Vec::new()),
                OnError::Branch => Outcome::Left(vec!["error".to_owned()]),
                OnError::Fail => Outcome::Nothing,
            };
            let of_element_ends_node = on_error != OnError::Continue;
            Some((&error.node, Some(Reading { outcome, of_element_ends_node })))
        }
        JournalEvent::Input { .. }
        | JournalEvent::Warning { .. }
        | JournalEvent::Responded { .. }
        | JournalEvent::Called { .. }
        | JournalEvent::Logged { .. }
        | JournalEvent::Finished { .. } => None,
    }
}

fn key_of<'a>(graph: &Graph<'a>, node: &Node) -> &'a str {
    graph.node(&node.key).map_or("", |node| node.key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::Sample;

    fn check_changed(change: impl Fn(&mut Vec<JournalEvent>), expect: &str) {
        let sample = Sample::run();
        let mut events: Vec<_> = sample.entries.iter().map(|entry| entry.event.clone()).collect();
        change(&mut events);
        let entries = events.into_iter().zip(0..).map(|(event, seq)| flux_model::journal::Entry {
            seq,
            at: sample.at,
            event,
        });
        let kept = Kept { row: sample.row(), entries: entries.collect() };
        let found = check(&kept, sample.plan.flow());
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    fn about(event: &JournalEvent, key: &str) -> bool {
        let graph_free = Flow {
            flux: 1,
            name: String::new(),
            description: None,
            nodes: Vec::new(),
            edges: Vec::new(),
            settings: Default::default(),
        };
        reading(event, &Graph::of(&graph_free)).is_some_and(|(path, _)| path.as_str() == key)
    }

    #[test]
    fn joins_and_dead_paths_that_go_wrong_are_noticed() {
        let path = || NodePath::root("n4");
        check_changed(|_| (), "");
        check_changed(|events| events.retain(|event| !about(event, "n4")), "never settled");
        check_changed(|events| events.retain(|event| !about(event, "n2")), "no edge was delivered");
        check_changed(
            |events| {
                events.retain(|event| !about(event, "n4"));
                events.insert(events.len() - 1, JournalEvent::AttemptStarted { path: path(), attempt: 1 });
            },
            "no edge was delivered",
        );
        check_changed(
            |events| {
                events.retain(|event| !about(event, "n3"));
                events.insert(2, JournalEvent::NodeSkipped { path: NodePath::root("n3") });
            },
            "is skipped",
        );
        check_changed(
            |events| events.insert(events.len() - 1, JournalEvent::NodeSkipped { path: path() }),
            "a second time",
        );
    }
}
