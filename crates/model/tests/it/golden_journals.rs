//! The journal format against `protocol/journal/`: what is stored there must always be readable.
//!
//! The files are written once and then kept. A test that fails here means that journals of running
//! systems would be read differently: give the format a new version and a reading of the old one.

#![expect(clippy::disallowed_methods, reason = "golden files are read from the repository")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use flux_model::call::{BoundaryCall, CallKind};
use flux_model::effect::Response;
use flux_model::error::{ErrorAnswer, ErrorClass, ErrorCode, Failure, NodeError};
use flux_model::event::{Event, Recorded, TaskOutput, TimerKey};
use flux_model::execution::{ExecutionResult, WaitOn};
use flux_model::journal::{Entry, JournalEvent, LogLevel, Record};
use flux_model::review::{Decision, ReviewAction};
use flux_model::{ExecutionId, NodePath, ReviewId, Timestamp, Value};

/// What each committed file must decode to.
fn golden() -> BTreeMap<&'static str, Record> {
    BTreeMap::from([
        ("v1-answered.json", Record::new(numbered(0, answered())).0),
        ("v1-retried-and-failed.json", Record::new(numbered(0, retried_and_failed())).0),
        ("v1-waits.json", Record::new(numbered(12, waits())).0),
        ("v1-timers.json", Record::new(numbered(40, timers())).0),
        ("v1-rerun-and-cancelled.json", Record::new(numbered(0, rerun_and_cancelled())).0),
        ("v1-function-failed.json", Record::new(numbered(0, function_failed())).0),
        ("v1-limit-exceeded.json", Record::new(numbered(90, limit_exceeded())).0),
        ("v1-stored-value.json", Record::new(numbered(7, stored_value())).0),
    ])
}

