//! Flows in, diagnostics out.

use flux_model::error::ErrorCode;
use flux_model::flow::Flow;
use serde_json::{Value as Json, json};

use super::{Planned, plan};
use crate::test_catalog::catalog;

fn planned(nodes: Json, edges: &[&str], settings: Json) -> Planned {
    let edges: Vec<Json> = edges
        .iter()
        .map(|edge| edge.split_once(" > ").map(|(from, to)| json!({"from": from, "to": to})).unwrap())
        .collect();
    let flow: Flow =
        serde_json::from_value(json!({"name": "f", "nodes": nodes, "edges": edges, "settings": settings}))
            .unwrap();
    plan(&flow, &catalog())
}

/// Checks the diagnostics as `code node field`, in order.
fn check(nodes: Json, edges: &[&str], expect: &[&str]) {
    check_with(nodes, edges, json!({}), expect);
}

fn check_with(nodes: Json, edges: &[&str], settings: Json, expect: &[&str]) {
    let planned = planned(nodes, edges, settings);
    let shown: Vec<String> = planned
        .diagnostics
        .iter()
        .map(|d| {
            let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} {} {}", d.code, part(&d.node), part(&d.field))
        })
        .collect();
    assert_eq!(shown, expect, "{:#?}", planned.diagnostics);
    let only_warnings = expect.iter().all(|line| line.starts_with(ErrorCode::Unreachable.as_str()));
    assert_eq!(planned.plan.is_some(), only_warnings, "a plan exists exactly if nothing is an error");
}

fn suggestion(nodes: Json, edges: &[&str]) -> String {
    let planned = planned(nodes, edges, json!({}));
    planned.diagnostics[0].suggestion.clone().unwrap_or_default()
}

#[test]
fn a_flow_has_exactly_one_trigger() {
    let task = json!({"key": "a", "type": "task"});
    let trigger = |key: &str| json!({"key": key, "type": "trigger.manual"});
    check(json!([trigger("t"), task]), &["t > a"], &[]);
    check(json!([task]), &[], &["trigger_count - -"]);
    check(json!([trigger("t"), trigger("u"), task]), &["t > a", "u > a"], &["trigger_count u -"]);
}

#[test]
fn names_and_types_are_checked() {
    let t = json!({"key": "t", "type": "trigger.manual"});
    check(json!([t, {"key": "1a", "type": "task"}]), &["t > 1a"], &["node_key 1a key"]);
    check(json!([t, {"key": "input", "type": "task"}]), &["t > input"], &["node_key input key"]);
    check(json!([t, {"key": "t", "type": "task"}]), &[], &["node_key t key"]);
    check(json!([t, {"key": "a", "type": "taks"}]), &["t > a"], &["unknown_node_type a type"]);
    let near = suggestion(json!([t, {"key": "a", "type": "logic.fi"}]), &["t > a"]);
    assert_eq!(near, "did you mean `logic.if`?");
}

#[test]
fn edges_end_at_nodes_and_leave_by_ports() {
    let nodes = json!([
        {"key": "t", "type": "trigger.manual"},
        {"key": "check", "type": "logic.if", "config": {"condition": true}},
        {"key": "sw", "type": "logic.switch", "config": {"cases": [{"name": "big", "when": true}]}},
        {"key": "a", "type": "task"}
    ]);
    let ok = ["t > check", "check.true > sw", "sw.big > a", "sw.default > a"];
    check(nodes.clone(), &ok, &[]);
    let bad = |edge: &str| {
        let mut edges = ok.to_vec();
        edges.push(edge);
        check(nodes.clone(), &edges, &["edge_invalid - edges[4]"]);
    };
    bad("check > a");
    bad("check.ture > a");
    bad("sw.small > a");
    bad("a.error > sw");
    bad("nobody > a");
    bad("a > nobody");
    bad("a > t");
    bad("t > check");
    let near = suggestion(nodes.clone(), &["check.ture > a"]);
    assert_eq!(near, "did you mean `check.true`?");
    assert_eq!(suggestion(nodes, &["a.error > sw"]), "set `on_error: branch` on `a`");
}

