//! Calls whose answer is read piece by piece: the exact bytes as they come, for user code.
//!
//! It differs from [`Egress::call`] in who reads the body, and therefore in when the call is over
//! and recorded; guard, gates, redirects and limits are the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flux_model::error::Failure;
use flux_model::value::Object;
use flux_model::{BoundaryCall, ErrorCode, Tenant, Value};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::time::{Instant, timeout_at};

use crate::client::{Egress, Exchanged, warn_if_refused};
use crate::content::{Bounds, Content, Encoding};
use crate::failure;
use crate::gates::Pass;
use crate::kept::Kept;
use crate::mask::{ContentMasker, Masker, StreamMasker};
use crate::receive::{joined, media_of};
use crate::record::{self, Trail};
use crate::request::Request;
use crate::scope::SecretScope;

/// The longest timeout of one call; longer ones are cut to it.
const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// An answer whose body is still to be read.
pub struct Opened {
    /// The status.
    pub status: u16,
    /// Header names in lower case, and values; a name may be there several times. Where the body
    /// was decompressed, without its encoding and length on the wire.
    pub headers: Vec<(String, String)>,
    /// The URL that answered, after redirects.
    pub url: String,
    /// How many redirects were followed.
    pub redirects: u32,
    /// The bytes of the body, if they are known beforehand; 0 if there is none.
    pub length: Option<u64>,
    /// The body, decompressed. What is not taken holds the server back. A failure is its last
    /// item. Dropping it closes the connection and ends the call.
    pub body: BoxStream<'static, Result<Bytes, Failure>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Opened").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What becomes of the record of an opened call.
pub struct Recording {
    known: ContentMasker,
    hand_over: Box<dyn FnOnce(BoundaryCall) + Send>,
}

impl Recording {
    /// Calls `hand_over` with the record, exactly once for a call that began: when the body ended,
    /// failed or was dropped, or when there is no answer. It must not block. Besides the plaintexts
    /// of the scope, those that `known` has by then are masked in the record.
    pub fn new(known: ContentMasker, hand_over: impl FnOnce(BoundaryCall) + Send + 'static) -> Self {
        Self { known, hand_over: Box::new(hand_over) }
    }
}

impl Egress {
    /// Sends `request` for `tenant`, up to the head of the answer. The body is read by the caller,
    /// within [`Request::timeout`] for all of it and [`Request::idle_timeout`] for each pause, at most
    /// [`crate::Limits::file_bytes_max`]. [`Request::response`] does not matter.
    ///
    /// The answer is exact, except that plaintexts of `scope`, which nobody was given, are masked
    /// in it as [`Egress::call`] masks headers and files. A body that was not read to its end is
    /// recorded with `"partial": true` and the bytes that were read; the record keeps at most
    /// [`crate::RECORDED_BODY_BYTES_MAX`] of a text.
    ///
    /// # Errors
    /// Why there is no answer, secrets masked. A status is an answer, whatever it is.
    pub async fn open(
        &self,
        tenant: Tenant,
        scope: &SecretScope,
        request: &Request,
        recording: Recording,
    ) -> Result<Opened, Failure> {
        let limits = &self.shared.limits;
        let clock = Clock::start(
            request.timeout.unwrap_or(limits.timeout),
            request.idle_timeout.unwrap_or(limits.idle_timeout),
        );
        let mut pending = Pending::new(Trail::start(request, scope, recording.known), recording.hand_over);
        let run = self.shared.exchange(tenant, scope, request, &mut pending.running().trail);
        let outcome = match timeout_at(clock.end, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(failure::timeout(&pending.running().trail.shown_url, clock.limit)),
        };
        let content = outcome.and_then(|exchanged| {
            let bounds = Bounds::of(request, limits.header_bytes_max, limits.file_bytes_max);
            let Exchanged { answer, wire, redirects, pass } = exchanged;
            let (head, body) = answer.into_parts();
            let content = Content::of(&head.headers, body, &wire, bounds)?;
            Ok((head, content, wire.url, redirects, pass))
        });
        match content {
            Ok((head, content, url, redirects, pass)) => {
                let mut headers = head.headers;
                if content.encoding == Encoding::Gzip {
                    headers.remove(CONTENT_ENCODING);
                    headers.remove(CONTENT_LENGTH);
                }
                let status = head.status.as_u16();
                pending.answered(status, &headers);
                let masker = &pending.running().trail.masker;
                Ok(Opened {
                    status,
                    headers: listed(&headers, masker),
                    url: masker.text(url.as_str()),
                    redirects,
                    length: content.length,
                    body: Reading { content, masker: masker.stream(), clock, pending, _pass: pass }.stream(),
                })
            }
            Err(failure) => {
                let failure = pending.fail(failure);
                warn_if_refused(tenant, &failure);
                Err(failure)
            }
        }
    }
}

/// Header names and values; bytes that are not text are replaced.
fn listed(headers: &HeaderMap, masker: &Masker) -> Vec<(String, String)> {
    let listed = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), masker.text(&value))
    });
    listed.collect()
}

