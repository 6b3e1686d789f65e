//! The node types of the simulated world: one of each kind, none that reaches a network.

use flux_core::plan::Catalog;
use flux_model::Shape;
use flux_model::node_type::{NodeKind, NodeType, Ports, Purity};
use serde_json::json;

/// A catalog with every kind of node.
pub(crate) fn catalog() -> Catalog {
    let filter = NodeType {
        per_element_fields: vec!["where".to_owned()],
        ..entry("logic.filter", NodeKind::Filter, Purity::Pure, Ports::Main)
    };
    let looping = NodeType {
        per_element_fields: vec!["collect".to_owned()],
        ..entry("logic.loop", NodeKind::Loop, Purity::Pure, named(&["body", "done"]))
    };
    let cases = Ports::PerEntry { field: "cases".to_owned() };
    let review = named(&["approved", "rejected", "revise", "expired"]);
    Catalog::new([
        filter,
        looping,
        entry("trigger.manual", NodeKind::Trigger, Purity::Pure, Ports::Main),
        entry("task", NodeKind::Task, Purity::Effect, Ports::Main),
        entry("pure", NodeKind::Task, Purity::Pure, Ports::Main),
        entry("logic.if", NodeKind::If, Purity::Pure, named(&["true", "false"])),
        entry("logic.switch", NodeKind::Switch, Purity::Pure, cases),
        entry("logic.merge", NodeKind::Merge, Purity::Pure, Ports::Main),
        entry("logic.delay", NodeKind::Delay, Purity::Wait, Ports::Main),
        entry("data.set", NodeKind::Set, Purity::Pure, Ports::Main),
        entry("data.transform", NodeKind::Transform, Purity::Pure, Ports::Main),
        entry("flow.respond", NodeKind::Respond, Purity::Pure, Ports::Main),
        entry("flow.call", NodeKind::Call, Purity::Wait, Ports::Main),
        entry("flow.signal", NodeKind::Signal, Purity::Wait, Ports::Main),
        entry("human.review", NodeKind::Review, Purity::Wait, review),
    ])
}

fn named(names: &[&str]) -> Ports {
    Ports::Named { names: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn entry(name: &str, kind: NodeKind, purity: Purity, ports: Ports) -> NodeType {
    NodeType {
        name: name.to_owned(),
        version: 1,
        summary: name.to_owned(),
        kind,
        purity,
        ports,
        config_schema: json!({"type": "object"}),
        output: Shape::Any,
        secret_fields: Vec::new(),
        per_element_fields: Vec::new(),
    }
}
