//! The calls in flight in a worker, and the host calls and bodies that belong to them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::bodies::Sink;
use super::{Place, Reply};
use crate::bundle::Bundle;
use crate::faults;
use crate::host::{Call, Host, HostCall, TransactionId};
use crate::invocation::{Piece, RunRecord};
use crate::protocol::heads;

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By id, which is odd.
    pub(super) entries: HashMap<u32, Entry>,
    /// Host calls that run, and bodies that are sent, by id, which is even.
    pub(super) running: HashMap<u32, AbortHandle>,
    /// Bodies of requests that are received.
    pub(super) sinks: HashMap<u32, Sink>,
    /// Bytes that may be sent of bodies of answers.
    pub(super) credits: HashMap<u32, Arc<Semaphore>>,
    last_id: Option<u32>,
    /// No further calls are taken.
    pub(super) closed: bool,
}

/// A call in flight.
pub(crate) struct Entry {
    pub(super) function: Arc<str>,
    pub(super) host: Arc<dyn Host>,
    reply: Option<oneshot::Sender<Reply>>,
    /// Where the pieces of a streamed output go.
    stream: Option<OutputStream>,
    /// Host calls that end with it: fetches.
    pub(super) calls: Vec<u32>,
    /// Host calls so far that have no answer yet.
    pub(super) unanswered: usize,
    pub(super) transactions: BTreeSet<TransactionId>,
    /// Given back with it.
    _place: Place,
}

#[derive(Debug)]
struct OutputStream {
    pieces: mpsc::UnboundedSender<Piece>,
    window: usize,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a call of {}", self.function)
    }
}

impl Table {
    pub(super) fn next_id(&mut self) -> u32 {
        let id = self.last_id.map_or(1, |last| last.wrapping_add(2));
        self.last_id = Some(id);
        id
    }

    /// Ends host calls and bodies.
    pub(super) fn stop_calls(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(task) = self.running.remove(id) {
                task.abort();
            }
            self.sinks.remove(id);
            self.credits.remove(id);
        }
    }
}

impl Entry {
    pub(super) fn new(
        place: Place,
        function: Arc<str>,
        host: Arc<dyn Host>,
        reply: oneshot::Sender<Reply>,
    ) -> Self {
        Self {
            function,
            host,
            reply: Some(reply),
            stream: None,
            calls: Vec::new(),
            unanswered: 0,
            transactions: BTreeSet::new(),
            _place: place,
        }
    }

    /// Gives the answer; if the caller is gone, nobody gets it.
    pub(super) fn answer(&mut self, reply: Reply) {
        if let Some(sender) = self.reply.take() {
            let _ = sender.send(reply);
        }
    }

    /// The call failed: before its answer, or while its output was streamed.
    pub(super) fn fail(&mut self, failure: heads::Failure, bundle: &Bundle) {
        match self.stream.take() {
            None => self.answer(Reply::Failed(failure)),
            Some(stream) => {
                let error = faults::from_failure(failure, &self.function, bundle);
                let _ = stream.pieces.send(Piece::Failed(error));
            }
        }
    }

    pub(super) fn break_stream(&mut self, error: crate::error::FunctionError) {
        if let Some(stream) = self.stream.take() {
            let _ = stream.pieces.send(Piece::Failed(error));
        }
    }

    pub(super) fn open_stream(&mut self) -> mpsc::UnboundedReceiver<Piece> {
        let (pieces, receiver) = mpsc::unbounded_channel();
        self.stream = Some(OutputStream { pieces, window: super::bodies::WINDOW_BYTES });
        receiver
    }

    /// A piece of the output; an error if it is more than was granted.
    pub(super) fn push(&mut self, bytes: bytes::Bytes) -> Result<(), String> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.window = stream.window.checked_sub(bytes.len()).ok_or_else(|| {
            format!("{} bytes of output beyond what was granted", bytes.len() - stream.window)
        })?;
        let _ = stream.pieces.send(Piece::Data(bytes));
        Ok(())
    }

    pub(super) fn grant(&mut self, bytes: usize) {
        if let Some(stream) = &mut self.stream {
            stream.window += bytes;
        }
    }

    pub(super) fn end_stream(&mut self, record: RunRecord) {
        if let Some(stream) = self.stream.take() {
            let _ = stream.pieces.send(Piece::End(record));
        }
    }

    /// Transactions that the function left open are rolled back.
    pub(super) fn roll_back(&mut self) {
        for transaction in std::mem::take(&mut self.transactions) {
            let request = HostCall::DbRollback { transaction };
            let call = Call { index: u32::MAX, at_us: 0, site: None, span: None, request };
            tokio::spawn(Arc::clone(&self.host).call(call));
        }
    }
}