/// How long a call may take, and pause.
struct Clock {
    end: Instant,
    limit: Duration,
    idle: Duration,
}

impl Clock {
    fn start(limit: Duration, idle: Duration) -> Self {
        let (limit, idle) = (limit.min(TIMEOUT_MAX), idle.min(TIMEOUT_MAX));
        Self { end: Instant::now() + limit, limit, idle }
    }
}

/// A body while it is read. Dropped, it closes the connection, hands over the record and gives its
/// place back, in this order.
struct Reading {
    content: Content,
    masker: StreamMasker,
    clock: Clock,
    pending: Pending,
    _pass: Pass,
}

impl Reading {
    fn stream(mut self) -> BoxStream<'static, Result<Bytes, Failure>> {
        if self.content.length == Some(0) {
            self.pending.end();
            return stream::empty().boxed();
        }
        let pieces = stream::unfold(Some(self), |reading| async {
            let mut reading = reading?;
            match reading.piece().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(reading))),
                Ok(None) => {
                    reading.pending.end();
                    None
                }
                Err(failure) => Some((Err(reading.pending.fail(failure)), None)),
            }
        });
        pieces.fuse().boxed()
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some(chunk) = self.chunk().await? else {
                let rest = self.masker.finish();
                return Ok((!rest.is_empty()).then_some(rest));
            };
            self.pending.passed(&chunk);
            let chunk = self.masker.push(chunk);
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    /// The pause is counted from here, so that a slow reader is not blamed on the server.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let now = Instant::now();
        let until = self.clock.end.min(now + self.clock.idle);
        if now < self.clock.end
            && let Ok(chunk) = timeout_at(until, self.content.next()).await
        {
            return chunk;
        }
        let url = &self.pending.running().trail.shown_url;
        Err(if until == self.clock.end {
            failure::timeout(url, self.clock.limit)
        } else {
            failure::idle(url, self.clock.idle)
        })
    }
}

/// The record of a call that is not over. It is handed over once, at the latest when dropped.
struct Pending(Option<Running>);

struct Running {
    trail: Trail,
    answer: Option<Answer>,
    hand_over: Box<dyn FnOnce(BoundaryCall) + Send>,
}

/// What is known of an answer.
struct Answer {
    status: u16,
    headers: Object,
    media: String,
    body: Kept,
}

impl Pending {
    fn new(trail: Trail, hand_over: Box<dyn FnOnce(BoundaryCall) + Send>) -> Self {
        Self(Some(Running { trail, answer: None, hand_over }))
    }

    fn running(&mut self) -> &mut Running {
        self.0.as_mut().expect("a record is handed over at the end of its call only")
    }

    fn answered(&mut self, status: u16, headers: &HeaderMap) {
        let mut shown = joined(headers, &Masker::default());
        record::mask_private(&mut shown);
        let answer = Answer { status, headers: shown, media: media_of(headers), body: Kept::default() };
        self.running().answer = Some(answer);
    }

    /// A piece of the body passed.
    fn passed(&mut self, chunk: &[u8]) {
        if let Some(answer) = &mut self.running().answer {
            answer.body.push(chunk);
        }
    }

    /// The body was read to its end.
    fn end(&mut self) {
        if let Some(answer) = &mut self.running().answer {
            answer.body.end();
        }
        self.hand_over(None);
    }

    /// The call failed; answers its cause, without secrets.
    fn fail(&mut self, failure: Failure) -> Failure {
        let failure = self.running().trail.cause(failure);
        self.hand_over(Some(failure.clone()));
        failure
    }

    fn hand_over(&mut self, failure: Option<Failure>) {
        let Some(Running { trail, answer, hand_over }) = self.0.take() else { return };
        let result = match (failure, answer) {
            (Some(failure), _) => Err(failure),
            (None, Some(answer)) => Ok(answer.show(&trail.everything())),
            (None, None) => Err(trail.cause(given_up(&trail.shown_url))),
        };
        hand_over(trail.finish(result));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.hand_over(None);
    }
}

impl Answer {
    /// `{status, headers, body}`, and `{partial, bytes}` if the body was not read to its end.
    fn show(self, masker: &Masker) -> Value {
        let mut shown = Object::new();
        shown.insert("status".into(), Value::from(u64::from(self.status)));
        shown.insert("headers".into(), masker.value(&Value::Object(Arc::new(self.headers))));
        self.body.show_in(&mut shown, &self.media, masker);
        Value::Object(Arc::new(shown))
    }
}

fn given_up(url: &str) -> Failure {
    let message = format!("The call to {url} was given up before it was answered.");
    Failure::permanent(ErrorCode::Cancelled, message)
}
