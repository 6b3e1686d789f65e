//! What templates see of an execution: the roots of `docs/concepts/templates.md`.

use std::sync::Arc;

use flux_model::node_type::NodeKind;
use flux_model::{Timestamp, Value};

use super::state::{Execution, NodeState, Place};
use crate::template::{OnMissing, Scope};

/// The evaluation context of one node, or of one element of it.
pub(super) struct NodeScope<'a> {
    pub(super) exec: &'a Execution,
    pub(super) place: Place,
    pub(super) now: Timestamp,
    pub(super) attempt: u32,
    /// The element it runs for, where it runs once per element.
    pub(super) element: Option<(Value, u32)>,
}

impl Scope for NodeScope<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        match name {
            "trigger" => Some(self.exec.input.clone()),
            "input" => Some(self.input()),
            "vars" => Some(self.exec.vars()),
            "execution" => Some(self.execution()),
            "item" => self.item().map(|(item, _)| item),
            "index" => self.item().map(|(_, index)| Value::from(u64::from(index))),
            "loop" => self.enclosing_loop(),
            key => self.output_of(key),
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn root_names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["trigger", "input", "vars", "execution"].map(str::to_owned).to_vec();
        names.extend(self.exec.plan.by_key.keys().cloned());
        names
    }

    fn on_missing(&self) -> OnMissing {
        if self.exec.plan.settings().strict { OnMissing::Fail } else { OnMissing::Null }
    }
}

impl NodeScope<'_> {
    /// What the incoming edge carries; with several, the one that is first in the file.
    pub(super) fn input(&self) -> Value {
        let run = &self.exec.scopes[&self.place.run];
        // A loop's `collect` may be evaluated in a body that has no nodes.
        let delivered = run.nodes.get(self.place.slot).map(|node| &node.delivered);
        let first = delivered.and_then(|delivered| delivered.iter().min_by_key(|(edge, _)| *edge));
        match (first, self.place == self.exec.trigger_place()) {
            (Some((_, value)), _) => value.clone(),
            (None, true) => self.exec.input.clone(),
            (None, false) => Value::Null,
        }
    }

    fn execution(&self) -> Value {
        Value::object([
            ("id", Value::text(self.exec.id.to_string())),
            ("started_at", Value::text(self.exec.started_at.to_string())),
            ("attempt", Value::from(u64::from(self.attempt))),
            ("flow", Value::text(&self.exec.plan.flow().name)),
        ])
    }

    /// The element at hand: the node's own, else that of the loop it is in.
    fn item(&self) -> Option<(Value, u32)> {
        let of_loop = || {
            let iteration = self.exec.scopes[&self.place.run].iteration.as_ref()?;
            Some((iteration.item.clone(), iteration.index))
        };
        self.element.clone().or_else(of_loop)
    }

    fn enclosing_loop(&self) -> Option<Value> {
        let iteration = self.exec.scopes[&self.place.run].iteration.as_ref()?;
        let count = match &self.exec.node_state(iteration.parent)? {
            NodeState::Looping(elements) => elements.items.len() as u64,
            NodeState::Pending
            | NodeState::Working
            | NodeState::Each(_)
            | NodeState::Succeeded(_)
            | NodeState::Recovered(_)
            | NodeState::Failed
            | NodeState::Skipped
            | NodeState::Cancelled => 0,
        };
        let index = u64::from(iteration.index);
        Some(Value::object([
            ("item", iteration.item.clone()),
            ("index", Value::from(index)),
            ("count", Value::from(count)),
            ("first", Value::Bool(index == 0)),
            ("last", Value::Bool(index + 1 == count)),
        ]))
    }

    /// The output of the node `key`, looked for from this scope outwards. A node that did not run,
    /// or has not yet, is null.
    fn output_of(&self, key: &str) -> Option<Value> {
        let index = *self.exec.plan.by_key.get(key)?;
        let node = &self.exec.plan.nodes[index];
        let mut run = self.place.run;
        loop {
            let scope = self.exec.scopes.get(&run)?;
            if scope.scope == node.scope {
                return Some(output_in(&scope.nodes[node.slot].state));
            }
            let iteration = scope.iteration.as_ref()?;
            if node.kind == NodeKind::Loop && self.exec.plan.scopes[scope.scope].owner == Some(index) {
                return Some(element_value(&iteration.item, iteration.index));
            }
            run = iteration.parent.run;
        }
    }
}

/// What an edge into a loop's body carries.
pub(super) fn element_value(item: &Value, index: u32) -> Value {
    Value::object([("item", item.clone()), ("index", Value::from(u64::from(index)))])
}

fn output_in(state: &NodeState) -> Value {
    match state {
        NodeState::Succeeded(output) => output.value.clone(),
        NodeState::Recovered(error) => error.clone(),
        NodeState::Pending
        | NodeState::Working
        | NodeState::Each(_)
        | NodeState::Looping(_)
        | NodeState::Failed
        | NodeState::Skipped
        | NodeState::Cancelled => Value::Null,
    }
}

impl Execution {
    pub(super) fn trigger_place(&self) -> Place {
        Place { run: 0, slot: self.plan.nodes[self.plan.trigger].slot }
    }

    pub(super) fn node_state(&self, place: Place) -> Option<&NodeState> {
        Some(&self.scopes.get(&place.run)?.nodes.get(place.slot)?.state)
    }

    fn vars(&self) -> Value {
        let vars = &self.plan.settings().vars;
        let members = vars.iter().map(|(name, value)| (Arc::from(name.as_str()), value.clone()));
        Value::Object(Arc::new(members.collect()))
    }
}
