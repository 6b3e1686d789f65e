//! The runs of an execution's nodes, one per path.

use std::collections::BTreeMap;

use flux_model::error::NodeError;
use flux_model::event::Event;
use flux_model::execution::WaitOn;
use flux_model::flow::Flow;
use flux_model::journal::{Entry, JournalEvent};
use flux_model::{BoundaryCall, NodePath, Timestamp, Value};

/// One run of a node, or of one element of it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRun {
    /// Where.
    pub path: NodePath,
    /// The node type; empty if the flow has no such node.
    pub node_type: String,
    /// The display name.
    pub name: String,
    /// Where it stands.
    pub status: NodeRunStatus,
    /// Attempts that were started. Nodes that the machine computes itself have one.
    pub attempts: u32,
    /// When it first did something.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Its output, if it has one.
    pub output: Option<Value>,
    /// The error of its last failed attempt.
    pub error: Option<NodeError>,
    /// What it asked of the outside, each with its attempt.
    pub calls: Vec<(u32, BoundaryCall)>,
}

/// Where a node run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeRunStatus {
    /// An attempt runs.
    Running,
    /// An attempt failed, another one follows.
    Retrying {
        /// When.
        until: Timestamp,
    },
    /// It waits.
    Waiting {
        /// What for.
        on: WaitOn,
    },
    /// Ended well.
    Succeeded {
        /// By these ports; the main port if empty.
        ports: Vec<String>,
    },
    /// Ended with an error.
    Failed,
    /// No edge into it was delivered.
    Skipped,
    /// Stopped because the execution was.
    Cancelled,
}

/// The node runs, in the order in which they began. `flow` is the version the execution runs.
pub fn node_runs(entries: &[Entry], flow: &Flow) -> Vec<NodeRun> {
    let mut runs = Runs { flow, runs: Vec::new(), places: BTreeMap::new() };
    for entry in entries {
        runs.apply(entry);
    }
    runs.runs
}

struct Runs<'a> {
    flow: &'a Flow,
    runs: Vec<NodeRun>,
    places: BTreeMap<NodePath, usize>,
}

impl Runs<'_> {
    fn apply(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.event {
            JournalEvent::Input { input } => self.apply_input(input, at),
            JournalEvent::AttemptStarted { path, attempt } => {
                let run = self.run(path, at);
                run.status = NodeRunStatus::Running;
                run.attempts = *attempt;
            }
            JournalEvent::NodeSucceeded { path, ports, output } => {
                let run = self.run(path, at);
                run.status = NodeRunStatus::Succeeded { ports: ports.clone() };
                run.ended_at = Some(at);
                run.attempts = run.attempts.max(1);
                if output.is_some() {
                    run.output.clone_from(output);
                }
            }
            JournalEvent::NodeFailed { error, retry_at } => {
                let run = self.run(&error.node, at);
                run.error = Some(error.clone());
                run.attempts = run.attempts.max(error.attempt);
                run.output = None;
                run.status = match retry_at {
                    Some(until) => NodeRunStatus::Retrying { until: *until },
                    None => NodeRunStatus::Failed,
                };
                run.ended_at = retry_at.is_none().then_some(at);
            }
            JournalEvent::NodeSkipped { path } => self.end(path, at, NodeRunStatus::Skipped),
            JournalEvent::NodeCancelled { path } => self.end(path, at, NodeRunStatus::Cancelled),
            JournalEvent::NodeWaiting { path, wait } => {
                self.run(path, at).status = NodeRunStatus::Waiting { on: wait.clone() };
            }
            JournalEvent::Called { path, attempt, call } => {
                self.run(path, at).calls.push((*attempt, call.clone()));
            }
            JournalEvent::Warning { .. }
            | JournalEvent::Responded { .. }
            | JournalEvent::Logged { .. }
            | JournalEvent::Finished { .. } => {}
        }
    }

    /// The output of a task is in the event that completed it, the trigger's in the first event.
    fn apply_input(&mut self, input: &Event, at: Timestamp) {
        match input {
            Event::Completed { path, result: Ok(output), .. } => {
                self.run(path, at).output = Some(output.value.clone());
            }
            Event::Started { input, .. } => {
                let is_trigger = |node: &&flux_model::flow::Node| node.node_type.starts_with("trigger.");
                let Some(trigger) = self.flow.nodes.iter().find(is_trigger) else { return };
                let path = NodePath::root(&trigger.key);
                let run = self.run(&path, at);
                run.output = Some(input.clone());
                run.attempts = 1;
                run.status = NodeRunStatus::Succeeded { ports: Vec::new() };
                run.ended_at = Some(at);
            }
            Event::Completed { result: Err(_), .. }
            | Event::TimerFired { .. }
            | Event::Decided { .. }
            | Event::Signalled { .. }
            | Event::ChildStarted { .. }
            | Event::ChildEnded { .. }
            | Event::CancelRequested { .. }
            | Event::LimitExceeded { .. }
            | Event::Recovered => {}
        }
    }

    fn end(&mut self, path: &NodePath, at: Timestamp, status: NodeRunStatus) {
        let run = self.run(path, at);
        run.status = status;
        run.ended_at = Some(at);
    }

    fn run(&mut self, path: &NodePath, at: Timestamp) -> &mut NodeRun {
        let next = self.runs.len();
        let place = *self.places.entry(path.clone()).or_insert(next);
        if place == next {
            let node = self.flow.nodes.iter().find(|node| node.key == path.key());
            self.runs.push(NodeRun {
                path: path.clone(),
                node_type: node.map_or_else(String::new, |node| node.node_type.clone()),
                name: node.and_then(|node| node.name.clone()).unwrap_or_else(|| path.key().to_owned()),
                status: NodeRunStatus::Running,
                attempts: 0,
                started_at: at,
                ended_at: None,
                output: None,
                error: None,
                calls: Vec::new(),
            });
        }
        &mut self.runs[place]
    }
}
