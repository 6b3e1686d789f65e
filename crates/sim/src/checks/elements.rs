//! Nodes that run once per element: never more elements at the same time than the flow allows, and
//! the outputs in the order of the elements, whatever order they ended in.

use std::collections::{BTreeMap, BTreeSet};

use flux_model::event::Event;
use flux_model::flow::{Flow, Node};
use flux_model::journal::JournalEvent;
use flux_model::limits::ELEMENT_CONCURRENCY_DEFAULT;
use flux_model::{NodePath, Value};

use super::durable::Kept;
use crate::violation::Violation;

/// Checks one execution against its flow.
pub(crate) fn check(kept: &Kept, flow: &Flow) -> Result<(), Violation> {
    let mut progress =
        Progress { flow, open: BTreeMap::new(), outputs: BTreeMap::new(), answers: BTreeMap::new() };
    for entry in &kept.entries {
        let found = progress.entry(&entry.event);
        found.map_err(|what| {
            Violation::new("elements", format!("{} entry {}: {what}", kept.row.id, entry.seq))
        })?;
    }
    Ok(())
}

/// Elements of nodes, by the path of the node.
struct Progress<'a> {
    flow: &'a Flow,
    open: BTreeMap<String, BTreeSet<u32>>,
    outputs: BTreeMap<String, BTreeMap<u32, Value>>,
    /// The latest answer to each attempt: where the output is, if not in the conclusion.
    answers: BTreeMap<NodePath, Value>,
}

impl Progress<'_> {
    fn entry(&mut self, event: &JournalEvent) -> Result<(), String> {
        match event {
            JournalEvent::Input { input: Event::Completed { path, result: Ok(output), .. } } => {
                self.answers.insert(path.clone(), output.value.clone());
                Ok(())
            }
            JournalEvent::AttemptStarted { path, .. } | JournalEvent::NodeWaiting { path, .. } => {
                self.element(path).map_or(Ok(()), |(of, index)| self.begins(&of, index, path))
            }
            JournalEvent::NodeFailed { error, retry_at } => {
                let Some((of, index)) = self.element(&error.node) else { return Ok(()) };
                self.begins(&of, index, &error.node)?;
                if retry_at.is_none() {
                    self.ends(&of, index, Value::object([("error", Value::from_serialize(error))]));
                }
                Ok(())
            }
            JournalEvent::NodeSucceeded { path, output, .. } => match self.element(path) {
                Some((of, index)) => {
                    self.begins(&of, index, path)?;
                    let output = output.clone().or_else(|| self.answers.get(path).cloned());
                    self.ends(&of, index, output.unwrap_or_default());
                    Ok(())
                }
                None => self.whole(path, output.as_ref()),
            },
            JournalEvent::Input { .. }
            | JournalEvent::NodeSkipped { .. }
            | JournalEvent::NodeCancelled { .. }
            | JournalEvent::Warning { .. }
            | JournalEvent::Responded { .. }
            | JournalEvent::Called { .. }
            | JournalEvent::Logged { .. }
            | JournalEvent::Finished { .. } => Ok(()),
        }
    }

    fn node(&self, key: &str) -> Option<&Node> {
        self.flow.nodes.iter().find(|node| node.key == key)
    }

    /// The node's path and the element's number, if the path is that of an element of a `for_each`.
    fn element(&self, path: &NodePath) -> Option<(String, u32)> {
        let last = path.segments().last()?;
        let node = self.node(last.key).filter(|node| node.for_each.is_some())?;
        let (of, _) = path.as_str().rsplit_once('[')?;
        of.ends_with(&node.key).then_some((of.to_owned(), last.index?))
    }

    fn begins(&mut self, of: &str, index: u32, path: &NodePath) -> Result<(), String> {
        let max = self.node(path.key()).and_then(|node| node.for_each_concurrency);
        let max = max.unwrap_or(ELEMENT_CONCURRENCY_DEFAULT) as usize;
        let open = self.open.entry(of.to_owned()).or_default();
        open.insert(index);
        if open.len() > max { Err(format!("{} elements of {of} run, {max} may", open.len())) } else { Ok(()) }
    }

    fn ends(&mut self, of: &str, index: u32, output: Value) {
        self.open.entry(of.to_owned()).or_default().remove(&index);
        self.outputs.entry(of.to_owned()).or_default().insert(index, output);
    }

    /// A node ended well with all its elements.
    fn whole(&mut self, path: &NodePath, output: Option<&Value>) -> Result<(), String> {
        let Some(node) = self.node(path.key()) else { return Ok(()) };
        let Some(output) = output.and_then(Value::as_array) else { return Ok(()) };
        let counts = node.config.get("collect").and_then(Value::as_str) == Some("{{ index }}");
        let expected: Vec<Value> = if node.for_each.is_some() {
            let outputs = self.outputs.remove(path.as_str()).unwrap_or_default();
            outputs.into_values().collect()
        } else if node.node_type == "logic.loop" && counts {
            (0..output.len() as u64).map(Value::from).collect()
        } else {
            return Ok(());
        };
        if expected == output {
            Ok(())
        } else {
            Err(format!("{path} gives {output:?}, its elements {expected:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use flux_model::event::TaskOutput;
    use serde_json::json;

    use super::*;
    use crate::checks::sample::{Sample, started};

    fn done(index: u32) -> Event {
        let output = TaskOutput::main(Value::from(u64::from(index) + 10));
        Event::Completed { path: NodePath::root("n1").element(index), attempt: 1, result: Ok(output) }
    }

    fn check_order(change: impl Fn(&mut Vec<JournalEvent>), expect: &str) {
        let nodes = json!([
            {"key": "start", "type": "trigger.manual"},
            {"key": "n1", "type": "task", "for_each": "{{ [1, 2, 3] }}", "for_each_concurrency": 2}
        ]);
        let sample = Sample::of(nodes, &["start > n1"], vec![started(), done(1), done(0), done(2)]);
        let mut events: Vec<_> = sample.entries.iter().map(|entry| entry.event.clone()).collect();
        change(&mut events);
        let entries = events.into_iter().zip(0..);
        let entries = entries.map(|(event, seq)| flux_model::journal::Entry { seq, at: sample.at, event });
        let kept = Kept { row: sample.row(), entries: entries.collect() };
        let found = check(&kept, sample.plan.flow());
        match expect {
            "" => assert_eq!(found, Ok(())),
            expect => assert!(found.clone().unwrap_err().what.contains(expect), "{found:?}"),
        }
    }

    #[test]
    fn too_many_elements_and_their_order_are_noticed() {
        let third = JournalEvent::AttemptStarted { path: NodePath::root("n1").element(2), attempt: 1 };
        check_order(|_| (), "");
        check_order(|events| events.insert(3, third.clone()), "3 elements of n1 run, 2 may");
        check_order(
            |events| {
                for event in events.iter_mut() {
                    if let JournalEvent::NodeSucceeded { output: Some(output), .. } = event {
                        *output =
                            Value::array(vec![Value::from(11_u64), Value::from(10_u64), Value::from(12_u64)]);
                    }
                }
            },
            "its elements",
        );
    }
}
