//! What `function.call` and `code.run` need: somebody who runs TypeScript.
//!
//! The driver lends it to attempts, because a running function may itself start executions. This
//! crate knows neither processes nor databases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::{BoundaryCall, Value};
use futures::future::BoxFuture;

use crate::attempt::LogLine;

/// Runs functions for the attempts of one execution.
pub trait Functions: Send + Sync {
    /// Runs a function, or a piece of code, to its end. What it asks of the outside and what it
    /// logs goes to `record` as it happens. Dropping the future stops it.
    ///
    /// # Errors
    /// Why there is no output.
    fn run<'a>(
        &'a self,
        call: FunctionCall<'a>,
        record: Arc<Recorder>,
    ) -> BoxFuture<'a, Result<FunctionOutput, Failure>>;
}

/// What to run.
#[derive(Debug, Clone)]
pub struct FunctionCall<'a> {
    /// The attempt it is for: whose place and key its effects have.
    pub task: &'a TaskCall,
    /// The code.
    pub code: Code,
    /// Its input.
    pub input: Value,
    /// The headers of the request it answers, as an object; null without a request.
    pub headers: Value,
    /// Who sent that request, as verified; null for nobody in particular.
    pub user: Value,
}

/// Which code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A function of the project.
    Function {
        /// Its name.
        name: String,
        /// The version of the project's functions; the active one where absent.
        bundle: Option<String>,
    },
    /// The body of an async function of `input` and `ctx`, in TypeScript.
    Inline {
        /// The text.
        text: String,
    },
}

/// What a function gave.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionOutput {
    /// The value it returned; of a returned `Response`, its body.
    pub value: Value,
    /// Status and headers of a returned `Response`.
    pub response: Option<ResponseHead>,
}

/// Status and headers of a `Response`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

/// What an attempt did, gathered for the journal.
#[derive(Debug, Default)]
pub struct Recorder {
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) calls: Vec<BoundaryCall>,
    pub(crate) logs: Vec<LogLine>,
}

impl Recorder {
    /// Takes a call that was answered; gives its number, from zero.
    pub fn called(&self, call: BoundaryCall) -> u32 {
        let calls = &mut self.lock().calls;
        calls.push(call);
        u32::try_from(calls.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes a line of log.
    pub fn logged(&self, line: LogLine) {
        self.lock().logs.push(line);
    }

    /// The last call that failed, with its number.
    pub fn last_failure(&self) -> Option<(u32, Failure)> {
        let record = self.lock();
        let calls = record.calls.iter().enumerate().rev();
        let (number, failure) =
            calls.filter_map(|(number, call)| Some((number, call.result.as_ref().err()?.clone()))).next()?;
        Some((u32::try_from(number).unwrap_or(u32::MAX), failure))
    }

    pub(crate) fn take(&self) -> Record {
        std::mem::take(&mut *self.lock())
    }

    /// A panic while the lock is held cannot leave a half-written record, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
