//! The body of an answer as bytes: bounded, decompressed, its errors named.

use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use flux_model::ErrorCode;
use flux_model::error::Failure;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Method};
use http_body_util::BodyDataStream;
use hyper::body::{Body as _, Incoming};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::failure;
use crate::request::Request;
use crate::wire::Wire;

/// Bytes that are decompressed at a time: a bomb is noticed within one such step.
const DECOMPRESS_STEP_BYTES: usize = 16 * 1024;

/// The body of an answer. Dropping it before its end closes the connection.
pub(crate) struct Content {
    chunks: BoxStream<'static, io::Result<Bytes>>,
    /// Its bytes, if they are known beforehand.
    pub(crate) length: Option<u64>,
    /// Whether the bytes are not those that were sent.
    pub(crate) encoding: Encoding,
    shown_url: String,
    header_bytes_max: usize,
    limit: u64,
    read: u64,
}

/// How the server packed a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Content {
    /// The body of the answer to `wire`, at most `limit` bytes of it.
    pub(crate) fn of(
        headers: &HeaderMap,
        body: Incoming,
        wire: &Wire,
        bounds: Bounds,
    ) -> Result<Self, Failure> {
        let mut content = Self {
            chunks: futures::stream::empty().boxed(),
            length: Some(0),
            encoding: Encoding::Identity,
            shown_url: wire.shown_url.clone(),
            header_bytes_max: bounds.header_bytes_max,
            limit: bounds.body_bytes_max,
            read: 0,
        };
        if wire.method != Method::HEAD {
            content.check_announced(headers)?;
        }
        if body.is_end_stream() {
            return Ok(content);
        }
        content.encoding = content.encoding(headers)?;
        let length = body.size_hint().exact();
        let plain = BodyDataStream::new(body).map_err(io::Error::other);
        (content.chunks, content.length) = match content.encoding {
            Encoding::Identity => (plain.boxed(), length),
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(StreamReader::new(plain));
                decoder.multiple_members(true);
                (ReaderStream::with_capacity(decoder, DECOMPRESS_STEP_BYTES).boxed(), None)
            }
        };
        Ok(content)
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(chunk) = self.chunks.next().await else { return Ok(None) };
        let chunk = chunk.map_err(|error| self.broken(&error))?;
        self.read += chunk.len() as u64;
        if self.read > self.limit {
            return Err(self.too_large("has more bytes"));
        }
        Ok(Some(chunk))
    }

    /// The body again, which was read as `bytes`.
    pub(crate) fn again(self, bytes: Bytes) -> Self {
        let chunks = futures::stream::once(std::future::ready(Ok(bytes))).boxed();
        Self { chunks, read: 0, ..self }
    }

    fn check_announced(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match announced.filter(|bytes| *bytes > self.limit) {
            Some(bytes) => Err(self.too_large(&format!("announces {bytes} bytes"))),
            None => Ok(()),
        }
    }

    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding, Failure> {
        let encoding = headers.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            other => {
                let url = &self.shown_url;
                let message = format!("{url} answered with content-encoding `{other}`, asked for was gzip.");
                Err(Failure::permanent(ErrorCode::HttpResponse, message))
            }
        }
    }

    fn too_large(&self, how: &str) -> Failure {
        let (url, limit) = (&self.shown_url, self.limit);
        let message = format!("The answer of {url} {how}, more than response_bytes_max = {limit}.");
        Failure::permanent(ErrorCode::EgressLimit, message)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let from_decoder = error.get_ref().is_none_or(|inner| !inner.is::<hyper::Error>())
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        if from_decoder {
            let message = format!("The gzip data of {} is broken: {error}.", self.shown_url);
            return Failure::permanent(ErrorCode::HttpResponse, message);
        }
        failure::exchange(&self.shown_url, error, self.header_bytes_max)
    }
}

/// The bounds of one answer.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) header_bytes_max: usize,
    /// After decompression.
    pub(crate) body_bytes_max: u64,
}

impl Bounds {
    /// What `request` asks for, within what is allowed to everyone.
    pub(crate) fn of(request: &Request, header_bytes_max: usize, body_bytes_max: u64) -> Self {
        let asked = request.response_bytes_max.unwrap_or(u64::MAX);
        Self { header_bytes_max, body_bytes_max: asked.min(body_bytes_max) }
    }
}
