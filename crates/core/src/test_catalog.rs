//! Node types for the tests of this crate: one of each kind, with the schemas kept small.

use flux_model::Shape;
use flux_model::node_type::{NodeKind, NodeType, Ports, Purity};
use serde_json::json;

use crate::plan::Catalog;

/// A catalog with every kind of node.
pub(crate) fn catalog() -> Catalog {
    let named =
        |names: &[&str]| Ports::Named { names: names.iter().map(|name| (*name).to_owned()).collect() };
    let entry = |name: &str, kind, purity, ports| NodeType {
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
    };
    let http = NodeType {
        config_schema: json!({
            "type": "object",
            "properties": {"url": {"type": "string"}, "headers": {"type": "object"}, "method": {"type": "string"}},
            "required": ["url"],
            "additionalProperties": false
        }),
        output: Shape::object([("status", Shape::Number), ("headers", Shape::Any), ("body", Shape::Any)]),
        secret_fields: vec!["headers.*".to_owned()],
        ..entry("http.request", NodeKind::Task, Purity::Effect, Ports::Main)
    };
    let webhook = NodeType {
        output: Shape::object([("body", Shape::Any), ("headers", Shape::Any)]),
        ..entry("trigger.webhook", NodeKind::Trigger, Purity::Pure, Ports::Main)
    };
    let filter = NodeType {
        per_element_fields: vec!["where".to_owned()],
        output: Shape::object([("items", Shape::array(Shape::Any)), ("count", Shape::Number)]),
        ..entry("logic.filter", NodeKind::Filter, Purity::Pure, Ports::Main)
    };
    let looping = NodeType {
        per_element_fields: vec!["collect".to_owned()],
        ..entry("logic.loop", NodeKind::Loop, Purity::Pure, named(&["body", "done"]))
    };
    Catalog::new([
        entry("trigger.manual", NodeKind::Trigger, Purity::Pure, Ports::Main),
        webhook,
        http,
        filter,
        looping,
        entry("task", NodeKind::Task, Purity::Effect, Ports::Main),
        entry("pure", NodeKind::Task, Purity::Pure, Ports::Main),
        entry("logic.if", NodeKind::If, Purity::Pure, named(&["true", "false"])),
        entry("logic.switch", NodeKind::Switch, Purity::Pure, Ports::PerEntry { field: "cases".to_owned() }),
        entry("logic.merge", NodeKind::Merge, Purity::Pure, Ports::Main),
        entry("logic.delay", NodeKind::Delay, Purity::Wait, Ports::Main),
        entry("data.set", NodeKind::Set, Purity::Pure, Ports::Main),
        entry("data.transform", NodeKind::Transform, Purity::Pure, Ports::Main),
        entry("flow.respond", NodeKind::Respond, Purity::Effect, Ports::Main),
        entry("flow.call", NodeKind::Call, Purity::Wait, Ports::Main),
        entry("flow.signal", NodeKind::Signal, Purity::Wait, Ports::Main),
        entry(
            "human.review",
            NodeKind::Review,
            Purity::Wait,
            named(&["approved", "rejected", "revise", "expired"]),
        ),
    ])
}
