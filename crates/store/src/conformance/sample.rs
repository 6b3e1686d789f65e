//! Small commands to build scripts from. Times are milliseconds after 1970; execution `n` is made
//! at `n` seconds.

use std::time::Duration;

use flux_model::admission::{ConcurrencyRule, DebounceRule, RateRule};
use flux_model::event::{Event, TimerKey};
use flux_model::flow::Overflow;
use flux_model::journal::{Entry, JournalEvent, Record};
use flux_model::review::{ReviewReason, ReviewRequest};
use flux_model::{
    ErrorCode, ExecutionId, ExecutionKind, NodePath, OrganizationId, ProjectId, ReviewId, Tenant, Timestamp,
    Value,
};

use crate::command::{Accept, Append, Command, Held, NewExecution, StatusChange, Step};
use crate::executions::ErrorSummary;
use crate::timers::{Timer, TimerName};

/// A time.
pub const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A tenant; those with the same organization number share the organization.
pub const fn tenant(project: u128) -> Tenant {
    Tenant { organization: OrganizationId::from_bits(77), project: ProjectId::from_bits(project) }
}

/// Execution `n`.
pub fn execution(n: u32) -> ExecutionId {
    ExecutionId::new(at(i64::from(n) * 1_000), u128::from(n))
}

/// Review `n`.
pub fn review(n: u32) -> ReviewId {
    ReviewId::new(at(i64::from(n) * 1_000), u128::from(n))
}

/// The stored form of a record of this many entries.
pub fn record(first: u64, entries: u32) -> Vec<u8> {
    let entry = |seq| {
        let input = Event::CancelRequested { reason: format!("entry {seq}") };
        Entry { seq, at: at(0), event: JournalEvent::Input { input } }
    };
    Record::new((first..first + u64::from(entries)).map(entry).collect()).0.encode()
}

/// A step of one entry that changes nothing but the journal.
pub fn step(first: u64) -> Step {
    Step { record: record(first, 1), entries: 1, ..Step::default() }
}

/// A step that ends the execution well, at this time.
pub fn ending(first: u64, ended: i64) -> Step {
    let output = Some(r#"{"ok":true}"#.to_owned());
    Step { change: Some(StatusChange::Succeeded { output, at: at(ended) }), ..step(first) }
}

/// A step that ends the execution with an error, at this time.
pub fn failing(first: u64, ended: i64) -> Step {
    let error = ErrorSummary {
        code: ErrorCode::NodeTimeout,
        message: "too slow".into(),
        node: Some(NodePath::root("call")),
    };
    Step { change: Some(StatusChange::Failed { error, at: at(ended) }), ..step(first) }
}

/// Accepts execution `n` of the flow `f` of tenant 1, which runs, with a first step.
pub fn accept(n: u32) -> Accept {
    Accept {
        execution: NewExecution {
            id: execution(n),
            tenant: tenant(1),
            kind: ExecutionKind::Flow,
            flow: "f".into(),
            version: "v1".into(),
            trigger: "trigger.manual".into(),
            request_id: format!("req-{n}"),
            parent: None,
            depth: 0,
            priority: 0,
            input: format!(r#"{{"n":{n}}}"#),
        },
        idempotency_key: None,
        debounce: None,
        rate: None,
        concurrency: None,
        first: Some(step(0)),
        held: Some(held(n)),
        at: at(i64::from(n) * 1_000),
    }
}

/// The input of execution `n`, to be held.
pub fn held(n: u32) -> Held {
    Held { bytes: format!("input {n}").into_bytes(), objects: Vec::new() }
}

/// Accepts what `change` makes of [`accept`].
pub fn accepting(n: u32, change: impl FnOnce(&mut Accept)) -> Command {
    let mut accept = accept(n);
    change(&mut accept);
    Command::Accept(Box::new(accept))
}

/// Commits a step of execution `n` of tenant 1.
pub fn append(n: u32, expected_next_seq: u64, step: Step) -> Command {
    Command::Append(Box::new(Append { tenant: tenant(1), execution: execution(n), expected_next_seq, step }))
}

/// At most `limit` at the same time.
pub fn slots(limit: u32, overflow: Overflow) -> Option<ConcurrencyRule> {
    Some(ConcurrencyRule { key: "k".into(), limit, overflow })
}

/// One per `period_ms`.
pub fn rate(period_ms: u64) -> Option<RateRule> {
    Some(RateRule { key: String::new(), limit: 1, period: Duration::from_millis(period_ms), burst: 1 })
}

/// Quiet for `period_ms`, at most `longest_ms` in all.
pub fn debounce(period_ms: u64, longest_ms: u64) -> Option<DebounceRule> {
    let longest = Some(Duration::from_millis(longest_ms));
    Some(DebounceRule { key: "d".into(), period: Duration::from_millis(period_ms), longest })
}

/// The name of a delay's timer.
pub fn delay(node: &str) -> TimerName {
    TimerName::Machine(TimerKey::Delay { path: NodePath::from(node) })
}

/// A delay's timer.
pub fn timer(node: &str, due: i64) -> Timer {
    Timer { name: delay(node), due: at(due) }
}

/// What review `n` asks.
pub fn request(n: u32) -> ReviewRequest {
    ReviewRequest {
        id: review(n),
        path: NodePath::root("sign_off"),
        reason: ReviewReason::Node,
        title: format!("Review {n}"),
        content: Value::object([("n", Value::from(i64::from(n)))]),
        context: Value::Null,
        assignees: vec!["ops".into()],
        expires_at: Some(at(99_000)),
        version: 1,
    }
}
