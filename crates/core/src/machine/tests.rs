//! Flows run by hand: events in, effects out, time as a number.

use std::sync::Arc;
use std::time::Duration;

use flux_model::effect::Effect;
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::{Event, TaskOutput, TimerKey};
use flux_model::execution::{ExecutionResult, ExecutionStatus, WaitOn};
use flux_model::flow::Flow;
use flux_model::journal::JournalEvent;
use flux_model::review::{Decision, ReviewAction};
use flux_model::{ExecutionId, NodePath, Timestamp, Value};
use serde_json::{Value as Json, json};

use super::{Execution, step};
use crate::plan::{Plan, plan};
use crate::test_catalog::catalog;

fn plan_of(nodes: Json, edges: &str, settings: Json) -> Arc<Plan> {
    let edges: Vec<Json> = edges
        .split(", ")
        .filter(|edge| !edge.is_empty())
        .map(|edge| edge.split_once(" > ").map(|(from, to)| json!({"from": from, "to": to})).unwrap())
        .collect();
    let flow: Flow =
        serde_json::from_value(json!({"name": "f", "nodes": nodes, "edges": edges, "settings": settings}))
            .unwrap();
    let planned = plan(&flow, &catalog());
    planned.plan.unwrap_or_else(|| panic!("{:?}", planned.diagnostics))
}

/// An execution in the hands of a test.
struct Run {
    state: Option<Execution>,
    now: Timestamp,
    /// What the last event asked for, records apart.
    asked: Vec<Effect>,
    /// Everything recorded so far.
    records: Vec<JournalEvent>,
    /// Everything applied so far, with its time.
    applied: Vec<(Timestamp, Event)>,
}

impl Run {
    fn start(nodes: Json, edges: &str, input: Json) -> Self {
        Self::start_with(nodes, edges, json!({}), input)
    }

    fn start_with(nodes: Json, edges: &str, settings: Json, input: Json) -> Self {
        let mut run = Self::queued(plan_of(nodes, edges, settings));
        run.send(Event::Started { input: input.into(), recorded: None });
        run
    }

    fn queued(plan: Arc<Plan>) -> Self {
        let state = Execution::new(plan, ExecutionId::from_bits(42));
        let now = Timestamp::from_millis(1_000_000);
        Self { state: Some(state), now, asked: Vec::new(), records: Vec::new(), applied: Vec::new() }
    }

    fn send(&mut self, event: Event) -> bool {
        let next = step(self.state.take().unwrap(), self.now, event.clone());
        assert!(next.applied || next.effects.is_empty(), "an event that does not fit has no effects");
        self.asked.clear();
        for effect in next.effects {
            match effect {
                Effect::Record(record) => self.records.push(record),
                other => self.asked.push(other),
            }
        }
        if next.applied {
            self.applied.push((self.now, event));
        }
        self.state = Some(next.state);
        next.applied
    }

    fn state(&self) -> &Execution {
        self.state.as_ref().unwrap()
    }

    fn after(&mut self, ms: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(ms);
        self
    }

    fn done(&mut self, path: &str, attempt: u32, value: Json) -> bool {
        let result = Ok(TaskOutput::main(value.into()));
        self.send(Event::Completed { path: path.into(), attempt, result })
    }

    fn failed(&mut self, path: &str, attempt: u32, failure: Failure) -> bool {
        self.send(Event::Completed { path: path.into(), attempt, result: Err(failure) })
    }

    fn fire(&mut self, timer: TimerKey) -> bool {
        self.send(Event::TimerFired { timer })
    }

