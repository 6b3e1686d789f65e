//! Nodes that run once per element: `for_each`, and loops with a body.

use std::collections::BTreeSet;

use flux_model::Value;
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::journal::JournalEvent;
use flux_model::limits::ELEMENT_CONCURRENCY_MAX;
use flux_model::path::NodePath;

use super::evaluate::{At, wrong};
use super::pure_nodes::elements;
use super::scope::element_value;
use super::state::{Elements, Iteration, NodeState, Phase, Place, Work};
use super::turn::{Job, Turn};
use crate::bounds::check_output;

impl Turn {
    /// A node with `for_each` begins.
    pub(super) fn begin_each(&mut self, at: At) {
        let concurrency = self.node(at.place).element_concurrency;
        let items = self.for_each_items(&at).and_then(|items| elements("for_each", &items));
        match items {
            Ok(items) => {
                self.set_state(at.place, NodeState::Each(Elements::over(items, concurrency)));
                self.refill_later(at.place);
            }
            Err(failure) => self.fail_attempt(&at, failure),
        }
    }

    /// A loop begins.
    pub(super) fn begin_loop(&mut self, at: At) {
        let items = self.config(&at).and_then(|config| {
            let concurrency = loop_concurrency(config.get("concurrency"))?;
            Ok((elements("items", config.get("items").unwrap_or(&Value::Null))?, concurrency))
        });
        match items {
            Ok((items, concurrency)) => {
                self.set_state(at.place, NodeState::Looping(Elements::over(items, concurrency)));
                self.refill_later(at.place);
            }
            Err(failure) => self.fail_attempt(&at, failure),
        }
    }

    /// Begins elements up to the node's concurrency; settles the node when all are done.
    pub(super) fn refill(&mut self, place: Place) {
        // An element that begins may end the execution; then no further one begins.
        while matches!(self.exec.phase, Phase::Active) {
            match self.next_element(place) {
                Next::Element(item, index) => {
                    let path = self.path(place).element(index);
                    self.start(At { place, path, attempt: 1, element: Some((item, index)) });
                }
                Next::Iteration(item, index) => self.open_iteration(place, item, index),
                Next::Done(output) => {
                    let path = self.path(place);
                    if let Err(failure) = check_output(&output.value) {
                        self.fail_attempt(&At { place, path, attempt: 1, element: None }, failure);
                        return;
                    }
                    let (ports, value) = (output.ports.clone(), output.value.clone());
                    self.record(JournalEvent::NodeSucceeded { path, ports, output: Some(value) });
                    self.settle(place, NodeState::Succeeded(output));
                    return;
                }
                Next::Nothing => return,
            }
        }
    }

    fn next_element(&mut self, place: Place) -> Next {
        let Some(scope) = self.exec.scopes.get_mut(&place.run) else { return Next::Nothing };
        match &mut scope.nodes[place.slot].state {
            NodeState::Each(elements) => match elements.take() {
                Some((item, index)) => Next::Element(item, index),
                None if elements.is_done() => Next::Done(TaskOutput::main(elements.outputs())),
                None => Next::Nothing,
            },
            NodeState::Looping(elements) => match elements.take() {
                Some((item, index)) => Next::Iteration(item, index),
                None if elements.is_done() => Next::Done(TaskOutput::by("done", elements.outputs())),
                None => Next::Nothing,
            },
            NodeState::Pending
            | NodeState::Working
            | NodeState::Succeeded(_)
            | NodeState::Recovered(_)
            | NodeState::Failed
            | NodeState::Skipped
            | NodeState::Cancelled => Next::Nothing,
        }
    }

    /// One element of a node is done.
    pub(super) fn element_done(&mut self, place: Place, index: u32, output: Value) {
        let Some(scope) = self.exec.scopes.get_mut(&place.run) else { return };
        if let NodeState::Each(elements) | NodeState::Looping(elements) = &mut scope.nodes[place.slot].state {
            elements.under_way -= 1;
            elements.outputs[index as usize] = output;
            self.jobs.push_back(Job::Refill(place));
        }
    }

    fn open_iteration(&mut self, place: Place, item: Value, index: u32) {
        let plan = self.exec.plan.clone();
        let owner = self.node_index(place);
        let path = self.path(place).element(index);
        // Iterations count too: a body may hold nothing that does, and loops multiply.
        if let Err(failure) = self.count_step() {
            self.fail_execution(&At { place, path, attempt: 1, element: None }, failure);
            return;
        }
        let value = element_value(&item, index);
        let Some(body) = plan.nodes[owner].body else { return };
        let iteration = Iteration { parent: place, path, index, item: item.clone() };
        let run = self.open_scope(body, Some(iteration));
        for edge in &plan.nodes[owner].outgoing {
            if plan.edges[*edge].port.as_deref() == Some("body") {
                self.deliver(run, *edge, value.clone());
            }
        }
        if let Some(scope) = self.exec.scopes.get_mut(&run) {
            scope.last_output = item;
            if scope.unsettled == 0 {
                self.jobs.push_back(Job::CloseScope(run));
            }
        }
    }

