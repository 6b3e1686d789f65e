//! How work moves through the graph: scope runs, edges delivered or dead, nodes begun or skipped.

use flux_model::Value;
use flux_model::event::TaskOutput;
use flux_model::journal::JournalEvent;
use flux_model::node_type::NodeKind;

use super::state::{Iteration, NodeRun, NodeState, Phase, Place, ScopeRun};
use super::turn::{Job, Turn};
use crate::plan::Join;

impl Turn {
    /// Works off the jobs until none is left or the execution is ending.
    pub(super) fn advance(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            if !matches!(self.exec.phase, Phase::Active) {
                self.jobs.clear();
                return;
            }
            match job {
                Job::Decide(place) => self.decide(place),
                Job::Refill(place) => self.refill(place),
                Job::CloseScope(run) => self.close_scope(run),
            }
        }
    }

    /// Opens the flow's own scope and settles the trigger with the input.
    pub(super) fn open_root(&mut self, input: Value) {
        let run = self.open_scope(0, None);
        let trigger = self.exec.plan.nodes[self.exec.plan.trigger].slot;
        self.settle(Place { run, slot: trigger }, NodeState::Succeeded(TaskOutput::main(input)));
    }

    /// Makes a run of a scope. Edges from nodes that cannot be reached are dead from the start.
    pub(super) fn open_scope(&mut self, scope: usize, iteration: Option<Iteration>) -> u32 {
        let plan = &self.exec.plan;
        let nodes = plan.scopes[scope].nodes.iter().map(|index| {
            let node = &plan.nodes[*index];
            let live = |edge: &&usize| plan.nodes[plan.edges[**edge].from].reachable;
            let undecided = node.incoming.iter().filter(live).count();
            let state = if node.reachable { NodeState::Pending } else { NodeState::Skipped };
            NodeRun { state, undecided, delivered: Vec::new() }
        });
        let nodes: Vec<NodeRun> = nodes.collect();
        let unsettled = nodes.iter().filter(|node| !node.state.is_settled()).count();
        let run = self.exec.scopes_made;
        self.exec.scopes_made += 1;
        let scope_run = ScopeRun { scope, iteration, nodes, unsettled, last_output: Value::Null };
        self.exec.scopes.insert(run, scope_run);
        run
    }

    fn decide(&mut self, place: Place) {
        let Some(scope) = self.exec.scopes.get(&place.run) else { return };
        let node = &scope.nodes[place.slot];
        if !matches!(node.state, NodeState::Pending) {
            return;
        }
        if node.delivered.is_empty() {
            self.record(JournalEvent::NodeSkipped { path: self.path(place) });
            self.settle(place, NodeState::Skipped);
        } else {
            self.begin(place);
        }
    }

    /// A node is over: its edges are delivered or dead, and its scope is one node nearer its end.
    pub(super) fn settle(&mut self, place: Place, state: NodeState) {
        let taken = match &state {
            NodeState::Succeeded(output) => Taken::by(&output.ports, output.value.clone()),
            NodeState::Recovered(error) => {
                let branches = self.node(place).on_error == flux_model::flow::OnError::Branch;
                let ports = if branches { vec!["error".to_owned()] } else { Vec::new() };
                Taken::by(&ports, error.clone())
            }
            NodeState::Skipped | NodeState::Failed | NodeState::Cancelled => Taken::Nothing,
            NodeState::Pending | NodeState::Working | NodeState::Each(_) | NodeState::Looping(_) => return,
        };
        let index = self.node_index(place);
        let Some(scope) = self.exec.scopes.get_mut(&place.run) else { return };
        scope.nodes[place.slot].state = state;
        scope.unsettled -= 1;
        if let Taken::Ports { value, .. } = &taken {
            scope.last_output = value.clone();
        }
        if scope.unsettled == 0 {
            self.jobs.push_back(Job::CloseScope(place.run));
        }
        self.send(place.run, index, &taken);
    }

    /// Delivers a node's value along the edges of the ports it was left by; its other edges die.
    /// The edges into a loop's body are not among them: iterations are entered in `elements`.
    pub(super) fn send(&mut self, run: u32, from: usize, taken: &Taken) {
        let plan = self.exec.plan.clone();
        let is_loop = plan.nodes[from].kind == NodeKind::Loop;
        let Some(scope) = self.exec.scopes.get_mut(&run) else { return };
        for edge in &plan.nodes[from].outgoing {
            let port = plan.edges[*edge].port.as_deref();
            if is_loop && port == Some("body") {
                continue;
            }
            let target = &plan.nodes[plan.edges[*edge].to];
            let node = &mut scope.nodes[target.slot];
            node.undecided = node.undecided.saturating_sub(1);
            if let Some(value) = taken.along(port) {
                node.delivered.push((*edge, value));
            }
            let first = target.join == Join::First && !node.delivered.is_empty();
            if node.undecided == 0 || first {
                self.jobs.push_back(Job::Decide(Place { run, slot: target.slot }));
            }
        }
    }
}

/// By which ports a node was left.
pub(super) enum Taken {
    /// By none: all edges are dead.
    Nothing,
    /// By these (the main port if there is none), carrying the value.
    Ports { ports: Vec<String>, value: Value },
}

impl Taken {
    fn by(ports: &[String], value: Value) -> Self {
        Self::Ports { ports: ports.to_vec(), value }
    }

    fn along(&self, port: Option<&str>) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Ports { ports, value } => {
                let taken = match port {
                    None => ports.is_empty(),
                    Some(port) => ports.iter().any(|taken| taken == port),
                };
                taken.then(|| value.clone())
            }
        }
    }
}
