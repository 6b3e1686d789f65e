//! The socket to one worker: frames out, coalesced, and frames in.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::protocol::{self, Frame, Kind, Malformed};

const READ_BYTES: usize = 64 * 1024;

/// The writing half. Frames leave in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Arc<UnixStream>,
    outbox: Mutex<Outbox>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Outbox {
    bytes: BytesMut,
    /// The writing task has bytes to write, or was told so.
    scheduled: bool,
    broken: bool,
}

/// Whether a frame may be written by the sender itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Nothing else is going on: write now, which saves the way over the writing task.
    Idle,
    /// More will follow: let it gather.
    Busy,
}

impl Link {
    /// The two halves of a connection.
    pub(crate) fn new(stream: UnixStream) -> (Arc<Self>, FrameReader) {
        let stream = Arc::new(stream);
        let link = Self { stream: Arc::clone(&stream), outbox: Mutex::default(), wake: Notify::new() };
        (Arc::new(link), FrameReader { stream, bytes: BytesMut::with_capacity(READ_BYTES) })
    }

    /// Sends a frame. On a broken connection it goes nowhere; the reader finds out as well.
    pub(crate) fn send(&self, kind: Kind, id: u32, (head, body): (&[u8], &[u8]), urgency: Urgency) {
        let mut outbox = self.outbox.lock();
        if outbox.broken {
            return;
        }
        protocol::encode(&mut outbox.bytes, kind, id, head, body);
        if outbox.scheduled {
            return;
        }
        if urgency == Urgency::Idle {
            match self.stream.try_write(&outbox.bytes) {
                Ok(written) => outbox.bytes.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    outbox.broken = true;
                    return;
                }
            }
        }
        if !outbox.bytes.is_empty() {
            outbox.scheduled = true;
            self.wake.notify_one();
        }
    }

    /// Writes what was scheduled, until the connection breaks.
    pub(crate) async fn write_scheduled(&self) {
        loop {
            self.wake.notified().await;
            // Others that are ready to send do so before the write.
            tokio::task::yield_now().await;
            loop {
                let bytes = {
                    let mut outbox = self.outbox.lock();
                    if outbox.bytes.is_empty() {
                        outbox.scheduled = false;
                        break;
                    }
                    outbox.bytes.split()
                };
                if self.write(&bytes).await.is_err() {
                    self.outbox.lock().broken = true;
                    return;
                }
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The reading half.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: Arc<UnixStream>,
    bytes: BytesMut,
}

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the worker closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the worker sent something else than frames: {0}")]
    Malformed(#[from] Malformed),
}

impl FrameReader {
    /// The next frame. May be dropped while it waits without losing anything.
    pub(crate) async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some(frame) = protocol::decode(&mut self.bytes)? {
                return Ok(frame);
            }
            self.stream.readable().await?;
            self.bytes.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.bytes) {
                Ok(0) => return Err(ReadError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
