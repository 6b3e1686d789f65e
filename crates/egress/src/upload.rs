//! Request bodies that are made while they are sent: bounded, sent once, stopped with their call.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use flux_model::ErrorCode;
use flux_model::error::Failure;
use futures::stream::BoxStream;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;

use crate::kept::Kept;

/// A request body of unknown length. It is pulled as fast as the server takes it, and it is sent
/// once: a redirect that asks for it again fails, and so does a second request with a clone of it.
#[derive(Clone)]
pub struct BodyStream {
    shared: Arc<Shared>,
}

struct Shared {
    /// The pieces, until they are sent.
    pieces: Mutex<Option<BoxStream<'static, Result<Bytes, Failure>>>>,
    sent: Mutex<Sent>,
    /// Whether the call is over.
    stopped: AtomicBool,
    waker: AtomicWaker,
}

/// How far the sending came.
#[derive(Default)]
struct Sent {
    /// What was sent, for the record.
    kept: Kept,
    /// Why there is no more.
    failure: Option<Failure>,
}

impl BodyStream {
    /// A body of these pieces. An error breaks the request off and is what the call ends with.
    pub fn new(pieces: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static) -> Self {
        let shared = Shared {
            pieces: Mutex::new(Some(pieces.boxed())),
            sent: Mutex::default(),
            stopped: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The pieces to send, of which at most `limit` bytes leave.
    pub(crate) fn send(&self, limit: u64) -> BoxStream<'static, Result<Bytes, Failure>> {
        let pieces = self.shared.pieces.lock().take();
        match pieces {
            Some(pieces) => Sending { pieces, shared: self.shared.clone(), left: limit, limit }.boxed(),
            None => futures::stream::once(std::future::ready(Err(sent_before()))).boxed(),
        }
    }

    /// Ends the sending, wherever it is: the call is over.
    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.waker.wake();
        let unsent = self.shared.pieces.lock().take();
        drop(unsent);
    }

    /// Calls `look` with what was sent so far.
    pub(crate) fn sent<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.shared.sent.lock().kept)
    }

    /// Why the sending broke off, if it was not for the connection.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.shared.sent.lock().failure.clone()
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BodyStream")
    }
}

/// The pieces on their way to the connection.
struct Sending {
    pieces: BoxStream<'static, Result<Bytes, Failure>>,
    shared: Arc<Shared>,
    left: u64,
    limit: u64,
}

impl Stream for Sending {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.shared.waker.register(context.waker());
        if self.shared.stopped.load(Ordering::Acquire) {
            // An error and not an end: the server must not take a part for the whole.
            return Poll::Ready(Some(Err(stopped())));
        }
        let next = std::task::ready!(self.pieces.poll_next_unpin(context));
        let next = next.map(|piece| self.counted(piece?));
        let mut sent = self.shared.sent.lock();
        match &next {
            Some(Ok(piece)) => sent.kept.push(piece),
            Some(Err(failure)) => sent.failure = Some(failure.clone()),
            None => sent.kept.end(),
        }
        drop(sent);
        Poll::Ready(next)
    }
}

impl Sending {
    fn counted(&mut self, piece: Bytes) -> Result<Bytes, Failure> {
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.left = left;
                Ok(piece)
            }
            None => Err(too_large(self.limit)),
        }
    }
}

fn too_large(limit: u64) -> Failure {
    let message = format!("The streamed body has more bytes than request_bytes_max = {limit}.");
    Failure::permanent(ErrorCode::EgressLimit, message)
}

fn sent_before() -> Failure {
    let message = "The streamed body was sent before; a stream can be sent once. Use bytes to send it again.";
    Failure::permanent(ErrorCode::NodeInput, message)
}

fn stopped() -> Failure {
    Failure::permanent(ErrorCode::Cancelled, "The call ended before its streamed body was sent.")
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_stream_is_bounded_sent_once_and_stopped() {
        let pieces = || stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"de"))]);
        let body = BodyStream::new(pieces());
        let sent: Vec<_> = body.send(5).collect().await;
        assert!(sent.iter().all(Result::is_ok) && sent.len() == 2);
        assert_eq!(body.sent(Kept::partial), None);
        let again: Vec<_> = body.send(5).collect().await;
        assert_eq!(again[0].as_ref().unwrap_err().code, ErrorCode::NodeInput);

        let mut bounded = BodyStream::new(pieces()).send(4);
        assert!(bounded.next().await.unwrap().is_ok());
        let failure = bounded.next().await.unwrap().unwrap_err();
        assert_eq!(failure.code, ErrorCode::EgressLimit);
        assert!(failure.message.contains("request_bytes_max = 4"), "{}", failure.message);

        let body = BodyStream::new(stream::pending());
        let waiting = tokio::spawn({
            let mut sending = body.send(5);
            async move { sending.next().await }
        });
        tokio::task::yield_now().await;
        body.stop();
        assert_eq!(waiting.await.unwrap().unwrap().unwrap_err().code, ErrorCode::Cancelled);
        assert_eq!(body.sent(Kept::partial), Some(0));
    }
}
