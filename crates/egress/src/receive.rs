//! Answers: bounded, decompressed, masked, and made into a value or a file.

use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use flux_model::error::Failure;
use flux_model::value::Object;
use flux_model::{ErrorCode, Tenant, Value};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyDataStream;
use hyper::body::{Body as _, Incoming};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::failure;
use crate::file_name;
use crate::files::{FileRef, FileStore};
use crate::limits::Limits;
use crate::mask::Masker;
use crate::record;
use crate::request::{Request, ResponseMode};
use crate::response::Response;
use crate::retry_after;
use crate::wire::Wire;

/// Bytes that are decompressed at a time: a bomb is noticed within one such step.
const DECOMPRESS_STEP_BYTES: usize = 16 * 1024;
/// Bytes reserved at once for a body whose length is announced.
const RESERVED_BYTES_MAX: u64 = 64 * 1024;
/// Media types that are files by themselves.
const FILE_TYPES: &[&str] = &[
    "application/gzip",
    "application/octet-stream",
    "application/pdf",
    "application/x-tar",
    "application/zip",
];

type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// What turns an answer into a [`Response`].
pub(crate) struct Receiver<'c> {
    pub(crate) tenant: Tenant,
    pub(crate) files: &'c dyn FileStore,
    pub(crate) limits: &'c Limits,
    pub(crate) masker: &'c Masker,
    pub(crate) request: &'c Request,
    pub(crate) wire: &'c Wire,
}

