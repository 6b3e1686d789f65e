//! The effects that an owner carries out, as futures: attempts of tasks, signals to other
//! executions. Child executions are in `children`.

use std::sync::Arc;

use flux_model::call::{BoundaryCall, CallKind};
use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::ids::ExecutionId;
use flux_model::journal::JournalEvent;
use flux_model::{ErrorCode, Event, ExecutionStatus, NodePath, Purity, Timestamp, Value};
use flux_nodes::{Functions, RunContext, TaskDone};
use futures::future::{BoxFuture, FutureExt};
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::flight::Finished;
use crate::functions::Runner;
use crate::owners::Taken;
use crate::pure::{bounded, compute};
use crate::shared::{Facts, Shared};

/// An attempt of a task.
pub(crate) fn attempt(
    shared: &Arc<Shared>,
    facts: &Arc<Facts>,
    call: TaskCall,
    cancel: CancellationToken,
) -> BoxFuture<'static, Finished> {
    let registry = Arc::clone(&shared.lasting.registry);
    if call.purity == Purity::Pure {
        return async move {
            let (path, attempt) = (call.path.clone(), call.attempt);
            let computed = tokio::task::spawn_blocking(move || compute(&registry, call)).await;
            let event = computed.unwrap_or_else(|error| {
                let failure = Failure::permanent(ErrorCode::Internal, error.to_string());
                Event::Completed { path: path.clone(), attempt, result: Err(failure) }
            });
            Finished { path, attempt, observed: Vec::new(), event }
        }
        .boxed();
    }
    let egress = shared.lasting.egress.clone();
    let functions = shared.lasting.functions.clone().map(|parts| -> Arc<dyn Functions> {
        Arc::new(Runner { shared: Arc::clone(shared), facts: Arc::clone(facts), parts })
    });
    let context = RunContext { tenant: facts.tenant, egress, functions, cancel };
    async move {
        let done = registry.run(&call, &context).await;
        finished(call, done)
    }
    .boxed()
}

fn finished(call: TaskCall, done: TaskDone) -> Finished {
    let TaskCall { path, attempt, .. } = call;
    let calls = done.calls.into_iter().map(|call| JournalEvent::Called { path: path.clone(), attempt, call });
    let mut observed: Vec<JournalEvent> = calls.collect();
    observed.extend(done.logs.into_iter().map(|line| JournalEvent::Logged {
        path: Some(path.clone()),
        level: line.level,
        message: line.message,
        fields: line.fields,
    }));
    let event = Event::Completed { path: path.clone(), attempt, result: done.result.and_then(bounded) };
    Finished { path, attempt, observed, event }
}

/// A signal for another execution of the same project.
pub(crate) struct Signal {
    pub(crate) path: NodePath,
    pub(crate) attempt: u32,
    pub(crate) to: ExecutionId,
    pub(crate) name: String,
    pub(crate) payload: Value,
}

pub(crate) fn send_signal(
    shared: &Arc<Shared>,
    facts: &Facts,
    signal: Signal,
) -> BoxFuture<'static, Finished> {
    let shared = Arc::clone(shared);
    // The same for every attempt, so that a repeated attempt is not a second signal.
    let id = format!("{}/{}", facts.id, signal.path);
    let tenant = facts.tenant;
    async move {
        let Signal { path, attempt, to, name, payload } = signal;
        let timed = Timed::start(&shared);
        let event = Event::Signalled { name: name.clone(), payload: payload.clone(), id };
        let sent = shared.ask(tenant, to, event).await;
        let result = sent.map_err(|error| refused(&error)).and_then(|taken| match taken {
            Taken::Applied | Taken::Ignored(ExecutionStatus::Running | ExecutionStatus::Waiting) => {
                Ok(Value::object([("delivered", Value::from(true))]))
            }
            Taken::Ignored(ExecutionStatus::Queued) => {
                Err(Failure::retryable(ErrorCode::Conflict, format!("execution {to} has not started")))
            }
            Taken::Ignored(status) => {
                let message = format!("execution {to} is {}", status.as_str());
                Err(Failure::permanent(ErrorCode::Conflict, message))
            }
        });
        let request = Value::object([("name", Value::text(&name)), ("payload", payload)]);
        let call = timed.call(CallKind::Signal, to.to_string(), request, result.clone());
        let observed = vec![JournalEvent::Called { path: path.clone(), attempt, call }];
        let event = Event::Completed { path: path.clone(), attempt, result: result.map(TaskOutput::main) };
        Finished { path, attempt, observed, event }
    }
    .boxed()
}

fn refused(error: &EngineError) -> Failure {
    let code = error.code();
    match error {
        EngineError::NotFound(_)
        | EngineError::Corrupt { .. }
        | EngineError::Newer { .. }
        | EngineError::InputInvalid { .. } => Failure::permanent(code, error.to_string()),
        EngineError::WrongStatus { .. }
        | EngineError::TooLarge { .. }
        | EngineError::UnknownNode { .. }
        | EngineError::Busy { .. }
        | EngineError::Stopped
        | EngineError::Admission(_)
        | EngineError::Store(_)
        | EngineError::Write(_) => Failure::retryable(code, error.to_string()),
    }
}

/// A boundary call that the engine makes itself, while it runs.
pub(crate) struct Timed {
    clock: Arc<dyn crate::Clock>,
    started_at: Timestamp,
    started: std::time::Duration,
}

impl Timed {
    pub(crate) fn start(shared: &Shared) -> Self {
        let clock = Arc::clone(&shared.lasting.clock);
        Self { started_at: clock.now(), started: clock.monotonic(), clock }
    }

    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(crate) fn call(
        self,
        kind: CallKind,
        target: String,
        request: Value,
        result: Result<Value, Failure>,
    ) -> BoundaryCall {
        let length = self.clock.monotonic().saturating_sub(self.started);
        let duration_us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let started_at = self.started_at;
        BoundaryCall { kind, target, started_at, duration_us, request, result, site: None }
    }
}