#[test]
fn cycles_are_named_and_loops_are_not_cycles() {
    let task = |key: &str| json!({"key": key, "type": "task"});
    let t = json!({"key": "t", "type": "trigger.manual"});
    let nodes = json!([t, task("a"), task("b"), task("c")]);
    let cycle = planned(nodes, &["t > a", "a > b", "b > c", "c > b"], json!({}));
    assert!(cycle.diagnostics[0].message.contains("b → c → b"), "{:?}", cycle.diagnostics);
    let looped =
        json!([t, {"key": "l", "type": "logic.loop", "config": {"items": []}}, task("a"), task("z")]);
    check(looped.clone(), &["t > l", "l.body > a", "a > l", "l.done > z"], &[]);
    check(looped.clone(), &["t > l", "l.body > a", "l.done > z"], &[]);
    check(looped.clone(), &["t > l", "l.body > a", "t > a"], &["loop_body a -"]);
    check(looped, &["t > l", "l.body > a", "a > z", "l.done > z"], &["loop_body z -"]);
}

#[test]
fn nested_bodies_belong_to_the_inner_loop() {
    let nodes = json!([
        {"key": "t", "type": "trigger.manual"},
        {"key": "outer", "type": "logic.loop", "config": {"items": []}},
        {"key": "inner", "type": "logic.loop", "config": {"items": []}},
        {"key": "work", "type": "task"},
        {"key": "after", "type": "task", "config": {"x": "{{ inner[0] }} {{ outer.item }}"}}
    ]);
    let edges =
        ["t > outer", "outer.body > inner", "inner.body > work", "inner.done > after", "after > outer"];
    let planned = planned(nodes.clone(), &edges, json!({}));
    assert!(planned.diagnostics.is_empty(), "{:?}", planned.diagnostics);
    let made = planned.plan.unwrap();
    let owner =
        |key: &str| made.scopes[made.nodes[made.by_key[key]].scope].owner.map(|o| &*made.nodes[o].key);
    assert_eq!(
        [owner("work"), owner("after"), owner("inner")],
        [Some("inner"), Some("outer"), Some("outer")]
    );
    let skipping =
        ["t > outer", "outer.body > inner", "inner.body > work", "work > outer", "inner.done > after"];
    check(nodes, &skipping, &["loop_body work -"]);
}

#[test]
fn config_is_checked_against_its_schema() {
    let node = |config: Json| json!([{"key": "t", "type": "trigger.manual"}, {"key": "h", "type": "http.request", "config": config}]);
    check(node(json!({"url": "{{ t.url }}"})), &["t > h"], &[]);
    check(node(json!({})), &["t > h"], &["config_missing h config.url"]);
    check(node(json!({"url": 5})), &["t > h"], &["config_invalid h config.url"]);
    check(node(json!({"url": "x", "methd": "GET"})), &["t > h"], &["config_unknown h config.methd"]);
}

#[test]
fn templates_are_checked_before_anything_runs() {
    let nodes = |url: &str, header: &str| {
        json!([
            {"key": "t", "type": "trigger.webhook"},
            {"key": "first", "type": "http.request", "config": {"url": "x"}},
            {"key": "h", "type": "http.request", "config": {"url": url, "headers": {"x": header}}},
            {"key": "later", "type": "task"}
        ])
    };
    let edges = ["t > first", "first > h", "h > later"];
    let expect = |url: &str, header: &str, codes: &[&str]| check(nodes(url, header), &edges, codes);
    expect("{{ first.body.id }}{{ t.body.x }}{{ trigger.body }}", "{{ secrets.key }}", &[]);
    expect("{{ first.boddy }}", "", &["template_reference h config.url"]);
    expect("{{ later.x }}", "", &["template_reference h config.url"]);
    expect("{{ nobody.x }}", "", &["template_reference h config.url"]);
    expect("{{ secrets.key }}", "", &["template_reference h config.url"]);
    expect("{{ item }}", "", &["template_reference h config.url"]);
    expect("{{ first.body", "", &["template_syntax h config.url"]);
}

#[test]
fn what_a_loop_body_sees() {
    let nodes = |inside: &str, after: &str| {
        json!([
            {"key": "t", "type": "trigger.manual"},
            {"key": "l", "type": "logic.loop", "config": {"items": "{{ t.rows }}", "collect": "{{ work.body.id }}{{ index }}"}},
            {"key": "work", "type": "http.request", "config": {"url": inside}},
            {"key": "z", "type": "task", "config": {"x": after}}
        ])
    };
    let edges = ["t > l", "l.body > work", "l.done > z"];
    check(nodes("{{ item.a }}{{ index }}{{ loop.first }}{{ l.item }}{{ t.x }}", "{{ l[0] }}"), &edges, &[]);
    check(nodes("x", "{{ work.body }}"), &edges, &["template_reference z config.x"]);
    check(
        nodes("{{ loop.frist }}", "{{ item }}"),
        &edges,
        &["template_reference work config.url", "template_reference z config.x"],
    );
}

