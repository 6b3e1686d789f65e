//! The outside of a running function: everything it asks for is answered here, and every answer is
//! recorded with the line of TypeScript that asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flux_egress::ContentMasker;
use flux_functions::{
    Answer, Call, Deployment, FlowWait, Host, HostCall, HostError, LogLevel, LogLine, QueueSend,
    TransactionId,
};
use flux_model::call::{BoundaryCall, CallKind};
use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::execution::ExecutionResult;
use flux_model::limits::CALL_DEPTH_MAX;
use flux_model::{ErrorCode, Value, journal};
use flux_nodes::Recorder;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use super::database::{self, Databases};
use super::{Runner, fetch, messages, outcome};
use crate::admission::Answer as RunAnswer;
use crate::admission::{Admission, TriggerKind, Until, Waiting};
use crate::admit::admit;
use crate::control;
use crate::error::{AdmissionError, EngineError};
use crate::work::Timed;

/// The longest a function waits for a flow that it started.
const FLOW_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// What one run of a function is connected to.
pub(super) struct Boundary {
    runner: Runner,
    deployment: Arc<Deployment>,
    /// The same for every attempt of the node.
    idempotency_key: String,
    user: Value,
    /// How many functions called each other above this one.
    depth: u32,
    record: Arc<Recorder>,
    /// How long the attempt may take.
    limit: Duration,
    databases: Databases,
    /// The secrets that the function was given, to be masked in what is recorded.
    known: ContentMasker,
    spans: Mutex<BTreeMap<u32, (String, Timed)>>,
}

/// A call that was answered: what to record, and what the function gets.
struct Answered {
    kind: CallKind,
    target: String,
    request: Value,
    result: Result<Value, Failure>,
}

impl Boundary {
    pub(super) fn new(
        runner: &Runner,
        deployment: Arc<Deployment>,
        task: &TaskCall,
        user: Value,
        record: Arc<Recorder>,
    ) -> Self {
        let idempotency_key = task.idempotency_key.clone();
        let (databases, spans) = (Databases::new(runner, &user), Mutex::default());
        Self {
            runner: runner.clone(),
            deployment,
            idempotency_key,
            user,
            depth: 0,
            record,
            limit: task.timeout,
            databases,
            known: ContentMasker::default(),
            spans,
        }
    }

    async fn answer(self: Arc<Self>, call: Call) -> Result<Answer, HostError> {
        let Call { index, site, request, .. } = call;
        let site = site.map(|site| site.to_string());
        let timed = Timed::start(&self.runner.shared);
        let answered = match request {
            HostCall::SpanStart { span, name, .. } => {
                self.spans.lock().insert(span, (name, timed));
                return Ok(Answer::Value(Value::Null));
            }
            HostCall::SpanEnd { span, error } => {
                self.end_span(span, error, site);
                return Ok(Answer::Value(Value::Null));
            }
            HostCall::FunctionCall { name, input } => self.call_function(name, input).await,
            HostCall::FlowStart { name, input, wait, idempotency_key } => {
                self.start_flow(name, input, wait, idempotency_key).await
            }
            HostCall::QueueSend(send) => self.send(send, index).await,
            HostCall::SecretGet { name } => return self.secret(name, timed, site).await,
            HostCall::Fetch(request) => {
                let (egress, tenant) = (&self.runner.shared.lasting.egress, self.runner.facts.tenant);
                let recording = (&self.known, Arc::clone(&self.record), site);
                return fetch::send(egress, tenant, (request, self.limit), recording)
                    .await
                    .map(Answer::Response);
            }
            HostCall::DbQuery { query, transaction } => {
                let context = database::context(&self.runner, index, timed.started_at());
                let asked = self.databases.query(context, &query, transaction).await;
                Answered {
                    kind: CallKind::Database,
                    target: asked.target,
                    request: query,
                    result: asked.result,
                }
            }
            HostCall::DbBegin { transaction } => {
                let context = database::context(&self.runner, index, timed.started_at());
                in_transaction("begin", transaction, self.databases.begin(context, transaction).await)
            }
            HostCall::DbCommit { transaction } => {
                in_transaction("commit", transaction, self.databases.commit(transaction).await)
            }
            HostCall::DbRollback { transaction } => {
                in_transaction("rollback", transaction, self.databases.roll_back(transaction).await)
            }
        };
        let Answered { kind, target, request, result } = answered;
        let shown = result.as_ref().map(|value| self.known.value(value)).map_err(Clone::clone);
        let recorded = timed.call(kind, target, self.known.value(&request), shown);
        self.record.called(BoundaryCall { site, ..recorded });
        result.map(Answer::Value).map_err(|failure| seen(&failure))
    }

    /// Runs another function of the same version within this one.
    async fn call_function(self: &Arc<Self>, name: String, input: Value) -> Answered {
        let result = if self.depth >= CALL_DEPTH_MAX {
            let message = format!(
                "{} functions call each other, at most {CALL_DEPTH_MAX} may (CALL_DEPTH_MAX)",
                self.depth
            );
            Err(Failure::permanent(ErrorCode::CallDepth, message))
        } else {
            let inner = Arc::new(Self {
                runner: self.runner.clone(),
                deployment: Arc::clone(&self.deployment),
                idempotency_key: format!("{}/{name}", self.idempotency_key),
                user: self.user.clone(),
                depth: self.depth + 1,
                record: Arc::clone(&self.record),
                limit: self.limit,
                databases: Databases::new(&self.runner, &self.user),
                known: self.known.clone(),
                spans: Mutex::default(),
            });
            let invocation = self.runner.invocation(&name, &input, &Value::Null, &self.user);
            match self.deployment.invoke(invocation, inner).await {
                Ok(invoked) => outcome::output(&name, invoked.output).await.map(|output| output.value),
                Err(error) => Err(outcome::failure(error, &self.record)),
            }
        };
        Answered { kind: CallKind::Function, target: name, request: input, result }
    }

