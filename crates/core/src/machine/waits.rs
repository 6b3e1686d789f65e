//! Nodes that end when something else happens: delays, reviews, signals, child executions.

use std::time::Duration;

use flux_model::effect::Effect;
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::{TaskOutput, TimerKey};
use flux_model::execution::ExecutionResult;
use flux_model::ids::{ExecutionId, ReviewId};
use flux_model::limits::SIGNALS_BUFFERED_MAX;
use flux_model::node_type::NodeKind;
use flux_model::path::NodePath;
use flux_model::review::{Decision, OnExpiry, ReviewAction, ReviewReason, ReviewRequest, ReviewStatus};
use flux_model::{Timestamp, Value};

use super::evaluate::{At, millis, text, wrong};
use super::start::{Journaled, Started};
use super::state::{Work, WorkState};
use super::turn::Turn;

impl Turn {
    /// `logic.delay`: for `ms`, or until a time.
    pub(super) fn delay(&mut self, at: &At, config: &Value) -> Result<Started, Failure> {
        let until = match (millis(config, "ms")?, config.get("until")) {
            (Some(ms), _) => self.now + Duration::from_millis(ms),
            (None, Some(value)) => parse_time(value)?,
            (None, None) => return Err(wrong("ms", &Value::Null, "`ms` or `until`")),
        };
        if until <= self.now {
            return Ok(Started::Done(waited(Duration::ZERO)));
        }
        let state = WorkState::Delayed { since: self.now, until };
        Ok(self.wait(at, state, Some((TimerKey::Delay { path: at.path.clone() }, until))))
    }

    pub(super) fn delay_over(&mut self, path: &NodePath) -> bool {
        let Some(WorkState::Delayed { since, .. }) = self.exec.active.get(path).map(|work| &work.state)
        else {
            return false;
        };
        let length = self.now.since(*since);
        self.end_wait(path, Ok(waited(length)))
    }

