//! One call of a function: what goes in, and what comes out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flux_model::Value;
use futures::Stream;
use tokio::sync::mpsc;

use crate::error::FunctionError;

/// Bytes of the randomness that an invocation gets.
pub const SEED_BYTES: usize = 32;

/// What a function is called with.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Which function.
    pub function: Arc<str>,
    /// The input as JSON text; empty for no input.
    pub input: Bytes,
    /// `ctx.requestId`
    pub request_id: Arc<str>,
    /// `ctx.headers`: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// `ctx.user`: verified claims, or null.
    pub user: Value,
    /// `ctx.env`
    pub env: Arc<BTreeMap<String, String>>,
    /// Where all randomness of the invocation comes from (ChaCha20). Must be unpredictable; the same
    /// seed gives the same random numbers, UUIDs and keys.
    pub seed: [u8; SEED_BYTES],
    /// The clock reads of an earlier run, to be served instead of the clock.
    pub clock: Option<ClockReads>,
    /// When the caller stops waiting. The function's own `timeout_ms` holds as well.
    pub deadline: Option<Instant>,
}

impl Invocation {
    /// A call of `function` with `input`, fresh randomness and nothing else.
    pub fn new(function: impl AsRef<str>, input: impl Into<Bytes>) -> Self {
        let mut seed = [0; SEED_BYTES];
        getrandom::fill(&mut seed).expect("the operating system gives randomness");
        Self {
            function: Arc::from(function.as_ref()),
            input: input.into(),
            request_id: Arc::from(""),
            headers: Vec::new(),
            user: Value::Null,
            env: Arc::default(),
            seed,
            clock: None,
            deadline: None,
        }
    }
}

/// What a function gave.
#[derive(Debug)]
pub struct Invoked {
    /// The output.
    pub output: Output,
    /// What is known about the run. For a streamed body, what is known when the stream begins;
    /// [`BodyStream::record`] has the rest.
    pub record: RunRecord,
}

/// The output of a function.
#[derive(Debug)]
pub enum Output {
    /// The returned value as JSON text.
    Json(Bytes),
    /// A returned `Response`.
    Response {
        /// Its status.
        status: u16,
        /// Its headers, names in lower case.
        headers: Vec<(String, String)>,
        /// Its body.
        body: BodyStream,
    },
}

/// What is measured of a run, and what repeats it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunRecord {
    /// From the frame to the worker until its answer.
    pub duration: Duration,
    /// Processor time: that of the process while the call was in flight, divided at each moment by
    /// the calls in flight.
    pub cpu: Duration,
    /// The clock reads, in order.
    pub clock: ClockReads,
    /// Log lines that were dropped because of a limit.
    pub logs_dropped: u64,
}

/// Every reading of the clock of one run, compactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockReads {
    /// Microseconds since 1970 of the first read, then the difference of each read to the one before.
    pub deltas_us: Vec<i64>,
    /// Reads beyond the limit, which are not kept: a run with any cannot be repeated exactly.
    pub dropped: u64,
}

/// The body of a streamed answer. Dropping it before its end aborts the function.
#[derive(Debug)]
pub struct BodyStream {
    pub(crate) pieces: mpsc::UnboundedReceiver<Piece>,
    pub(crate) record: RunRecord,
    pub(crate) begun: Instant,
    pub(crate) flow: Box<dyn Flow>,
}

/// What arrives on a body stream.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    End(RunRecord),
    Failed(FunctionError),
}

/// Tells the worker what was taken from a stream, so that it sends more.
pub(crate) trait Flow: Send + Sync + std::fmt::Debug {
    fn taken(&self, bytes: usize);
}

impl BodyStream {
    /// What is known about the run; complete once the stream ended.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, FunctionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.pieces.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Piece::Data(bytes))) => {
                self.flow.taken(bytes.len());
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Piece::End(record))) => {
                self.record = RunRecord { duration: self.begun.elapsed(), ..record };
                self.pieces.close();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Piece::Failed(error))) => {
                self.pieces.close();
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}
