//! Every node type of the contract exists, with its fields and ports, and the planner takes it.

use flux_core::plan::{Catalog, plan};
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::flow::Flow;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{ErrorCode, NodeType, Purity, Shape, Value};
use serde_json::json;

use super::world::{World, call};
use crate::{Executor, NodeDefinition, Registry};

fn named(names: &[&str]) -> Ports {
    Ports::Named { names: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// Type, purity, config fields (required ones with `!`), known output members.
const CONTRACT: &[(&str, Purity, &str, &str)] = &[
    ("trigger.manual", Purity::Pure, "input_schema", ""),
    (
        "trigger.webhook",
        Purity::Pure,
        "path! method respond signature allow_ips timeout_ms raw",
        "body headers query params method raw",
    ),
    (
        "trigger.schedule",
        Purity::Pure,
        "cron every_ms timezone overlap catch_up_ms",
        "scheduled_at previous_at",
    ),
    (
        "trigger.function",
        Purity::Pure,
        "route! method auth answer cors rate_limit input_schema timeout_ms",
        "input headers user method",
    ),
    ("trigger.form", Purity::Pure, "path! title! description schema! submit_label success_message", ""),
    (
        "http.request",
        Purity::Effect,
        "method url! query headers auth body response fail_on_status pagination timeout_ms redirects_max idempotency_key",
        "status headers body",
    ),
    ("data.set", Purity::Pure, "values! keep", ""),
    ("data.transform", Purity::Pure, "expression!", ""),
    ("data.markdown", Purity::Pure, "content! to", "content"),
    ("logic.if", Purity::Pure, "condition!", ""),
    ("logic.switch", Purity::Pure, "cases! mode", ""),
    ("logic.filter", Purity::Pure, "items! where!", "items count"),
    ("logic.merge", Purity::Pure, "mode", ""),
    ("logic.loop", Purity::Pure, "items! concurrency collect", ""),
    ("logic.delay", Purity::Wait, "ms until", "waited_ms"),
    ("flow.respond", Purity::Pure, "status headers body", ""),
    ("flow.call", Purity::Wait, "flow! input wait", ""),
    ("flow.signal", Purity::Wait, "action name! execution payload timeout_ms", ""),
    (
        "human.review",
        Purity::Wait,
        "title! content! context assignees expires_in_ms on_expiry",
        "content comment decided_by",
    ),
    ("code.run", Purity::Effect, "code! input", ""),
    ("function.call", Purity::Effect, "function! input bundle headers user", "output response"),
];

fn find(name: &str) -> NodeType {
    let types = Registry::standard().catalog_types();
    types.into_iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is missing"))
}

fn sorted(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().collect();
    words.sort();
    words
}

#[test]
fn the_registry_is_the_contract() {
    assert_eq!(Registry::standard().catalog_types().len(), CONTRACT.len());
    for (name, purity, fields, members) in CONTRACT {
        let entry = find(name);
        assert_eq!(entry.purity, *purity, "{name}");
        assert_eq!(entry.kind == NodeKind::Trigger, name.starts_with("trigger."), "{name}");
        let schema = &entry.config_schema;
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let found = schema["properties"].as_object().unwrap().iter().map(|(field, property)| {
            assert!(property["description"].is_string(), "{name}.{field} has no description");
            let mark = if required.contains(&json!(field)) { "!" } else { "" };
            format!("{field}{mark}")
        });
        assert_eq!(sorted(found), sorted(fields.split_whitespace().map(str::to_owned)), "{name}");
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        let known = match entry.output {
            Shape::Object { fields, .. } => fields.into_keys().collect(),
            Shape::Any | Shape::Boolean | Shape::Number | Shape::Text | Shape::Array { .. } => Vec::new(),
        };
        assert_eq!(sorted(known), sorted(members.split_whitespace().map(str::to_owned)), "{name}");
    }
}

#[test]
fn ports_and_special_fields_are_the_contract() {
    for (name, _, _, _) in CONTRACT {
        let ports = match *name {
            "logic.if" => named(&["true", "false"]),
            "logic.switch" => Ports::PerEntry { field: "cases".to_owned() },
            "logic.loop" => named(&["body", "done"]),
            "human.review" => named(&["approved", "rejected", "revise", "expired"]),
            _ => Ports::Main,
        };
        assert_eq!(find(name).ports, ports, "{name}");
        let per_element: &[&str] = match *name {
            "logic.filter" => &["where"],
            "logic.loop" => &["collect"],
            _ => &[],
        };
        assert_eq!(find(name).per_element_fields, per_element, "{name}");
        let secret: &[&str] = match *name {
            "http.request" => &["url", "query.*", "headers.*", "auth.*", "body.**"],
            "trigger.webhook" => &["signature.secret"],
            _ => &[],
        };
        assert_eq!(find(name).secret_fields, secret, "{name}");
    }
}

fn check_plan(node_type: &str, config: serde_json::Value, expected: &[(ErrorCode, &str)]) {
    let flow: Flow = serde_json::from_value(json!({
        "name": "f",
        "nodes": [{"key": "t", "type": "trigger.manual"}, {"key": "n", "type": node_type, "config": config}],
        "edges": [{"from": "t", "to": "n"}],
    }))
    .unwrap();
    let planned = plan(&flow, &Catalog::new(Registry::standard().catalog_types()));
    let found: Vec<(ErrorCode, &str)> = planned
        .diagnostics
        .iter()
        .map(|found| (found.code, found.field.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(found, expected, "{node_type} {config}: {:?}", planned.diagnostics);
}

#[test]
fn the_planner_reads_the_schemas() {
    let body = json!({"method": "POST", "url": "{{ t.u }}", "query": {"a": [1, "{{ t.x }}"]},
        "auth": {"kind": "bearer", "token": "{{ secrets.k }}"}, "body": {"json": {"a": "{{ t.y }}"}},
        "fail_on_status": [404], "pagination": {"kind": "offset", "limit": 10}});
    check_plan("http.request", body, &[]);
    check_plan("http.request", json!({"url": "x", "fail_on_status": 500, "body": null}), &[]);
    check_plan(
        "http.request",
        json!({"method": "GTE", "url": "x"}),
        &[(ErrorCode::ConfigInvalid, "config.method")],
    );
    check_plan("http.request", json!({}), &[(ErrorCode::ConfigMissing, "config.url")]);
    check_plan("http.request", json!({"url": "x", "bdy": 1}), &[(ErrorCode::ConfigUnknown, "config.bdy")]);
    let auth = json!({"url": "x", "auth": {"kind": "query", "name": "key"}});
    check_plan("http.request", auth, &[(ErrorCode::ConfigMissing, "config.auth.value")]);
    check_plan("human.review", json!({"title": "a", "content": "b", "on_expiry": "approve"}), &[]);
    check_plan(
        "flow.signal",
        json!({"action": "shout", "name": "x"}),
        &[(ErrorCode::ConfigInvalid, "config.action")],
    );
    check_plan("logic.delay", json!({"ms": "soon"}), &[(ErrorCode::ConfigInvalid, "config.ms")]);
    check_plan("logic.delay", json!({"ms": "{{ t.ms }}"}), &[]);
    check_plan("data.set", json!({"values": {"a": "{{ t.x }}"}, "keep": "all"}), &[]);
}

#[test]
fn trigger_configs_are_checked_by_their_adapters() {
    let registry = Registry::standard();
    for (node_type, config, expected) in [
        ("trigger.schedule", json!({"cron": "0 9 * * *"}), None),
        ("trigger.schedule", json!({"cron": "0 25 * * *"}), Some("config.cron")),
        ("trigger.webhook", json!({"path": "a/{"}), Some("config.path")),
        ("trigger.manual", json!({"input_schema": {"type": "x"}}), Some("config.input_schema")),
        ("trigger.form", json!({"path": "a", "title": "b", "schema": {}}), Some("config.schema.properties")),
        ("data.set", json!({"values": {}}), None),
        ("data.set", json!({}), Some("config.values")),
        ("data.sat", json!({}), Some("")),
    ] {
        let found = registry.check(node_type, &Value::from(config)).err();
        let field = found.map(|found| found[0].field.clone().unwrap_or_default());
        assert_eq!(field.as_deref(), expected, "{node_type}");
    }
}

#[test]
fn pure_tasks_run_without_a_runtime() {
    let registry = Registry::standard();
    let done =
        registry.run_pure(&call("data.markdown", Value::from(json!({"content": "*a*"})))).unwrap().unwrap();
    assert_eq!(done.value.to_json(), r#"{"content":"<p><em>a</em></p>\n"}"#);
    let wrong =
        registry.run_pure(&call("data.markdown", Value::from(json!({"content": 1})))).unwrap().unwrap_err();
    assert_eq!(wrong.code, ErrorCode::NodeConfig);
    assert!(registry.run_pure(&call("http.request", Value::Null)).is_none());
    assert!(registry.run_pure(&call("logic.if", Value::Null)).is_none());
}

#[tokio::test]
async fn what_cannot_run_here_says_so() {
    let world = World::new();
    for (node_type, config, code) in [
        ("code.run", json!({"code": "return 1"}), ErrorCode::RuntimeMissing),
        ("code.run", json!({}), ErrorCode::NodeConfig),
        ("function.call", json!({"function": "f", "input": 1}), ErrorCode::RuntimeMissing),
        ("function.call", json!({"funktion": "f"}), ErrorCode::NodeConfig),
        ("logic.if", json!({}), ErrorCode::UnknownNodeType),
        ("slack.post", json!({}), ErrorCode::UnknownNodeType),
    ] {
        let done = world.run(node_type, Value::from(config)).await;
        assert_eq!(done.result.unwrap_err().code, code, "{node_type}");
    }
}

struct Broken;

impl NodeDefinition for Broken {
    const NAME: &'static str = "test.broken";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Panics.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Pure(panic);

    type Config = Value;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}

fn panic(_: Value) -> Result<TaskOutput, Failure> {
    panic!("a fault")
}

#[tokio::test]
async fn a_fault_in_an_executor_ends_the_attempt_only() {
    let mut world = World::new();
    world.registry.register::<Broken>();
    let done = world.run("test.broken", Value::Null).await;
    assert_eq!(done.result.unwrap_err().code, ErrorCode::Internal);
}