    async fn start_flow(
        &self,
        name: String,
        input: Value,
        wait: FlowWait,
        idempotency_key: Option<String>,
    ) -> Answered {
        let mut admission =
            Admission::new(self.runner.facts.tenant, name.as_str(), TriggerKind::Call, input.clone());
        admission.request_id.clone_from(&self.runner.facts.request_id);
        admission.idempotency_key = idempotency_key;
        let shared = &self.runner.shared;
        let result = match wait {
            FlowWait::Accepted => match admit(shared, admission, None).await {
                Ok((admitted, _)) => Ok(Value::object([("id", Value::text(admitted.id.to_string()))])),
                Err(error) => Err(refused(&error)),
            },
            FlowWait::Finished => {
                let waiting = Waiting { until: Until::End, timeout: FLOW_WAIT_MAX };
                ended(control::run(shared, admission, waiting).await)
            }
        };
        Answered { kind: CallKind::Execution, target: name, request: input, result }
    }

    async fn send(&self, send: QueueSend, index: u32) -> Answered {
        let shared = &self.runner.shared;
        // Without a key of the author's, the place of the call makes a repeated attempt the same message.
        let key = send.idempotency_key.clone();
        let key = key.unwrap_or_else(|| format!("{}/send/{index}", self.idempotency_key));
        let admission = messages::admission(&self.runner.facts, &send, key);
        let request = messages::shown(&send);
        let result = match admit(shared, admission, None).await {
            Ok((admitted, _)) => Ok(Value::object([("id", Value::text(admitted.id.to_string()))])),
            Err(error) => Err(refused(&error)),
        };
        Answered { kind: CallKind::Queue, target: send.function, request, result }
    }

    /// The plaintext goes to the function only; the record has the reference.
    async fn secret(&self, name: String, timed: Timed, site: Option<String>) -> Result<Answer, HostError> {
        let found = self.runner.parts.secrets.resolve(self.runner.facts.tenant, &name).await;
        let (result, answer) = match found {
            Ok(plain) => {
                self.known.add(&name, &plain.value);
                (Ok(Value::secret(&name)), Ok(Answer::Value(Value::text(plain.value.as_str()))))
            }
            Err(flux_egress::SecretError::Missing { .. }) => {
                (Ok(Value::Null), Ok(Answer::Value(Value::Null)))
            }
            Err(error) => {
                let failure = Failure::from(error);
                let told = seen(&failure);
                (Err(failure), Err(told))
            }
        };
        let recorded = BoundaryCall { site, ..timed.call(CallKind::Secret, name, Value::Null, result) };
        self.record.called(recorded);
        answer
    }

    fn end_span(&self, span: u32, error: Option<String>, site: Option<String>) {
        let Some((name, timed)) = self.spans.lock().remove(&span) else { return };
        let result = match error {
            None => Ok(Value::Null),
            Some(message) => Err(Failure::permanent(ErrorCode::FunctionFailed, message)),
        };
        let recorded = BoundaryCall { site, ..timed.call(CallKind::Span, name, Value::Null, result) };
        self.record.called(recorded);
    }
}

impl Host for Boundary {
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Answer, HostError>> {
        self.answer(call).boxed()
    }

    fn log(&self, line: LogLine) {
        let level = match line.level {
            LogLevel::Debug => journal::LogLevel::Debug,
            LogLevel::Info => journal::LogLevel::Info,
            LogLevel::Warn => journal::LogLevel::Warn,
            LogLevel::Error => journal::LogLevel::Error,
        };
        let message = self.known.text(&line.message).into_owned();
        let fields = self.known.value(&line.fields);
        self.record.logged(flux_nodes::LogLine { level, message, fields });
    }
}

fn in_transaction(what: &str, id: TransactionId, result: Result<Value, Failure>) -> Answered {
    let request = Value::object([("transaction", Value::from(u64::from(id.0)))]);
    Answered { kind: CallKind::Database, target: what.to_owned(), request, result }
}

/// What the function sees of a call that failed.
pub(super) fn seen(failure: &Failure) -> HostError {
    let mut error = HostError::new(failure.code.as_str(), failure.message.clone());
    error.status = failure.provider_status;
    error
}

fn refused(error: &AdmissionError) -> Failure {
    let mut failure = Failure::permanent(error.code(), error.to_string());
    let wait = error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    failure.retry_after_ms = wait;
    failure
}

fn ended(ran: Result<(crate::Admitted, RunAnswer), EngineError>) -> Result<Value, Failure> {
    match ran {
        Ok((_, RunAnswer::Ended(ExecutionResult::Succeeded { output }))) => Ok(output),
        Ok((admitted, RunAnswer::Ended(ExecutionResult::Failed { error }))) => {
            let message = format!("execution {} failed: {}", admitted.id, error.message);
            Err(Failure::permanent(ErrorCode::ChildFailed, message))
        }
        Ok((admitted, RunAnswer::Ended(ExecutionResult::Cancelled { reason }))) => {
            let message = format!("execution {} was cancelled: {reason}", admitted.id);
            Err(Failure::permanent(ErrorCode::ChildFailed, message))
        }
        Ok((_, RunAnswer::Responded(response))) => Ok(response.body),
        Ok((admitted, RunAnswer::Pending(status))) => {
            let message = format!("execution {} is still {}", admitted.id, status.as_str());
            Err(Failure::retryable(ErrorCode::FunctionTimeout, message))
        }
        Err(error) => Err(Failure::permanent(error.code(), error.to_string())),
    }
}
