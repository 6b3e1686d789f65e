//! `for_each` and loops.

use serde_json::{Value as Json, json};

use super::{Run, node, permanent, task, trigger};

#[test]
fn for_each_runs_a_bounded_number_at_a_time_and_keeps_order() {
    let nodes = json!([trigger(), {
        "key": "a", "type": "task", "for_each": "{{ t.rows }}", "for_each_concurrency": 2,
        "config": {"id": "{{ item.id }}", "n": "{{ index }}"}
    }, task("z")]);
    let rows = json!({"rows": [{"id": "x"}, {"id": "y"}, {"id": "z"}]});
    let mut run = Run::start(nodes.clone(), "t > a, a > z", rows);
    run.expect("run a[0]#1, run a[1]#1");
    assert_eq!(run.config_of("a[1]").to_json(), r#"{"id":"y","n":1}"#);
    run.done("a[1]", 1, json!("B"));
    run.expect("run a[2]#1");
    run.done("a[2]", 1, json!("C"));
    run.done("a[0]", 1, json!("A"));
    run.expect("run z#1");
    run.check_replay();
    Run::start(nodes.clone(), "t > a, a > z", json!({"rows": []})).expect("run z#1");
    Run::start(nodes, "t > a, a > z", json!({"rows": 5})).expect("failed a node_input");
}

#[test]
fn one_failed_element_stops_the_others() {
    let nodes = |on_error: &str| json!([trigger(), {"key": "a", "type": "task", "for_each": "{{ t }}", "on_error": on_error}, task("z"), task("e")]);
    let mut run = Run::start(nodes("branch"), "t > a, a > z, a.error > e", json!([1, 2, 3]));
    run.failed("a[1]", 1, permanent());
    run.expect("abort a[0]#1, abort a[2]#1, run e#1");
    assert!(!run.done("a[0]", 1, json!(0)));
    let mut run = Run::start(nodes("continue"), "t > a, a > z, z > e", json!([1, 2]));
    run.failed("a[0]", 1, permanent());
    run.done("a[1]", 1, json!("B"));
    run.expect("run z#1");
    run.check_replay();
}

#[test]
fn a_loop_runs_its_body_per_element_and_collects() {
    let nodes = json!([
        trigger(),
        node("l", "logic.loop", json!({"items": "{{ t }}", "collect": "{{ work }}-{{ index }}"})),
        node("work", "task", json!({"x": "{{ item }}", "y": "{{ l.index }}", "last": "{{ loop.last }}"})),
        node("z", "data.transform", json!({"expression": "{{ l }}"})),
    ]);
    let mut run = Run::start(nodes, "t > l, l.body > work, work > l, l.done > z", json!(["a", "b"]));
    run.expect("run l[0].work#1");
    assert_eq!(run.config_of("l[0].work").to_json(), r#"{"x":"a","y":0,"last":false}"#);
    run.done("l[0].work", 1, json!("A"));
    run.expect("run l[1].work#1");
    assert_eq!(run.config_of("l[1].work").to_json(), r#"{"x":"b","y":1,"last":true}"#);
    run.done("l[1].work", 1, json!("B"));
    run.expect(r#"succeeded ["A-0","B-1"]"#);
    run.check_replay();
}

#[test]
fn loops_nest_and_an_inner_error_can_branch_outside() {
    let nodes = json!([
        trigger(),
        {"key": "o", "type": "logic.loop", "config": {"items": "{{ t }}", "concurrency": 2}, "on_error": "branch"},
        node("i", "logic.loop", json!({"items": "{{ item }}"})),
        task("work"),
        task("rescue"),
    ]);
    let edges = "t > o, o.body > i, i.body > work, o.error > rescue";
    let mut run = Run::start(nodes, edges, json!([[1, 2], [3]]));
    run.expect("run o[0].i[0].work#1, run o[1].i[0].work#1");
    run.done("o[0].i[0].work", 1, json!("x"));
    run.expect("run o[0].i[1].work#1");
    run.failed("o[0].i[1].work", 1, permanent());
    run.expect("abort o[1].i[0].work#1, run rescue#1");
    run.done("rescue", 1, json!("saved"));
    run.expect(r#"succeeded "saved""#);
    run.check_replay();
}

#[test]
fn an_empty_loop_is_done_at_once() {
    let nodes = json!([trigger(), node("l", "logic.loop", json!({"items": []})), task("w"), task("z")]);
    Run::start(nodes, "t > l, l.body > w, l.done > z", Json::Null).expect("run z#1");
}

#[test]
fn ten_thousand_iterations_do_not_exhaust_the_stack() {
    let nodes = json!([
        trigger(),
        node("l", "logic.loop", json!({"items": "{{ t }}"})),
        node("x", "data.transform", json!({"expression": "{{ item + 1 }}"})),
        node("n", "data.transform", json!({"expression": "{{ len(l) }}"})),
    ]);
    let items: Vec<u32> = (0..10_000).collect();
    let run = Run::start(nodes, "t > l, l.body > x, l.done > n", json!(items));
    run.expect("succeeded 10000");
    assert!(run.state().scopes.len() == 1, "iterations are forgotten");
}
