//! Failures, retries, timeouts and restarts.

use std::time::Duration;

use flux_model::effect::Effect;
use flux_model::error::Failure;
use flux_model::event::{Event, TimerKey};
use flux_model::execution::{ExecutionStatus, WaitOn};
use flux_model::review::ReviewAction;
use serde_json::{Value as Json, json};

use super::{Run, decide, node, permanent, retryable, task, trigger};

#[test]
fn failures_are_retried_with_growing_pauses() {
    let retry = json!({"attempts": 3, "initial_ms": 100, "factor": 3, "jitter": 0});
    let nodes = json!([trigger(), {"key": "a", "type": "task", "retry": retry}]);
    let mut run = Run::start(nodes, "t > a", Json::Null);
    run.failed("a", 1, retryable());
    run.expect("timer retry a#2 +100");
    assert_eq!(run.state().status(), ExecutionStatus::Waiting);
    let until = run.now + Duration::from_millis(100);
    assert_eq!(run.state().waits(9)[0].on, WaitOn::Timer { until });
    assert!(!run.fire(TimerKey::Retry { path: "a".into(), attempt: 3 }));
    assert!(run.after(100).fire(TimerKey::Retry { path: "a".into(), attempt: 2 }));
    run.expect("clear retry a#2, run a#2");
    run.failed("a", 2, Failure { retry_after_ms: Some(9_000), ..retryable() });
    run.expect("timer retry a#3 +9000");
    run.after(9_000).fire(TimerKey::Retry { path: "a".into(), attempt: 3 });
    run.failed("a", 3, retryable());
    run.expect("failed a egress_timeout");
    run.check_replay();
}

#[test]
fn permanent_failures_are_not_retried() {
    let nodes = json!([trigger(), {"key": "a", "type": "task", "retry": {"attempts": 9}}]);
    let mut run = Run::start(nodes, "t > a", Json::Null);
    run.failed("a", 1, permanent());
    run.expect("failed a http_status");
}

#[test]
fn an_error_fails_continues_or_branches() {
    let with = |on_error: &str, edges: &str| {
        let nodes = json!([trigger(), {"key": "a", "type": "task", "on_error": on_error}, task("next"), task("rescue")]);
        let mut run = Run::start(nodes, edges, Json::Null);
        run.failed("a", 1, permanent());
        run
    };
    with("fail", "t > a, a > next, next > rescue").expect("failed a http_status");
    with("continue", "t > a, a > next, next > rescue").expect("run next#1");
    let branched = with("branch", "t > a, a > next, a.error > rescue");
    branched.expect("run rescue#1");
    assert_eq!(branched.skipped(), ["next"]);
    branched.check_replay();
}

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_retried() {
    let nodes = json!([trigger(), {"key": "a", "type": "task", "timeout_ms": 50, "retry": {"attempts": 2, "initial_ms": 10, "jitter": 0}}]);
    let mut run = Run::start(nodes, "t > a", Json::Null);
    assert!(run.after(50).fire(TimerKey::NodeTimeout { path: "a".into(), attempt: 1 }));
    run.expect("abort a#1, timer retry a#2 +10");
    assert!(!run.done("a", 1, json!("too late")));
    run.after(10).fire(TimerKey::Retry { path: "a".into(), attempt: 2 });
    assert!(!run.fire(TimerKey::NodeTimeout { path: "a".into(), attempt: 1 }), "the first attempt is over");
    run.done("a", 2, json!("in time"));
    run.expect(r#"succeeded "in time""#);
}

#[test]
fn an_interrupted_at_most_once_effect_asks_a_person() {
    let nodes =
        json!([trigger(), {"key": "pay", "type": "task", "at_most_once": true}, task("z"), task("e")]);
    let interrupted = || {
        let mut run = Run::start(nodes.clone(), "t > pay, pay > z, z > e", Json::Null);
        assert_eq!(run.state().outstanding().len(), 1);
        assert!(run.send(Event::Recovered));
        run.expect("review pay");
        assert!(run.state().outstanding().is_empty(), "it is not run again");
        run
    };
    let mut happened = interrupted();
    happened.send(decide("pay", ReviewAction::Approve, 1));
    happened.expect("close Approved, run z#1");
    happened.check_replay();
    let mut did_not = interrupted();
    did_not.send(decide("pay", ReviewAction::Reject, 1));
    did_not.expect("close Rejected, failed pay outcome_unknown");
    let mut again = interrupted();
    again.send(decide("pay", ReviewAction::Revise, 1));
    again.expect("close Revised, run pay#2");
    again.check_replay();
}

#[test]
fn ordinary_work_is_asked_for_again_after_a_restart() {
    let nodes = json!([trigger(), task("a"), node("d", "logic.delay", json!({"ms": 10}))]);
    let mut run = Run::start_with(nodes, "t > a, t > d", json!({"timeout_ms": 60}), Json::Null);
    assert!(!run.send(Event::Recovered), "nothing needs a person");
    let outstanding: Vec<String> =
        run.state().outstanding().iter().map(|effect| format!("{effect:?}")).collect();
    let kinds: Vec<&str> = outstanding.iter().filter_map(|text| text.split([' ', '(']).next()).collect();
    assert_eq!(kinds, ["SetTimer", "Run", "SetTimer"]);
    let Effect::Run(call) = &run.state().outstanding()[1] else { panic!() };
    assert_eq!((call.attempt, call.idempotency_key.ends_with("/a")), (1, true));
}
