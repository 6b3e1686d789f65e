//! One attempt of a node: what its executor may use, and what is left of it for the journal.

use std::sync::Arc;

use flux_egress::{Egress, Request, Response, SecretScope};
use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::journal::LogLevel;
use flux_model::{BoundaryCall, Tenant, Value};
use tokio_util::sync::CancellationToken;

use crate::functions::{Functions, Record, Recorder};

/// What the driver lends to an attempt.
#[derive(Clone)]
pub struct RunContext {
    /// Whose execution it is.
    pub tenant: Tenant,
    /// The way out.
    pub egress: Egress,
    /// Who runs TypeScript, if anybody does.
    pub functions: Option<Arc<dyn Functions>>,
    /// Set when the attempt must stop; it then ends with `cancelled`.
    pub cancel: CancellationToken,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDone {
    /// Its output, or why there is none.
    pub result: Result<TaskOutput, Failure>,
    /// What the outside was asked, in the order of the answers; secrets masked.
    pub calls: Vec<BoundaryCall>,
    /// What it wrote to its log.
    pub logs: Vec<LogLine>,
}

/// A line of log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// The line.
    pub message: String,
    /// Named values beside it; null if there are none.
    pub fields: Value,
}

/// An attempt as its executor sees it.
pub struct Attempt<'a> {
    call: &'a TaskCall,
    context: &'a RunContext,
    secrets: SecretScope,
    record: Arc<Recorder>,
}

/// An answer, and which of the attempt's calls it belongs to.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The answer, whatever its status.
    pub response: Response,
    /// The call, counted from zero.
    pub call: u32,
}

impl<'a> Attempt<'a> {
    /// An attempt of `call`; `secrets` belongs to the config that its executor is given.
    pub(crate) fn new(call: &'a TaskCall, context: &'a RunContext, secrets: SecretScope) -> Self {
        Self { call, context, secrets, record: Arc::default() }
    }

    /// What is attempted.
    pub fn call(&self) -> &TaskCall {
        self.call
    }

    /// Sends a request and records it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, request: &Request) -> Result<Sent, Failure> {
        let called = self.context.egress.call(self.context.tenant, &self.secrets, request).await;
        let call = self.record.called(called.record);
        match called.outcome {
            Ok(response) => Ok(Sent { response, call }),
            Err(failure) => Err(Failure { call: Some(call), ..failure }),
        }
    }

    /// Writes a line to the log of the execution.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        self.record.logged(LogLine { level, message: message.into(), fields: Value::Null });
    }

    /// Who runs TypeScript, if anybody does.
    pub(crate) fn functions(&self) -> Option<&dyn Functions> {
        self.context.functions.as_deref()
    }

    /// Where to what is done on behalf of this attempt is recorded.
    pub(crate) fn recorder(&self) -> Arc<Recorder> {
        Arc::clone(&self.record)
    }

    /// What is left of the attempt for the journal. Tokens that an executor let slip into its
    /// output or message are shown by their secrets' names.
    pub(crate) fn end(self, result: Result<TaskOutput, Failure>) -> TaskDone {
        let result = match result {
            // Masking copies the value, and without secrets there is nothing to mask.
            Ok(output) if !self.call.config.holds_secret() => Ok(output),
            Ok(output) => Ok(TaskOutput { value: self.secrets.mask_value(&output.value), ..output }),
            Err(failure) => {
                Err(Failure { message: self.secrets.mask(&failure.message).into_owned(), ..failure })
            }
        };
        let Record { calls, logs } = self.record.take();
        TaskDone { result, calls, logs }
    }
}