    /// An iteration is done: its result is collected and its scope run forgotten.
    pub(super) fn close_iteration(&mut self, run: u32) {
        let Some(scope) = self.exec.scopes.get(&run) else { return };
        let Some(Iteration { parent, index, item, .. }) = scope.iteration.clone() else { return };
        let last = scope.last_output.clone();
        let collected = self.collect(run, parent, item, index);
        self.exec.scopes.remove(&run);
        match collected {
            None => self.element_done(parent, index, last),
            Some(Ok(value)) => self.element_done(parent, index, value),
            Some(Err(failure)) => {
                let at = At { place: parent, path: self.path(parent), attempt: 1, element: None };
                self.fail_attempt(&at, failure);
            }
        }
    }

    /// Evaluates the loop's `collect` where it sees the iteration's nodes.
    fn collect(
        &mut self,
        run: u32,
        parent: Place,
        item: Value,
        index: u32,
    ) -> Option<Result<Value, Failure>> {
        let plan = self.exec.plan.clone();
        let templated = plan.nodes[self.node_index(parent)].per_element.get("collect")?;
        let at = At {
            place: Place { run, slot: 0 },
            path: self.path(parent).element(index),
            attempt: 1,
            element: Some((item, index)),
        };
        let mut warnings = crate::template::Warnings::new();
        let rendered = templated.render(&self.scope(&at), &mut warnings);
        self.keep(&at, warnings);
        Some(rendered.map_err(Failure::from))
    }

    /// Stops every element of a node that is still under way, with all loops inside it.
    pub(super) fn drop_elements(&mut self, place: Place) {
        let mut runs = BTreeSet::new();
        // An inner scope run has a higher number than the one it is in, so one pass finds all.
        for (run, scope) in &self.exec.scopes {
            let parent = scope.iteration.as_ref().map(|iteration| iteration.parent);
            if parent.is_some_and(|parent| parent == place || runs.contains(&parent.run)) {
                runs.insert(*run);
            }
        }
        let belongs = |work: &Work| work.place == place || runs.contains(&work.place.run);
        let under_way = self.exec.active.iter().filter(|(_, work)| belongs(work));
        let paths: Vec<NodePath> = under_way.map(|(path, _)| path.clone()).collect();
        paths.iter().for_each(|path| self.abandon(path));
        self.exec.scopes.retain(|run, _| !runs.contains(run));
    }

    /// Delivers a value along one edge into a body.
    fn deliver(&mut self, run: u32, edge: usize, value: Value) {
        let plan = self.exec.plan.clone();
        let target = &plan.nodes[plan.edges[edge].to];
        let Some(scope) = self.exec.scopes.get_mut(&run) else { return };
        let node = &mut scope.nodes[target.slot];
        node.undecided = node.undecided.saturating_sub(1);
        node.delivered.push((edge, value));
        if node.undecided == 0 || target.join == crate::plan::Join::First {
            self.jobs.push_back(Job::Decide(Place { run, slot: target.slot }));
        }
    }
}

enum Next {
    Element(Value, u32),
    Iteration(Value, u32),
    Done(TaskOutput),
    Nothing,
}

impl Elements {
    fn over(items: std::sync::Arc<Vec<Value>>, concurrency: u32) -> Self {
        let outputs = vec![Value::Null; items.len()];
        Self { items, next: 0, under_way: 0, concurrency, outputs }
    }

    /// The next element to begin, if there is one and one more may be under way.
    fn take(&mut self) -> Option<(Value, u32)> {
        if self.under_way >= self.concurrency {
            return None;
        }
        let item = self.items.get(self.next)?.clone();
        let index = u32::try_from(self.next).ok()?;
        self.next += 1;
        self.under_way += 1;
        Some((item, index))
    }

    fn is_done(&self) -> bool {
        self.under_way == 0 && self.next == self.items.len()
    }

    fn outputs(&mut self) -> Value {
        Value::array(std::mem::take(&mut self.outputs))
    }
}

/// How many iterations run at the same time; one where the config does not say.
fn loop_concurrency(value: Option<&Value>) -> Result<u32, Failure> {
    match value {
        None | Some(Value::Null) => Ok(1),
        Some(value) => {
            let number = value.as_i64().and_then(|number| u32::try_from(number).ok());
            let valid = number.filter(|number| (1..=ELEMENT_CONCURRENCY_MAX).contains(number));
            valid.ok_or_else(|| wrong("concurrency", value, &format!("1 to {ELEMENT_CONCURRENCY_MAX}")))
        }
    }
}
