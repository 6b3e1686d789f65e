//! Bodies piece by piece, both ways, with flow control: the receiver grants bytes, the sender sends
//! no more than was granted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{Semaphore, mpsc};

use super::{TimeLimit, Worker, read, record};
use crate::faults;
use crate::host::HostError;
use crate::invocation::{BodyStream, Flow, Piece, RunRecord};
use crate::link::Urgency;
use crate::protocol::heads::{self, BrokenEnd, Credit};
use crate::protocol::{Frame, Kind};

/// Bytes that may be under way before the receiver took any.
pub(super) const WINDOW_BYTES: usize = 256 * 1024;
/// Bytes of one piece.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are granted together.
const GRANT_BYTES: usize = WINDOW_BYTES / 4;

/// Where the pieces of a request body go.
#[derive(Debug)]
pub(super) struct Sink {
    pieces: mpsc::UnboundedSender<Result<Bytes, HostError>>,
    window: usize,
}

/// Grants bytes for what was taken, and gives the body up when it is dropped.
#[derive(Debug)]
struct Grants {
    worker: Arc<Worker>,
    id: u32,
    taken: AtomicUsize,
}

impl Grants {
    fn take(&self, bytes: usize) {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if taken < GRANT_BYTES {
            return;
        }
        self.taken.store(0, Ordering::Relaxed);
        let head = serde_json::to_vec(&Credit { bytes: taken }).expect("a number is JSON");
        let mut table = self.worker.table.lock();
        if let Some(sink) = table.sinks.get_mut(&self.id) {
            sink.window += taken;
        }
        if let Some(entry) = table.entries.get_mut(&self.id) {
            entry.grant(taken);
        }
        drop(table);
        self.worker.link.send(Kind::Credit, self.id, (&head, b""), Urgency::Busy);
    }
}

/// The output of a function, while it is read.
struct OutputFlow {
    grants: Grants,
    /// Keeps the version alive until the end of the output.
    _keep: Arc<dyn Send + Sync>,
}

impl std::fmt::Debug for OutputFlow {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.grants.fmt(out)
    }
}

impl Flow for OutputFlow {
    fn taken(&self, bytes: usize) {
        self.grants.take(bytes);
    }
}

impl Drop for OutputFlow {
    fn drop(&mut self) {
        // Without effect if the output has ended.
        self.grants.worker.abort(self.grants.id);
    }
}

impl Worker {
    pub(super) fn body_of(
        self: &Arc<Self>,
        id: u32,
        pieces: mpsc::UnboundedReceiver<Piece>,
        begun: Instant,
        keep: Arc<dyn Send + Sync>,
    ) -> BodyStream {
        let grants = Grants { worker: Arc::clone(self), id, taken: AtomicUsize::new(0) };
        let record = RunRecord { duration: begun.elapsed(), ..RunRecord::default() };
        BodyStream { pieces, record, begun, flow: Box::new(OutputFlow { grants, _keep: keep }) }
    }

    /// A streamed output has the time that is left of its call.
    pub(super) fn limit_stream(
        self: &Arc<Self>,
        id: u32,
        function: Arc<str>,
        limit: TimeLimit,
        left: Duration,
    ) {
        let worker = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(left).await;
            let Some(worker) = worker.upgrade() else { return };
            let error = faults::timeout(&function, &limit, limit.most, &["the end of its output".to_owned()]);
            if let Some(entry) = worker.table.lock().entries.get_mut(&id) {
                entry.break_stream(error);
            }
            worker.abort(id);
        });
    }

    pub(super) fn take_data(&self, id: u32, bytes: Bytes) -> Result<(), String> {
        let mut table = self.table.lock();
        if let Some(entry) = table.entries.get_mut(&id) {
            return entry.push(bytes);
        }
        if let Some(sink) = table.sinks.get_mut(&id) {
            sink.window = sink
                .window
                .checked_sub(bytes.len())
                .ok_or_else(|| format!("{} bytes of a body beyond what was granted", bytes.len()))?;
            let _ = sink.pieces.send(Ok(bytes));
        }
        Ok(())
    }

    /// The end of an output (odd ids) or of a request body (even ones).
    pub(super) fn take_end(&self, frame: &Frame) -> Result<(), String> {
        if frame.id % 2 == 1 {
            let run: heads::Run = read(&frame.head)?;
            self.finish(frame.id, |entry| entry.end_stream(record(run, Duration::ZERO)));
            return Ok(());
        }
        let Some(sink) = self.table.lock().sinks.remove(&frame.id) else { return Ok(()) };
        let end: BrokenEnd = read(&frame.head)?;
        if let Some(error) = end.error {
            let _ = sink.pieces.send(Err(HostError::new("request_body", error)));
        }
        Ok(())
    }

    pub(super) fn take_credit(&self, id: u32, bytes: usize) {
        if let Some(credit) = self.table.lock().credits.get(&id) {
            credit.add_permits(bytes.min(WINDOW_BYTES));
        }
    }

    /// The request body that will arrive as `id`, and where its pieces go.
    pub(super) fn incoming_body(
        self: &Arc<Self>,
        id: u32,
    ) -> (Sink, BoxStream<'static, Result<Bytes, HostError>>) {
        let (pieces, receiver) = mpsc::unbounded_channel();
        let grants = Grants { worker: Arc::clone(self), id, taken: AtomicUsize::new(0) };
        let stream = futures::stream::unfold((receiver, grants), |(mut receiver, grants)| async move {
            let piece: Result<Bytes, HostError> = receiver.recv().await?;
            if let Ok(bytes) = &piece {
                grants.take(bytes.len());
            }
            Some((piece, (receiver, grants)))
        });
        (Sink { pieces, window: WINDOW_BYTES }, stream.boxed())
    }

    /// Sends a body as `id`, as fast as the worker grants.
    pub(super) async fn send_body(
        &self,
        id: u32,
        credit: &Semaphore,
        mut body: BoxStream<'static, Result<Bytes, HostError>>,
    ) {
        while let Some(piece) = body.next().await {
            let mut bytes = match piece {
                Ok(bytes) => bytes,
                Err(error) => {
                    let head =
                        serde_json::to_vec(&BrokenEnd { error: Some(error.message) }).unwrap_or_default();
                    return self.link.send(Kind::End, id, (&head, b""), Urgency::Busy);
                }
            };
            while !bytes.is_empty() {
                let part = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
                let wanted = u32::try_from(part.len()).expect("a piece is at most PIECE_BYTES_MAX");
                let Ok(granted) = credit.acquire_many(wanted).await else { return };
                granted.forget();
                self.link.send(Kind::Data, id, (b"", &part), Urgency::Busy);
            }
        }
        self.link.send(Kind::End, id, (b"", b""), Urgency::Busy);
    }
}

/// What the worker may be sent of one body before it grants more.
pub(super) fn first_credit() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WINDOW_BYTES))
}