    /// What the last event asked for, in short.
    fn asks(&self) -> String {
        let short = |effect: &Effect| match effect {
            Effect::Record(_) => String::new(),
            Effect::Run(call) => format!("run {}#{}", call.path, call.attempt),
            Effect::Abort { path, attempt } => format!("abort {path}#{attempt}"),
            Effect::SetTimer { key, at } => {
                format!("timer {} +{}", timer_name(key), at.since(self.now).as_millis())
            }
            Effect::ClearTimer { key } => format!("clear {}", timer_name(key)),
            Effect::OpenReview(request) => format!("review {}", request.path),
            Effect::CloseReview { status, .. } => format!("close {status:?}"),
            Effect::StartChild(call) => format!("child {}", call.path),
            Effect::CancelChild { .. } => "cancel child".to_owned(),
            Effect::SendSignal { path, name, .. } => format!("signal {path} {name}"),
            Effect::Respond(response) => format!("respond {} {}", response.status, response.body),
            Effect::Finish(result) => match result {
                ExecutionResult::Succeeded { output } => format!("succeeded {output}"),
                ExecutionResult::Failed { error } => format!("failed {} {}", error.node, error.code),
                ExecutionResult::Cancelled { reason } => format!("cancelled {reason}"),
            },
        };
        self.asked.iter().map(short).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn expect(&self, asks: &str) {
        assert_eq!(self.asks(), asks);
    }

    fn config_of(&self, path: &str) -> Value {
        let call = self.asked.iter().find_map(|effect| match effect {
            Effect::Run(call) if call.path.as_str() == path => Some(call),
            _ => None,
        });
        call.unwrap_or_else(|| panic!("{path} was not asked for: {}", self.asks())).config.clone()
    }

    fn skipped(&self) -> Vec<&str> {
        let skipped = self.records.iter().filter_map(|record| match record {
            JournalEvent::NodeSkipped { path } => Some(path.as_str()),
            _ => None,
        });
        skipped.collect()
    }

    /// Folding the events that were applied must give the same records and the same state.
    fn check_replay(&self) {
        let mut replay = Self::queued(self.state().plan().clone());
        for (at, event) in &self.applied {
            replay.now = *at;
            assert!(replay.send(event.clone()), "{event:?} does not fit any more");
        }
        assert_eq!(replay.records, self.records);
        assert_eq!(replay.state().status(), self.state().status());
        assert_eq!(replay.state().waits(99), self.state().waits(99));
    }
}

fn timer_name(key: &TimerKey) -> String {
    match key {
        TimerKey::Delay { path } => format!("delay {path}"),
        TimerKey::Retry { path, attempt } => format!("retry {path}#{attempt}"),
        TimerKey::NodeTimeout { path, .. } => format!("timeout {path}"),
        TimerKey::ReviewExpiry { path } => format!("expiry {path}"),
        TimerKey::SignalTimeout { path } => format!("signal {path}"),
        TimerKey::ExecutionTimeout => "execution".to_owned(),
        TimerKey::CancelGrace => "grace".to_owned(),
    }
}

fn node(key: &str, node_type: &str, config: Json) -> Json {
    json!({"key": key, "type": node_type, "config": config})
}

fn trigger() -> Json {
    node("t", "trigger.manual", Json::Null)
}

fn task(key: &str) -> Json {
    node(key, "task", Json::Null)
}

fn retryable() -> Failure {
    Failure::retryable(ErrorCode::EgressTimeout, "too slow")
}

fn permanent() -> Failure {
    Failure::permanent(ErrorCode::HttpStatus, "no")
}

fn decide(path: &str, action: ReviewAction, expected_version: u32) -> Event {
    let decision = Decision {
        action,
        content: None,
        comment: Some("ok".into()),
        decided_by: "ada".into(),
        expected_version,
    };
    Event::Decided { path: path.into(), decision }
}

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
    run.expect("run a#2");
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
    let child_of = |run: &Run| match &run.asked[0] {
        Effect::StartChild(call) => call.child,
        other => panic!("{other:?}"),
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
    run.expect("abort a#1, timer grace +5000");
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

#[test]
fn a_queued_execution_can_be_cancelled() {
    let mut run = Run::queued(plan_of(json!([trigger(), task("a")]), "t > a", json!({})));
    assert_eq!(run.state().status(), ExecutionStatus::Queued);
    assert!(run.send(Event::CancelRequested { reason: "never mind".into() }));
    run.expect("cancelled never mind");
    assert!(!run.send(Event::Started { input: Value::Null, recorded: None }));
    let _: NodePath = "a".into();
}