#[test]
fn every_golden_journal_reads_and_writes_as_it_is() {
    for (name, expected) in golden() {
        let text = fs::read(folder().join(name)).unwrap_or_default();
        let as_written = String::from_utf8(expected.encode()).unwrap();
        let read = Record::decode(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{as_written}"));
        assert_eq!(read, expected, "{name} is read differently");
        assert_eq!(String::from_utf8(text).unwrap(), as_written, "{name} is written differently");
    }
}

#[test]
fn every_committed_file_is_tested() {
    let committed: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(committed, golden().into_keys().map(str::to_owned).collect());
}

#[test]
fn every_kind_of_entry_has_a_golden_case() {
    let text: String = golden().values().map(|record| String::from_utf8(record.encode()).unwrap()).collect();
    let kinds = [
        ("kind", variants::<JournalEvent>("kind")),
        ("event", variants::<Event>("event")),
        ("timer", variants::<TimerKey>("timer")),
        ("on", variants::<WaitOn>("on")),
        ("status", variants::<ExecutionResult>("status")),
    ];
    for (tag, names) in kinds {
        assert!(names.len() > 2, "serde no longer lists the variants: {names:?}");
        for name in names {
            assert!(text.contains(&format!(r#""{tag}":"{name}""#)), "no golden journal has {tag} `{name}`");
        }
    }
}

/// The names serde knows for the enum `T`, taken from its refusal of an unknown one, so that a new
/// variant cannot be forgotten here.
fn variants<T: serde::de::DeserializeOwned>(tag: &str) -> Vec<String> {
    let refusal =
        serde_json::from_str::<T>(&format!(r#"{{"{tag}":"?"}}"#)).err().map(|error| error.to_string());
    let known =
        refusal.as_deref().and_then(|text| text.split_once("expected")).map_or("", |(_, known)| known);
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocol/journal"))
}

/// Entries with these events: numbered from `first`, a millisecond apart.
fn numbered(first: u64, events: Vec<JournalEvent>) -> Vec<Entry> {
    (first..).zip(events).map(|(seq, event)| Entry { seq, at: at(seq.cast_signed()), event }).collect()
}

fn at(offset_ms: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + offset_ms)
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).expect("the test's JSON is valid")
}

fn input(input: Event) -> JournalEvent {
    JournalEvent::Input { input }
}

fn execution(random: u128) -> ExecutionId {
    ExecutionId::new(at(0), random)
}

fn answered() -> Vec<JournalEvent> {
    let order = json(r#"{"body":{"id":"A-17","total":1200.5,"ok":true,"note":null,"täg":["x",-3]}}"#);
    let customer = json(r#"{"status":200,"headers":{"x-page":"1"},"body":{"name":"Ada"}}"#);
    let call = BoundaryCall {
        kind: CallKind::Http,
        target: "GET https://crm.example.com/customers/7".into(),
        started_at: at(2),
        duration_us: 1_834,
        request: json(
            r#"{"method":"GET","url":"https://crm.example.com/customers/7","headers":{"authorization":"Bearer [secret:crm]"}}"#,
        ),
        result: Ok(customer.clone()),
        site: None,
    };
    let path = NodePath::root("customer");
    let response = Response {
        status: 201,
        headers: vec![("content-type".into(), "application/json".into())],
        body: json(r#"{"saved":true}"#),
    };
    vec![
        input(Event::Started { input: order, recorded: None }),
        JournalEvent::AttemptStarted { path: path.clone(), attempt: 1 },
        JournalEvent::Called { path: path.clone(), attempt: 1, call },
        JournalEvent::Logged {
            path: Some(path.clone()),
            level: LogLevel::Info,
            message: "found the customer".into(),
            fields: json(r#"{"name":"Ada"}"#),
        },
        JournalEvent::Logged {
            path: None,
            level: LogLevel::Debug,
            message: "bare".into(),
            fields: Value::Null,
        },
        input(Event::Completed { path: path.clone(), attempt: 1, result: Ok(TaskOutput::main(customer)) }),
        JournalEvent::NodeSucceeded { path, ports: Vec::new(), output: None },
        JournalEvent::NodeSucceeded {
            path: NodePath::root("large"),
            ports: vec!["true".into()],
            output: Some(json(r#"{"total":1200.5}"#)),
        },
        JournalEvent::NodeSkipped { path: NodePath::root("save") },
        JournalEvent::Warning {
            path: Some(NodePath::root("answer")),
            code: ErrorCode::TemplateReference,
            message: "`customer.body.nick` is not there".into(),
        },
        JournalEvent::Warning { path: None, code: ErrorCode::ExecutionLimit, message: "half way".into() },
        JournalEvent::Responded { response },
        JournalEvent::Finished { result: ExecutionResult::Succeeded { output: json(r#"{"saved":true}"#) } },
    ]
}

fn function_failed() -> Vec<JournalEvent> {
    let call = BoundaryCall {
        kind: CallKind::Database,
        target: "select stock".into(),
        started_at: at(3),
        duration_us: 210,
        request: json(r#"{"table":"stock","operation":"select","where":{"sku":"A-1"}}"#),
        result: Ok(json(r#"{"rows":[{"sku":"A-1","left":0}]}"#)),
        site: Some("functions/create_order.ts:12:20".into()),
    };
    let path = NodePath::root("run");
    let failure = Failure {
        stack: Some("Error: sold out\n    at functions/create_order.ts:14:11".into()),
        answer: Some(Box::new(ErrorAnswer { status: 409, code: "sold_out".into() })),
        ..Failure::permanent(ErrorCode::HttpStatus, "sold out")
    };
    vec![
        JournalEvent::Called { path: path.clone(), attempt: 1, call },
        input(Event::Completed { path, attempt: 1, result: Err(failure) }),
    ]
}

fn retried_and_failed() -> Vec<JournalEvent> {
    let path = NodePath::root("loop").element(3).child("send");
    let failure = Failure {
        provider_status: Some(503),
        retry_after_ms: Some(2_000),
        call: Some(0),
        ..Failure::retryable(ErrorCode::HttpStatus, "POST https://chat.example.com answered 503")
    };
    let error = |attempt: u32| NodeError {
        node: path.clone(),
        name: "Send it".into(),
        node_type: "http.request".into(),
        attempt,
        code: failure.code,
        message: failure.message.clone(),
        class: failure.class,
        provider_status: failure.provider_status,
        stack: failure.stack.clone(),
        at: at(9),
        call: failure.call,
        answer: failure.answer.clone(),
    };
    let last = NodeError {
        class: ErrorClass::Permanent,
        provider_status: None,
        stack: Some("at send (orders.ts:3:9)".into()),
        call: None,
        ..error(2)
    };
    let call = BoundaryCall {
        kind: CallKind::Signal,
        target: execution(5).to_string(),
        started_at: at(1),
        duration_us: 12,
        request: Value::Null,
        result: Err(failure.clone()),
        site: None,
    };
    vec![
        JournalEvent::Called { path: path.clone(), attempt: 1, call },
        input(Event::Completed { path: path.clone(), attempt: 1, result: Err(failure.clone()) }),
        JournalEvent::NodeFailed { error: error(1), retry_at: Some(at(2_009)) },
        input(Event::TimerFired { timer: TimerKey::Retry { path: path.clone(), attempt: 2 } }),
        JournalEvent::NodeFailed { error: last.clone(), retry_at: None },
        JournalEvent::Finished { result: ExecutionResult::Failed { error: last } },
    ]
}

fn waits() -> Vec<JournalEvent> {
    let (review, child) = (ReviewId::new(at(1), 1), execution(2));
    let waiting = |key: &str, wait: WaitOn| JournalEvent::NodeWaiting { path: NodePath::root(key), wait };
    let decision = |action, content, comment| Decision {
        action,
        content,
        comment,
        decided_by: "ada".into(),
        expected_version: 1,
    };
    let decided = |decision| input(Event::Decided { path: NodePath::root("sign_off"), decision });
    let ended = |result| input(Event::ChildEnded { path: NodePath::root("call"), child, result });
    vec![
        waiting("pause", WaitOn::Timer { until: at(60_000) }),
        waiting("sign_off", WaitOn::Review { review, until: Some(at(90_000)) }),
        waiting("sign_off", WaitOn::Review { review, until: None }),
        decided(decision(
            ReviewAction::Approve,
            Some(json(r#"{"text":"edited"}"#)),
            Some("looks right".into()),
        )),
        decided(decision(ReviewAction::Reject, Some(Value::Null), None)),
        decided(decision(ReviewAction::Revise, None, Some("shorter".into()))),
        waiting("ready", WaitOn::Signal { name: "stock".into(), until: Some(at(5)) }),
        waiting("ready", WaitOn::Signal { name: "stock".into(), until: None }),
        input(Event::Signalled { name: "stock".into(), payload: json("[1,2]"), id: "s-1".into() }),
        input(Event::ChildStarted { path: NodePath::root("call"), child }),
        waiting("call", WaitOn::Child { execution: child }),
        ended(ExecutionResult::Succeeded { output: json("42") }),
        ended(ExecutionResult::Cancelled { reason: "by hand".into() }),
        input(Event::Recovered),
    ]
}

fn timers() -> Vec<JournalEvent> {
    let path = NodePath::root("enrich").element(0);
    [
        TimerKey::Delay { path: path.clone() },
        TimerKey::Retry { path: path.clone(), attempt: 3 },
        TimerKey::NodeTimeout { path: path.clone(), attempt: 1 },
        TimerKey::ReviewExpiry { path: path.clone() },
        TimerKey::SignalTimeout { path },
        TimerKey::ExecutionTimeout,
        TimerKey::CancelGrace,
    ]
    .into_iter()
    .map(|timer| input(Event::TimerFired { timer }))
    .collect()
}

fn rerun_and_cancelled() -> Vec<JournalEvent> {
    let outputs = BTreeMap::from([
        ("customer".to_owned(), TaskOutput::main(json(r#"{"name":"Ada"}"#))),
        ("large".to_owned(), TaskOutput::by("false", Value::Null)),
    ]);
    let recorded = Recorded { execution: execution(9), from_node: "save".into(), outputs };
    let reason = "replaced by a newer order".to_owned();
    vec![
        input(Event::Started { input: json("{}"), recorded: Some(recorded) }),
        input(Event::CancelRequested { reason: reason.clone() }),
        JournalEvent::NodeCancelled { path: NodePath::root("save") },
        JournalEvent::Finished { result: ExecutionResult::Cancelled { reason } },
    ]
}

fn limit_exceeded() -> Vec<JournalEvent> {
    let failure = Failure::permanent(ErrorCode::ExecutionLimit, "the journal has too many bytes");
    vec![input(Event::LimitExceeded { failure })]
}

/// A value over the inline limit: the record names the object that holds it.
fn stored_value() -> Vec<JournalEvent> {
    let big = Value::text("x".repeat(flux_model::limits::INLINE_VALUE_BYTES_MAX + 1));
    let output = |value: Value| JournalEvent::NodeSucceeded {
        path: NodePath::root("read"),
        ports: Vec::new(),
        output: Some(value),
    };
    vec![output(json("1")), output(big)]
}
