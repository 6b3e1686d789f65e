//! Delays, reviews, signals and children.

use flux_model::effect::Effect;
use flux_model::event::{Event, TimerKey};
use flux_model::execution::{ExecutionResult, ExecutionStatus, WaitOn};
use flux_model::review::ReviewAction;
use flux_model::{ExecutionId, Value};
use serde_json::{Value as Json, json};

use super::{Run, decide, node, task, trigger};

#[test]
fn a_delay_waits_for_its_timer() {
    let nodes = json!([trigger(), node("d", "logic.delay", json!({"ms": 500})), task("a")]);
    let mut run = Run::start(nodes.clone(), "t > d, d > a", Json::Null);
    run.expect("timer delay d +500");
    assert_eq!(run.state().status(), ExecutionStatus::Waiting);
    run.after(700).fire(TimerKey::Delay { path: "d".into() });
    run.expect("clear delay d, run a#1");
    assert!(run.records.iter().any(|record| format!("{record:?}").contains(r#"{"waited_ms":700}"#)));
    run.check_replay();
    let past =
        json!([trigger(), node("d", "logic.delay", json!({"until": "1970-01-01T00:00:00Z"})), task("a")]);
    Run::start(past, "t > d, d > a", Json::Null).expect("run a#1");
    let wrong = json!([trigger(), node("d", "logic.delay", json!({"until": "soon"})), task("a")]);
    Run::start(wrong, "t > d, d > a", Json::Null).expect("failed d node_config");
}

#[test]
fn a_review_waits_for_a_decision_on_its_version() {
    let nodes = json!([
        trigger(),
        node(
            "r",
            "human.review",
            json!({"title": "Order {{ t.id }}", "content": "{{ t }}", "expires_in_ms": 1000})
        ),
        task("yes"),
        task("no"),
    ]);
    let edges = "t > r, r.approved > yes, r.rejected > no, r.expired > no";
    let mut run = Run::start(nodes.clone(), edges, json!({"id": 7}));
    run.expect("review r, timer expiry r +1000");
    assert!(!run.send(decide("r", ReviewAction::Approve, 2)), "another version was looked at");
    assert!(run.send(decide("r", ReviewAction::Approve, 1)));
    run.expect("close Approved, clear expiry r, run yes#1");
    assert!(!run.send(decide("r", ReviewAction::Reject, 1)), "the first decision stands");
    run.check_replay();
    let mut late = Run::start(nodes, edges, json!({"id": 7}));
    late.after(1_000).fire(TimerKey::ReviewExpiry { path: "r".into() });
    late.expect("close Expired, clear expiry r, run no#1");
}

#[test]
fn signals_wake_or_wait() {
    let nodes = json!([
        trigger(),
        task("a"),
        node("s", "flow.signal", json!({"name": "go", "timeout_ms": 50})),
        task("z")
    ]);
    let signal = |name: &str, id: &str| Event::Signalled {
        name: name.into(),
        payload: Value::from("p"),
        id: id.into(),
    };
    let mut early = Run::start(nodes.clone(), "t > a, a > s, s > z", Json::Null);
    assert!(early.send(signal("go", "1")));
    assert!(!early.send(signal("go", "1")), "the same signal twice is one");
    early.done("a", 1, Json::Null);
    early.expect("run z#1");
    let mut waiting = Run::start(nodes.clone(), "t > a, a > s, s > z", Json::Null);
    waiting.done("a", 1, Json::Null);
    waiting.expect("timer signal s +50");
    assert!(waiting.send(signal("other", "1")));
    assert_eq!(waiting.state().status(), ExecutionStatus::Waiting);
    waiting.send(signal("go", "2"));
    waiting.expect("clear signal s, run z#1");
    waiting.check_replay();
    let mut late = Run::start(nodes, "t > a, a > s, s > z", Json::Null);
    late.done("a", 1, Json::Null);
    late.after(50).fire(TimerKey::SignalTimeout { path: "s".into() });
    late.expect("clear signal s, failed s node_timeout");
}

#[test]
fn a_child_is_waited_for_or_not() {
    let nodes = |wait: bool| {
        json!([
            trigger(),
            node("c", "flow.call", json!({"flow": "g", "input": "{{ t }}", "wait": wait})),
            task("z")
        ])
    };
    let child_of = |run: &Run| {
        let Effect::StartChild(call) = &run.asked[0] else { panic!("{}", run.asks()) };
        call.child
    };
    let succeeded = |output: Json| ExecutionResult::Succeeded { output: output.into() };
    let mut run = Run::start(nodes(true), "t > c, c > z", json!(1));
    let child = child_of(&run);
    assert!(run.send(Event::ChildStarted { path: "c".into(), child }));
    assert_eq!(run.state().waits(9)[0].on, WaitOn::Child { execution: child });
    let other = ExecutionId::from_bits(9);
    assert!(!run.send(Event::ChildEnded { path: "c".into(), child: other, result: succeeded(json!(0)) }));
    run.send(Event::ChildEnded { path: "c".into(), child, result: succeeded(json!("r")) });
    run.expect("run z#1");
    run.check_replay();
    let mut overtaken = Run::start(nodes(true), "t > c, c > z", json!(1));
    let child = child_of(&overtaken);
    overtaken.send(Event::ChildEnded { path: "c".into(), child, result: succeeded(json!("r")) });
    overtaken.expect("run z#1");
    assert!(!overtaken.send(Event::ChildStarted { path: "c".into(), child }));
    let mut detached = Run::start(nodes(false), "t > c, c > z", json!(1));
    let child = child_of(&detached);
    detached.send(Event::ChildStarted { path: "c".into(), child });
    detached.expect("run z#1");
}
