//! What a function may ask of the outside, and who answers: the host side of `ctx`.
//!
//! The runtime turns what the worker sends into a [`Call`], hands it to the [`Host`] of the
//! invocation and sends the answer back. It decides nothing about egress, queries, queues or
//! secrets, and it records nothing: both are the host's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use flux_model::Value;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::error::CallSite;

/// Answers the host calls of one invocation, and takes its logs.
///
/// Each call has a task of its own. `log`, and the calls that begin and end spans, come from the
/// task that reads the worker's frames: they must not block.
pub trait Host: Send + Sync + 'static {
    /// Carries out one call. Calls of one invocation run at the same time; spans are begun and ended
    /// in the order in which the function did so.
    ///
    /// A [`HostCall::Fetch`] is dropped when the function aborts it or ends without it. The others
    /// run to their end even if nobody waits for the answer any more: nothing is left half done.
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Answer, HostError>>;

    /// Takes a line that the function logged.
    fn log(&self, line: LogLine);
}

/// One host call with where it comes from.
#[derive(Debug)]
pub struct Call {
    /// Its number within the invocation, from 0, in the order in which the function made them.
    pub index: u32,
    /// When it was made, in microseconds since the invocation began in the worker.
    pub at_us: u64,
    /// The line of TypeScript that made it, where known.
    pub site: Option<CallSite>,
    /// The innermost open span of `ctx.trace.span`, by the number its start gave.
    pub span: Option<u32>,
    /// What is asked.
    pub request: HostCall,
}

/// What a function asks of the outside.
#[derive(Debug)]
pub enum HostCall {
    /// `fetch`. Answered by [`Answer::Response`].
    Fetch(FetchRequest),
    /// `ctx.db.query`, or `tx.query` where a transaction is named. Answered by a value.
    DbQuery {
        /// The query object, as the function wrote it.
        query: Value,
        /// The transaction it belongs to.
        transaction: Option<TransactionId>,
    },
    /// `ctx.db.transaction` begins.
    DbBegin {
        /// The number by which its queries will name it.
        transaction: TransactionId,
    },
    /// The callback of `ctx.db.transaction` returned.
    DbCommit {
        /// Which.
        transaction: TransactionId,
    },
    /// The callback of `ctx.db.transaction` threw. Also asked for transactions that are open when
    /// the invocation ends.
    DbRollback {
        /// Which.
        transaction: TransactionId,
    },
    /// `ctx.queue.send`. Answered by a value, which the function gets.
    QueueSend(QueueSend),
    /// `ctx.functions.<name>(input)`. Answered by the output.
    FunctionCall {
        /// The function.
        name: String,
        /// Its input.
        input: Value,
    },
    /// `ctx.flows.start(name, input, options)`. Answered by a value, which the function gets.
    FlowStart {
        /// The flow.
        name: String,
        /// Its input.
        input: Value,
        /// Whether to wait for the end of the flow.
        wait: FlowWait,
        /// The key under which a repeated start is the same start.
        idempotency_key: Option<String>,
    },
    /// `ctx.secrets.get(name)`. Answered by a text, or null if there is no such secret.
    SecretGet {
        /// The secret.
        name: String,
    },
    /// `ctx.trace.span(name, …)` begins. The answer is not waited for.
    SpanStart {
        /// Its number within the invocation, from 1.
        span: u32,
        /// The span it is in.
        parent: Option<u32>,
        /// Its name.
        name: String,
    },
    /// The callback of `ctx.trace.span` returned or threw. The answer is not waited for.
    SpanEnd {
        /// Which.
        span: u32,
        /// What it threw.
        error: Option<String>,
    },
}

/// The number of a transaction within its invocation, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// Whether `ctx.flows.start` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowWait {
    /// The answer is the execution's id, as soon as it is accepted.
    #[default]
    Accepted,
    /// The answer is the flow's result.
    Finished,
}

/// `ctx.queue.send(function, payload, options)`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSend {
    /// The function that will get the payload.
    pub function: String,
    /// Its input.
    pub payload: Value,
    /// How long to hold it back, in milliseconds.
    pub delay_ms: Option<u64>,
    /// The key under which a repeated message is the same message.
    pub idempotency_key: Option<String>,
    /// Messages of one key run one after the other, in order.
    pub ordering_key: Option<String>,
    /// The database transaction that it is to be atomic with (`tx.queue.send`).
    pub transaction: Option<TransactionId>,
}

/// One `fetch`.
pub struct FetchRequest {
    /// The method, in capital letters.
    pub method: String,
    /// The absolute URL, as the URL parser of the worker wrote it.
    pub url: String,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What to do with a redirect.
    pub redirect: Redirect,
    /// The body.
    pub body: Body,
}

impl fmt::Debug for FetchRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.method, self.url)
    }
}

/// What `fetch` does with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirect {
    /// It is followed.
    #[default]
    Follow,
    /// It is an error.
    Error,
    /// It is the answer.
    Manual,
}

/// The body of a request or an answer.
pub enum Body {
    /// None.
    Empty,
    /// All of it.
    Bytes(Bytes),
    /// Piece by piece, with flow control: what is not taken holds the sender back. An error ends it.
    Stream(BoxStream<'static, Result<Bytes, HostError>>),
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("no body"),
            Self::Bytes(bytes) => write!(out, "{} bytes", bytes.len()),
            Self::Stream(_) => out.write_str("a stream"),
        }
    }
}

/// The answer of a host call.
#[derive(Debug)]
pub enum Answer {
    /// A value.
    Value(Value),
    /// The answer of a `fetch`.
    Response(FetchResponse),
}

/// The answer of a `fetch`.
#[derive(Debug)]
pub struct FetchResponse {
    /// The status.
    pub status: u16,
    /// Header names and values; a name may be there several times.
    pub headers: Vec<(String, String)>,
    /// The URL that answered, after redirects.
    pub url: String,
    /// Whether a redirect was followed.
    pub redirect: Redirected,
    /// The body, decompressed.
    pub body: Body,
}

/// Whether a `fetch` was redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirected {
    /// The first URL answered.
    #[default]
    No,
    /// Another one did.
    Yes,
}

/// Why a host call failed. The function sees an `Error` with these members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// A stable code: one of [`flux_model::ErrorCode`], or the callee's own.
    pub code: String,
    /// One or two sentences, without secrets.
    pub message: String,
    /// The HTTP status it amounts to, if the function does not catch it.
    pub status: Option<u16>,
}

impl HostError {
    /// An error without a status of its own.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: None }
    }
}

/// One line of `ctx.log` or `console`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// How important.
    pub level: LogLevel,
    /// What was said.
    pub message: String,
    /// The fields beside it; null if there are none.
    pub fields: Value,
    /// When, in microseconds since the invocation began in the worker.
    pub at_us: u64,
    /// The line of TypeScript that logged it, where known.
    pub site: Option<CallSite>,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// `console.debug`
    Debug,
    /// `ctx.log`, `ctx.log.info`, `console.log`
    Info,
    /// `ctx.log.warn`
    Warn,
    /// `ctx.log.error`
    Error,
}