    /// `human.review`: puts a decision before people.
    pub(super) fn review(&mut self, at: &At, config: &Value) -> Result<Started, Failure> {
        let expires_at = millis(config, "expires_in_ms")?.map(|ms| self.now + Duration::from_millis(ms));
        let assignees = match config.get("assignees") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(other) => return Err(wrong("assignees", other, "an array of names")),
        };
        let request = ReviewRequest {
            id: self.review_id(at),
            path: at.path.clone(),
            reason: ReviewReason::Node,
            title: text(config, "title"),
            content: config.get("content").cloned().unwrap_or_default(),
            context: config.get("context").cloned().unwrap_or_default(),
            assignees,
            expires_at,
            version: 1,
        };
        Ok(self.ask(at, request))
    }

    /// Parks an at-most-once effect whose outcome is not known.
    pub(super) fn ask_what_happened(&mut self, at: &At, why: &str) {
        let context = Value::object([
            ("why", Value::text(why)),
            ("approve", Value::text("it did happen: the content becomes the node's output")),
            ("reject", Value::text("it did not, or must not count: the node fails")),
            ("revise", Value::text("run it again")),
        ]);
        let request = ReviewRequest {
            id: self.review_id(at),
            path: at.path.clone(),
            reason: ReviewReason::OutcomeUnknown,
            title: format!("Did `{}` happen? It was interrupted and is never run twice.", at.path),
            content: Value::Null,
            context,
            assignees: Vec::new(),
            expires_at: None,
            version: 1,
        };
        self.ask(at, request);
    }

    fn review_id(&self, at: &At) -> ReviewId {
        let attempt = at.attempt.to_be_bytes();
        let seed: [&[u8]; 3] = [&self.exec.id.bits().to_be_bytes(), at.path.as_str().as_bytes(), &attempt];
        ReviewId::derived(self.now, &seed)
    }

    fn ask(&mut self, at: &At, request: ReviewRequest) -> Started {
        let timer = request.expires_at.map(|until| (TimerKey::ReviewExpiry { path: at.path.clone() }, until));
        self.effects.push(Effect::OpenReview(request.clone()));
        self.wait(at, WorkState::InReview(Box::new(request)), timer)
    }

    /// A person decided. Only a decision on the version that is open counts.
    pub(super) fn decided(&mut self, path: &NodePath, decision: Decision) -> bool {
        let Some(work) = self.exec.active.get(path) else { return false };
        let WorkState::InReview(request) = &work.state else { return false };
        if decision.expected_version != request.version {
            return false;
        }
        let request = (**request).clone();
        let status = match decision.action {
            ReviewAction::Approve => ReviewStatus::Approved,
            ReviewAction::Reject => ReviewStatus::Rejected,
            ReviewAction::Revise => ReviewStatus::Revised,
        };
        let made = Some(decision.clone());
        self.effects.push(Effect::CloseReview { review: request.id, status, decision: made });
        match request.reason {
            ReviewReason::Node => {
                let output = decision_output(&request, &decision);
                self.end_wait(path, Ok(TaskOutput::by(port(decision.action), output)))
            }
            ReviewReason::OutcomeUnknown => self.outcome_known(path, decision),
        }
    }

    fn outcome_known(&mut self, path: &NodePath, decision: Decision) -> bool {
        match decision.action {
            ReviewAction::Approve => {
                self.end_wait(path, Ok(TaskOutput::main(decision.content.unwrap_or_default())))
            }
            ReviewAction::Reject => {
                let remark = decision.comment.map_or_else(String::new, |comment| format!(": {comment}"));
                let message = format!("{} decided that it did not happen{remark}", decision.decided_by);
                self.end_wait(path, Err(Failure::permanent(ErrorCode::OutcomeUnknown, message)))
            }
            ReviewAction::Revise => {
                let Some(work) = self.leave(path) else { return false };
                let mut at = self.at(path, &work);
                at.attempt += 1;
                self.start(at);
                true
            }
        }
    }

    /// Nobody decided in time.
    pub(super) fn review_expired(&mut self, path: &NodePath) -> bool {
        let Some(work) = self.exec.active.get(path) else { return false };
        let WorkState::InReview(request) = &work.state else { return false };
        let (request, place) = ((**request).clone(), work.place);
        let status = ReviewStatus::Expired;
        self.effects.push(Effect::CloseReview { review: request.id, status, decision: None });
        let port = match self.on_expiry(place) {
            OnExpiry::Expire => "expired",
            OnExpiry::Approve => "approved",
            OnExpiry::Reject => "rejected",
            OnExpiry::Fail => {
                let message = format!("nobody decided on \"{}\" in time", request.title);
                return self.end_wait(path, Err(Failure::permanent(ErrorCode::ReviewExpired, message)));
            }
        };
        let output = review_output(request.content, Value::Null, Value::text("expiry"));
        self.end_wait(path, Ok(TaskOutput::by(port, output)))
    }

    fn on_expiry(&self, place: super::state::Place) -> OnExpiry {
        let config = &self.exec.plan.flow().nodes[self.node_index(place)].config;
        config.get("on_expiry").and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// `flow.signal`: waits for a signal, or sends one.
    pub(super) fn signal(&mut self, at: &At, config: &Value) -> Result<Started, Failure> {
        let name = text(config, "name");
        if name.is_empty() {
            return Err(wrong("name", &Value::Null, "the signal's name"));
        }
        if config.get("action").and_then(Value::as_str) == Some("send") {
            let to = text(config, "execution");
            let to: ExecutionId =
                to.parse().map_err(|_| wrong("execution", &Value::text(&to), "the id of an execution"))?;
            let payload = config.get("payload").cloned().unwrap_or_default();
            let (path, attempt) = (at.path.clone(), at.attempt);
            return Ok(self.run(at, Effect::SendSignal { path, attempt, to, name, payload }));
        }
        if let Some(payload) = self.exec.signals.take(&name) {
            return Ok(Started::Done(TaskOutput::main(payload)));
        }
        let until = millis(config, "timeout_ms")?.map(|ms| self.now + Duration::from_millis(ms));
        let timer = until.map(|until| (TimerKey::SignalTimeout { path: at.path.clone() }, until));
        Ok(self.wait(at, WorkState::AwaitingSignal { name, until }, timer))
    }

    /// A signal came: the first node that waits for it goes on, or it is kept.
    pub(super) fn signalled(&mut self, name: String, payload: Value, id: String) -> bool {
        if !self.exec.signals.is_new(id) {
            return false;
        }
        let awaits = |work: &Work| match &work.state {
            WorkState::AwaitingSignal { name: awaited, .. } => *awaited == name,
            WorkState::Running(_)
            | WorkState::Retrying { .. }
            | WorkState::Delayed { .. }
            | WorkState::InReview(_)
            | WorkState::AwaitingChild(_) => false,
        };
        let waiting = self.exec.active.iter().find(|(_, work)| awaits(work)).map(|(path, _)| path.clone());
        match waiting {
            Some(path) => self.end_wait(&path, Ok(TaskOutput::main(payload))),
            None => {
                if let Some(lost) = self.exec.signals.keep(name, payload) {
                    let message = format!(
                        "more than {SIGNALS_BUFFERED_MAX} signals wait for a node; the oldest, `{lost}`, is dropped"
                    );
                    self.warn(None, ErrorCode::ExecutionLimit, message);
                }
                true
            }
        }
    }

    pub(super) fn signal_timed_out(&mut self, path: &NodePath) -> bool {
        let Some(WorkState::AwaitingSignal { name, .. }) = self.exec.active.get(path).map(|work| &work.state)
        else {
            return false;
        };
        let message = format!("no signal `{name}` came in time (timeout_ms)");
        self.end_wait(path, Err(Failure::permanent(ErrorCode::NodeTimeout, message)))
    }

    /// A child execution was accepted: the node waits for it, or is done.
    pub(super) fn child_started(&mut self, path: &NodePath, child: ExecutionId) -> bool {
        let Some(work) = self.exec.active.get(path) else { return false };
        let WorkState::Running(effect) = &work.state else { return false };
        let Effect::StartChild(call) = &**effect else { return false };
        if call.child != child {
            return false;
        }
        let call = call.clone();
        let Some(work) = self.leave(path) else { return false };
        let at = self.at(path, &work);
        if call.wait {
            self.wait(&at, WorkState::AwaitingChild(Box::new(call)), None);
        } else {
            let output = Value::object([("execution", Value::text(child.to_string()))]);
            self.succeed(&at, TaskOutput::main(output), Journaled::No);
        }
        true
    }

    /// A child execution ended. Its end may overtake the news that it was accepted.
    pub(super) fn child_ended(
        &mut self,
        path: &NodePath,
        child: ExecutionId,
        result: ExecutionResult,
    ) -> bool {
        let Some(work) = self.exec.active.get(path) else { return false };
        let awaited = match &work.state {
            WorkState::AwaitingChild(call) => call.child == child,
            WorkState::Running(effect) => {
                matches!(&**effect, Effect::StartChild(call) if call.child == child && call.wait)
            }
            WorkState::Retrying { .. }
            | WorkState::Delayed { .. }
            | WorkState::InReview(_)
            | WorkState::AwaitingSignal { .. } => false,
        };
        awaited && self.end_wait(path, child_output(child, result))
    }

    /// Ends a wait with what it came to; its timer, if it has one, is forgotten.
    fn end_wait(&mut self, path: &NodePath, result: Result<TaskOutput, Failure>) -> bool {
        let Some(work) = self.leave(path) else { return false };
        self.clear_timer(path, &work);
        let at = self.at(path, &work);
        match result {
            Ok(output) => self.succeed(&at, output, Journaled::No),
            Err(failure) => self.fail_attempt(&at, failure),
        }
        true
    }

    pub(super) fn clear_timer(&mut self, path: &NodePath, work: &Work) {
        let path = path.clone();
        let key = match &work.state {
            WorkState::Retrying { .. } => TimerKey::Retry { path, attempt: work.attempt },
            WorkState::Delayed { .. } => TimerKey::Delay { path },
            WorkState::InReview(request) if request.expires_at.is_some() => TimerKey::ReviewExpiry { path },
            WorkState::AwaitingSignal { until: Some(_), .. } => TimerKey::SignalTimeout { path },
            WorkState::InReview(_)
            | WorkState::AwaitingSignal { until: None, .. }
            | WorkState::AwaitingChild(_)
            | WorkState::Running(_) => return,
        };
        self.effects.push(Effect::ClearTimer { key });
    }

    /// The process restarted. Work that may run twice is asked for again by the driver; work that
    /// must not is put before a person.
    pub(super) fn recover(&mut self) -> bool {
        let once = |work: &Work| {
            self.node(work.place).kind == NodeKind::Task
                && self.node(work.place).at_most_once
                && matches!(work.state, WorkState::Running(_))
        };
        let interrupted: Vec<NodePath> =
            self.exec.active.iter().filter(|(_, work)| once(work)).map(|(path, _)| path.clone()).collect();
        for path in &interrupted {
            if let Some(work) = self.leave(path) {
                let at = self.at(path, &work);
                self.ask_what_happened(&at, "the process stopped while the attempt was running");
            }
        }
        !interrupted.is_empty()
    }
}