#[test]
fn settings_are_checked() {
    let nodes = json!([{"key": "t", "type": "trigger.webhook"}]);
    let with = |settings: Json, expect: &[&str]| check_with(nodes.clone(), &[], settings, expect);
    with(json!({"concurrency": {"key": "{{ t.body.id }}", "limit": 1}}), &[]);
    with(json!({"concurrency": {"limit": 0}}), &["setting_invalid - settings.concurrency.limit"]);
    with(
        json!({"rate_limit": {"limit": 0, "period_ms": 0}}),
        &["setting_invalid - settings.rate_limit.limit", "setting_invalid - settings.rate_limit.period_ms"],
    );
    with(
        json!({"debounce": {"period_ms": 10, "max_ms": 5}}),
        &["setting_invalid - settings.debounce.max_ms"],
    );
    with(
        json!({"concurrency": {"key": "{{ t.boddy }}", "limit": 1}}),
        &["template_reference - settings.concurrency.key"],
    );
    with(
        json!({"timeout_ms": 0, "steps_max": 0}),
        &["setting_invalid - settings.timeout_ms", "setting_invalid - settings.steps_max"],
    );
}

#[test]
fn node_settings_are_checked() {
    let node = |extra: Json| {
        let mut node = json!({"key": "a", "type": "task"});
        node.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([{"key": "t", "type": "trigger.manual"}, node])
    };
    let with = |extra: Json, expect: &[&str]| check(node(extra), &["t > a"], expect);
    with(json!({"retry": {"attempts": 0}}), &["setting_invalid a retry.attempts"]);
    with(json!({"retry": {"attempts": 3, "factor": 0.5}}), &["setting_invalid a retry.factor"]);
    with(json!({"retry": {"attempts": 3}, "at_most_once": true}), &["setting_invalid a retry"]);
    with(json!({"for_each_concurrency": 3}), &["setting_invalid a for_each_concurrency"]);
    with(json!({"timeout_ms": 0}), &["setting_invalid a timeout_ms"]);
    with(json!({"type": "logic.if", "for_each": "{{ t.x }}"}), &["setting_invalid a for_each"]);
    with(json!({"type": "logic.if", "on_error": "continue"}), &["setting_invalid a on_error"]);
}

#[test]
fn constants_are_known_where_the_flow_has_some() {
    let nodes = || {
        json!([
            {"key": "t", "type": "trigger.manual"},
            {"key": "h", "type": "task", "config": {"url": "{{ vars.crm_url }}"}}
        ])
    };
    check_with(nodes(), &["t > h"], json!({}), &[]);
    check_with(nodes(), &["t > h"], json!({"vars": {"crm_url": "x"}}), &[]);
    check_with(nodes(), &["t > h"], json!({"vars": {"url": "x"}}), &["template_reference h config.url"]);
}

#[test]
fn oversized_flows_are_refused_at_once() {
    let mut nodes = vec![json!({"key": "t", "type": "trigger.manual"})];
    nodes.extend((0..5_000).map(|n| json!({"key": format!("n{n}"), "type": "task"})));
    check(Json::Array(nodes), &[], &["flow_too_large - -"]);
}

#[test]
fn the_largest_flow_plans_in_reasonable_time() {
    let count = flux_model::limits::FLOW_NODES_MAX;
    let mut nodes = vec![json!({"key": "t", "type": "trigger.manual"})];
    nodes.extend((1..count).map(|n| {
        let before = if n == 1 { "t".to_owned() } else { format!("n{}", n - 1) };
        json!({"key": format!("n{n}"), "type": "task", "config": {"x": format!("{{{{ {before}.y }}}} {{{{ t.z }}}}")}})
    }));
    let edges: Vec<String> =
        (1..count).map(|n| if n == 1 { "t > n1".to_owned() } else { format!("n{} > n{n}", n - 1) }).collect();
    let edges: Vec<&str> = edges.iter().map(String::as_str).collect();
    check(Json::Array(nodes), &edges, &[]);
}

#[test]
fn the_plan_id_follows_content_and_type_versions() {
    let id = |nodes: Json| planned(nodes, &[], json!({})).plan.unwrap().id().to_owned();
    let one = id(json!([{"key": "t", "type": "trigger.manual"}]));
    assert_eq!(one, id(json!([{"key": "t", "type": "trigger.manual"}])));
    assert_ne!(one, id(json!([{"key": "u", "type": "trigger.manual"}])));
}
