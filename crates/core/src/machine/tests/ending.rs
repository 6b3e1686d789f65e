//! Cancellation, failure, timeouts and limits of whole executions.

use flux_model::Value;
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::{Event, TimerKey};
use flux_model::execution::ExecutionStatus;
use flux_model::journal::JournalEvent;
use serde_json::{Value as Json, json};

use super::{Run, node, permanent, plan_of, task, trigger};

#[test]
fn cancelling_stops_attempts_with_grace() {
    let nodes = json!([
        trigger(),
        task("a"),
        node("d", "logic.delay", json!({"ms": 9_000})),
        node("r", "human.review", json!({"title": "?"}))
    ]);
    let edges = "t > a, t > d, t > r";
    let cancel = || Event::CancelRequested { reason: "stop".into() };
    let mut run = Run::start(nodes.clone(), edges, Json::Null);
    assert!(run.send(cancel()));
    run.expect("abort a#1, clear delay d, close Withdrawn, timer grace +5000");
    assert_eq!(run.state().status(), ExecutionStatus::Running, "the attempt is given its grace");
    assert!(!run.send(cancel()));
    assert!(run.failed("a", 1, Failure::permanent(ErrorCode::Cancelled, "stopped")));
    run.expect("cancelled stop");
    run.check_replay();
    let mut hung = Run::start(nodes, edges, Json::Null);
    hung.send(cancel());
    hung.after(5_000).fire(TimerKey::CancelGrace);
    assert_eq!(hung.state().status(), ExecutionStatus::Cancelled);
    hung.check_replay();
}

#[test]
fn a_failure_takes_the_rest_down() {
    let nodes = json!([trigger(), task("a"), task("b"), node("d", "logic.delay", json!({"ms": 9_000}))]);
    let mut run = Run::start(nodes, "t > a, t > b, t > d", Json::Null);
    run.failed("a", 1, permanent());
    run.expect("abort b#1, clear delay d, timer grace +5000");
    run.done("b", 1, json!("done after all"));
    run.expect("failed a http_status");
    run.check_replay();
}

#[test]
fn an_execution_has_a_timeout() {
    let mut run =
        Run::start_with(json!([trigger(), task("a")]), "t > a", json!({"timeout_ms": 100}), Json::Null);
    run.expect("timer execution +100, run a#1");
    run.after(100).fire(TimerKey::ExecutionTimeout);
    run.expect("abort a#1, clear execution, timer grace +5000");
    run.failed("a", 1, permanent());
    run.expect("failed a execution_timeout");
    run.check_replay();
}

#[test]
fn an_execution_has_a_bound_on_steps_and_warns_at_half() {
    let nodes = json!([trigger(), {"key": "a", "type": "data.transform", "for_each": "{{ t }}", "config": {"expression": "{{ item }}"}}]);
    let items: Vec<u32> = (0..20).collect();
    let run = Run::start_with(nodes.clone(), "t > a", json!({"steps_max": 10}), json!(items));
    run.expect("failed a[10] execution_limit");
    let warnings = run
        .records
        .iter()
        .filter(|record| matches!(record, JournalEvent::Warning { code: ErrorCode::ExecutionLimit, .. }));
    assert_eq!(warnings.count(), 1);
    let fits = Run::start_with(nodes, "t > a", json!({"steps_max": 20}), json!(items));
    assert_eq!(fits.state().status(), ExecutionStatus::Succeeded);
}

#[test]
fn loops_within_loops_are_bounded_even_if_their_bodies_are_empty() {
    let nodes = json!([
        trigger(),
        node("outer", "logic.loop", json!({"items": "{{ t }}"})),
        node("inner", "logic.loop", json!({"items": "{{ t }}"}))
    ]);
    let items: Vec<u32> = (0..1_000).collect();
    let settings = json!({"steps_max": 5_000});
    let run = Run::start_with(nodes, "t > outer, outer.body > inner", settings, json!(items));
    run.expect("failed outer[4].inner[995] execution_limit");
}

#[test]
fn a_queued_execution_can_be_cancelled() {
    let mut run = Run::queued(plan_of(json!([trigger(), task("a")]), "t > a", json!({})));
    assert_eq!(run.state().status(), ExecutionStatus::Queued);
    assert!(run.send(Event::CancelRequested { reason: "never mind".into() }));
    run.expect("cancelled never mind");
    assert!(!run.send(Event::Started { input: Value::Null, recorded: None }));
}