fn waited(length: Duration) -> TaskOutput {
    let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    TaskOutput::main(Value::object([("waited_ms", Value::from(ms))]))
}

fn parse_time(value: &Value) -> Result<Timestamp, Failure> {
    let parsed = value.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text.trim()).ok());
    parsed
        .map(|time| Timestamp::from_millis(time.timestamp_millis()))
        .ok_or_else(|| wrong("until", value, "a time such as 2026-03-01T09:00:00+01:00"))
}

const fn port(action: ReviewAction) -> &'static str {
    match action {
        ReviewAction::Approve => "approved",
        ReviewAction::Reject => "rejected",
        ReviewAction::Revise => "revise",
    }
}

fn decision_output(request: &ReviewRequest, decision: &Decision) -> Value {
    let content = decision.content.clone().unwrap_or_else(|| request.content.clone());
    let comment = decision.comment.as_ref().map_or(Value::Null, Value::text);
    review_output(content, comment, Value::text(&decision.decided_by))
}

fn review_output(content: Value, comment: Value, decided_by: Value) -> Value {
    Value::object([("content", content), ("comment", comment), ("decided_by", decided_by)])
}

fn child_output(child: ExecutionId, result: ExecutionResult) -> Result<TaskOutput, Failure> {
    match result {
        ExecutionResult::Succeeded { output } => Ok(TaskOutput::main(output)),
        ExecutionResult::Failed { error } => {
            let message = format!("child execution {child} failed at `{}`: {}", error.node, error.message);
            Err(Failure { class: error.class, ..Failure::permanent(ErrorCode::ChildFailed, message) })
        }
        ExecutionResult::Cancelled { reason } => {
            let message = format!("child execution {child} was cancelled: {reason}");
            Err(Failure::permanent(ErrorCode::ChildFailed, message))
        }
    }
}

impl super::state::Signals {
    /// Whether no signal of this id came before. Remembers the latest thousand.
    fn is_new(&mut self, id: String) -> bool {
        if !self.seen.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > SIGNALS_BUFFERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Keeps a signal; gives the name of one that had to make room.
    fn keep(&mut self, name: String, payload: Value) -> Option<String> {
        self.waiting.push_back((name, payload));
        (self.waiting.len() > SIGNALS_BUFFERED_MAX)
            .then(|| self.waiting.pop_front())
            .flatten()
            .map(|(name, _)| name)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let position = self.waiting.iter().position(|(kept, _)| kept == name)?;
        self.waiting.remove(position).map(|(_, payload)| payload)
    }
}
