//! Flows run by hand: events in, effects out, time as a number.

mod elements;
mod ending;
mod graph;
mod outcomes;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use flux_model::effect::Effect;
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::{Event, TaskOutput, TimerKey};
use flux_model::execution::ExecutionResult;
use flux_model::flow::Flow;
use flux_model::journal::JournalEvent;
use flux_model::review::{Decision, ReviewAction};
use flux_model::{ExecutionId, Timestamp, Value};
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
            if let Effect::Record(record) = effect {
                self.records.push(record);
            } else {
                self.asked.push(effect);
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
        let mut calls = self.asked.iter().filter_map(|effect| {
            let Effect::Run(call) = effect else { return None };
            Some(call)
        });
        let call = calls.find(|call| call.path.as_str() == path);
        call.unwrap_or_else(|| panic!("{path} was not asked for: {}", self.asks())).config.clone()
    }

    fn skipped(&self) -> Vec<&str> {
        let skipped = self.records.iter().filter_map(|record| {
            let JournalEvent::NodeSkipped { path } = record else { return None };
            Some(path.as_str())
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