impl Receiver<'_> {
    /// Reads the answer to the end.
    pub(crate) async fn receive(&self, answer: http::Response<Incoming>) -> Result<Response, Failure> {
        let (head, body) = answer.into_parts();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let now = record::now().to_utc().unwrap_or_default();
        let longest = self.limits.retry_after_max;
        Ok(Response {
            status: head.status.as_u16(),
            headers: joined(&head.headers, self.masker),
            body: self.body(head.status, &head.headers, body).await?,
            url: self.wire.shown_url.clone(),
            retry_after_ms: retry_after.and_then(|value| retry_after::parse(value, now, longest)),
        })
    }

    async fn body(&self, status: StatusCode, headers: &HeaderMap, body: Incoming) -> Result<Value, Failure> {
        let media = media_type(headers);
        let failed = status.is_client_error() || status.is_server_error();
        // An error page is wanted as text or JSON, whatever a good answer would be.
        let mode = if failed { ResponseMode::Auto } else { self.request.response };
        let is_file = mode == ResponseMode::File || (mode == ResponseMode::Auto && is_file_type(&media));
        let limit = self.bytes_max(is_file);
        self.check_announced(headers, limit)?;
        if body.is_end_stream() {
            return if is_file { self.store(headers, &media, empty(), limit).await } else { Ok(Value::Null) };
        }
        let announced = body.size_hint().exact().unwrap_or(0).min(RESERVED_BYTES_MAX);
        let chunks = self.decompressed(headers, body)?;
        if is_file {
            return self.store(headers, &media, chunks, limit).await;
        }
        let bytes = self.collect(chunks, announced, limit).await?;
        match mode {
            ResponseMode::Json => self.json(&bytes),
            ResponseMode::Text => Ok(Value::from(self.masker.text(&String::from_utf8_lossy(&bytes)))),
            ResponseMode::Auto | ResponseMode::File => self.whatever(headers, &media, bytes, limit).await,
        }
    }

    fn bytes_max(&self, is_file: bool) -> u64 {
        let limit = if is_file { self.limits.file_bytes_max } else { self.limits.response_bytes_max };
        self.request.response_bytes_max.map_or(limit, |asked| asked.min(limit))
    }

    fn check_announced(&self, headers: &HeaderMap, limit: u64) -> Result<(), Failure> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match announced {
            Some(bytes) if bytes > limit && self.wire.method != http::Method::HEAD => {
                Err(self.too_large(&format!("announces {bytes} bytes"), limit))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn decompressed(&self, headers: &HeaderMap, body: Incoming) -> Result<Chunks, Failure> {
        let plain = BodyDataStream::new(body).map_err(io::Error::other);
        let encoding = headers.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(plain.boxed()),
            "gzip" | "x-gzip" => {
                let mut decoder = GzipDecoder::new(StreamReader::new(plain));
                decoder.multiple_members(true);
                Ok(ReaderStream::with_capacity(decoder, DECOMPRESS_STEP_BYTES).boxed())
            }
            other => {
                let message = format!(
                    "{} answered with content-encoding `{other}`, asked for was gzip.",
                    self.wire.shown_url
                );
                Err(Failure::permanent(ErrorCode::HttpResponse, message))
            }
        }
    }

    async fn collect(&self, mut chunks: Chunks, announced: u64, limit: u64) -> Result<Bytes, Failure> {
        let mut collected = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.broken(&error))?;
            if (collected.len() + chunk.len()) as u64 > limit {
                return Err(self.too_large("has more bytes", limit));
            }
            collected.extend_from_slice(&chunk);
        }
        Ok(collected.freeze())
    }

    /// JSON if it says so and is, else text if it is UTF-8, else a file.
    async fn whatever(
        &self,
        headers: &HeaderMap,
        media: &str,
        bytes: Bytes,
        limit: u64,
    ) -> Result<Value, Failure> {
        if is_json_type(media)
            && let Ok(value) = self.json(&bytes)
        {
            return Ok(value);
        }
        match std::str::from_utf8(&bytes) {
            Ok("") => Ok(Value::Null),
            Ok(text) if self.masker.is_empty() => Ok(Value::text(text)),
            Ok(text) => Ok(Value::from(self.masker.text(text))),
            Err(_) => {
                let whole = futures::stream::once(std::future::ready(Ok(bytes))).boxed();
                self.store(headers, media, whole, limit).await
            }
        }
    }

    fn json(&self, bytes: &[u8]) -> Result<Value, Failure> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        match Value::from_json(bytes) {
            Ok(value) => Ok(self.masker.value(&value)),
            Err(error) => {
                let message = format!("The answer of {} is not JSON: {error}.", self.wire.shown_url);
                Err(Failure::permanent(ErrorCode::HttpResponse, message))
            }
        }
    }

    async fn store(
        &self,
        headers: &HeaderMap,
        media: &str,
        mut chunks: Chunks,
        limit: u64,
    ) -> Result<Value, Failure> {
        let mut sink = self.files.create(self.tenant).await?;
        let mut masker = self.masker.stream();
        let (mut received, mut bytes) = (0_u64, 0_u64);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.broken(&error))?;
            received += chunk.len() as u64;
            if received > limit {
                return Err(self.too_large("has more bytes", limit));
            }
            let chunk = masker.push(chunk);
            bytes += chunk.len() as u64;
            sink.write(chunk).await?;
        }
        let rest = masker.finish();
        bytes += rest.len() as u64;
        if !rest.is_empty() {
            sink.write(rest).await?;
        }
        let hash = sink.finish().await?;
        let disposition =
            headers.get(CONTENT_DISPOSITION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let name = self.masker.text(&file_name::choose(disposition.as_deref(), &self.wire.url));
        let mime = if media.is_empty() { "application/octet-stream" } else { media };
        Ok(FileRef { hash, name, mime: self.masker.text(mime), bytes }.to_value())
    }

    fn too_large(&self, how: &str, limit: u64) -> Failure {
        let url = &self.wire.shown_url;
        let message = format!("The answer of {url} {how}, more than response_bytes_max = {limit}.");
        Failure::permanent(ErrorCode::EgressLimit, message)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let from_decoder = error.get_ref().is_none_or(|inner| !inner.is::<hyper::Error>())
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        if from_decoder {
            let message = format!("The gzip data of {} is broken: {error}.", self.wire.shown_url);
            return Failure::permanent(ErrorCode::HttpResponse, message);
        }
        failure::exchange(&self.wire.shown_url, error, self.limits)
    }
}

fn empty() -> Chunks {
    futures::stream::empty().boxed()
}

/// Header values by name; bytes that are not text are replaced.
fn joined(headers: &HeaderMap, masker: &Masker) -> Object {
    let mut joined = Object::with_capacity(headers.keys_len());
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let separator = if *name == HeaderName::from_static("set-cookie") { "\n" } else { ", " };
        let value = values.join(separator);
        let value = if masker.is_empty() { value } else { masker.text(&value) };
        joined.insert(std::sync::Arc::from(name.as_str()), Value::from(value));
    }
    joined
}

/// The media type without parameters, in lower case; empty if there is none.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json_type(media: &str) -> bool {
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

fn is_file_type(media: &str) -> bool {
    let family = media.split('/').next().unwrap_or_default();
    FILE_TYPES.contains(&media)
        || (matches!(family, "image" | "audio" | "video" | "font") && media != "image/svg+xml")
}
