//! Order, branches, merges, templates and reruns.

use flux_model::Value;
use flux_model::error::ErrorCode;
use flux_model::event::Event;
use flux_model::execution::ExecutionStatus;
use flux_model::journal::JournalEvent;
use serde_json::{Value as Json, json};

use super::{Run, node, permanent, task, trigger};

#[test]
fn tasks_run_in_order_and_the_last_output_is_the_result() {
    let mut run = Run::start(json!([trigger(), task("a"), task("b")]), "t > a, a > b", json!({"x": 1}));
    run.expect("run a#1");
    assert!(run.done("a", 1, json!("A")));
    run.expect("run b#1");
    run.done("b", 1, json!({"y": 2}));
    run.expect(r#"succeeded {"y":2}"#);
    assert_eq!(run.state().status(), ExecutionStatus::Succeeded);
    run.check_replay();
}

#[test]
fn a_second_delivery_changes_nothing() {
    let mut run = Run::start(json!([trigger(), task("a"), task("b")]), "t > a, a > b", Json::Null);
    assert!(!run.send(Event::Started { input: Value::Null, recorded: None }));
    assert!(run.done("a", 1, json!(1)));
    assert!(!run.done("a", 1, json!(2)));
    assert!(!run.done("b", 2, json!(2)), "an attempt that was never started");
    assert!(!run.done("nobody", 1, json!(2)));
    assert!(run.done("b", 1, json!(3)));
    assert!(!run.done("b", 1, json!(4)));
    assert!(!run.send(Event::CancelRequested { reason: "late".into() }), "a terminal state never changes");
    run.check_replay();
}

#[test]
fn pure_nodes_are_evaluated_within_the_step() {
    let nodes = json!([
        trigger(),
        node("set", "data.set", json!({"values": {"total": "{{ t.a + t.b }}"}, "keep": "all"})),
        node("big", "logic.if", json!({"condition": "{{ set.total > 10 }}"})),
        node("yes", "data.transform", json!({"expression": "{{ input.a }}"})),
        node("no", "data.transform", json!({"expression": "small"})),
        node("answer", "flow.respond", json!({"status": 201, "body": {"total": "{{ set.total }}"}})),
    ]);
    let edges = "t > set, set > big, big.true > yes, big.false > no, yes > answer, no > answer";
    let run = Run::start(nodes.clone(), edges, json!({"a": 7, "b": 8}));
    run.expect(r#"respond 201 {"total":15}, succeeded {"total":15}"#);
    assert_eq!(run.skipped(), ["no"]);
    run.check_replay();
    let run = Run::start(nodes, edges, json!({"a": 1, "b": 2}));
    assert_eq!(run.skipped(), ["yes"]);
}

#[test]
fn dead_paths_skip_what_only_they_lead_to() {
    let nodes = json!([
        trigger(),
        node("if", "logic.if", json!({"condition": false})),
        task("a"),
        task("b"),
        task("c"),
        task("join"),
    ]);
    let mut run =
        Run::start(nodes, "t > if, if.true > a, a > b, if.false > c, b > join, c > join", Json::Null);
    run.expect("run c#1");
    assert_eq!(run.skipped(), ["a", "b"]);
    run.done("c", 1, json!("C"));
    run.expect("run join#1");
}

#[test]
fn parallel_branches_meet_in_a_merge() {
    let merged = |mode: &str| {
        json!([trigger(), task("a"), task("b"), node("m", "logic.merge", json!({"mode": mode})), task("z")])
    };
    let edges = "t > a, t > b, a > m, b > m, m > z";
    let mut all = Run::start(merged("all"), edges, Json::Null);
    all.expect("run a#1, run b#1");
    all.done("b", 1, json!("B"));
    all.expect("");
    all.done("a", 1, json!("A"));
    all.expect("run z#1");
    all.done("z", 1, json!(null));
    all.check_replay();
    let mut first = Run::start(merged("first"), edges, Json::Null);
    first.done("b", 1, json!("B"));
    first.expect("run z#1");
    first.done("a", 1, json!("A"));
    first.expect("");
    first.done("z", 1, json!("Z"));
    first.expect(r#"succeeded "Z""#);
    first.check_replay();
}

#[test]
fn a_switch_leaves_by_the_first_case_or_by_all() {
    let nodes = |mode: &str| {
        let cases = json!([
            {"name": "a", "when": "{{ t.n > 1 }}"}, {"name": "b", "when": "{{ t.n > 2 }}"}
        ]);
        json!([
            trigger(),
            node("s", "logic.switch", json!({"cases": cases, "mode": mode})),
            task("x"),
            task("y"),
            task("z")
        ])
    };
    let edges = "t > s, s.a > x, s.b > y, s.default > z";
    Run::start(nodes("first"), edges, json!({"n": 3})).expect("run x#1");
    Run::start(nodes("all"), edges, json!({"n": 3})).expect("run x#1, run y#1");
    Run::start(nodes("all"), edges, json!({"n": 0})).expect("run z#1");
}

#[test]
fn a_rerun_takes_over_what_is_not_downstream() {
    let nodes = json!([
        trigger(),
        task("a"),
        task("b"),
        task("c"),
        node("if", "logic.if", json!({"condition": true})),
        task("y"),
        task("n")
    ]);
    let edges = "t > a, a > b, b > c, t > if, if.true > y, if.false > n";
    let mut first = Run::start(nodes, edges, json!({"k": 1}));
    first.done("a", 1, json!("A"));
    first.done("y", 1, json!("Y"));
    first.failed("b", 1, permanent());
    let outputs = first.state().outputs_before("b");
    let keys: Vec<&str> = outputs.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["t", "a", "if", "y"]);
    let recorded = flux_model::event::Recorded {
        execution: first.state().id(),
        from_node: "b".into(),
        outputs: outputs.into_iter().collect(),
    };
    let mut rerun = Run::queued(first.state().plan().clone());
    rerun.send(Event::Started { input: json!({"k": 1}).into(), recorded: Some(recorded) });
    rerun.expect("run b#1");
    rerun.done("b", 1, json!("B"));
    rerun.expect("run c#1");
    rerun.check_replay();
}

#[test]
fn templates_that_lead_nowhere_warn_or_fail() {
    let nodes = json!([trigger(), node("a", "task", json!({"x": "{{ t.no.where }}"}))]);
    let lenient = Run::start(nodes.clone(), "t > a", json!({}));
    assert_eq!(lenient.config_of("a").to_json(), r#"{"x":null}"#);
    let warned = |record: &JournalEvent| {
        matches!(record, JournalEvent::Warning { code: ErrorCode::TemplateReference, .. })
    };
    assert!(lenient.records.iter().any(warned));
    Run::start_with(nodes, "t > a", json!({"strict": true}), json!({})).expect("failed a template_failed");
}

#[test]
fn only_the_first_answer_is_sent() {
    let nodes = json!([
        trigger(),
        node("a", "flow.respond", json!({"body": 1})),
        node("b", "flow.respond", json!({"body": 2}))
    ]);
    let run = Run::start(nodes, "t > a, a > b", Json::Null);
    run.expect("respond 200 1, succeeded 1");
    assert!(
        run.records
            .iter()
            .any(|record| matches!(record, JournalEvent::Warning { code: ErrorCode::Conflict, .. }))
    );
}
