//! Answers of calls, read to the end: masked, and made into a value or a file.

use bytes::{Bytes, BytesMut};
use flux_model::error::Failure;
use flux_model::value::Object;
use flux_model::{ErrorCode, Tenant, Value};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use hyper::body::Incoming;

use crate::content::{Bounds, Content};
use crate::file_name;
use crate::files::{FileRef, FileStore};
use crate::kept::{is_json_type, media_type, without_mark};
use crate::limits::Limits;
use crate::mask::Masker;
use crate::record;
use crate::request::{Request, ResponseMode};
use crate::response::Response;
use crate::retry_after;
use crate::wire::Wire;

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
        let media = media_of(headers);
        let failed = status.is_client_error() || status.is_server_error();
        // An error page is wanted as text or JSON, whatever a good answer would be.
        let mode = if failed { ResponseMode::Auto } else { self.request.response };
        let is_file = mode == ResponseMode::File || (mode == ResponseMode::Auto && is_file_type(&media));
        let mut content = Content::of(headers, body, self.wire, self.bounds(is_file))?;
        if is_file {
            return self.store(headers, &media, content).await;
        }
        if content.length == Some(0) {
            return Ok(Value::Null);
        }
        let bytes = self.collect(&mut content).await?;
        match mode {
            ResponseMode::Json => self.json(&bytes),
            ResponseMode::Text => Ok(Value::from(self.masker.text(&String::from_utf8_lossy(&bytes)))),
            ResponseMode::Auto | ResponseMode::File => self.whatever(headers, &media, bytes, content).await,
        }
    }

    fn bounds(&self, is_file: bool) -> Bounds {
        let limit = if is_file { self.limits.file_bytes_max } else { self.limits.response_bytes_max };
        Bounds::of(self.request, self.limits.header_bytes_max, limit)
    }

    /// JSON if it says so and is, else text if it is UTF-8, else a file.
    async fn whatever(
        &self,
        headers: &HeaderMap,
        media: &str,
        bytes: Bytes,
        content: Content,
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
            Err(_) => self.store(headers, media, content.again(bytes)).await,
        }
    }

    async fn collect(&self, content: &mut Content) -> Result<Bytes, Failure> {
        let announced = content.length.unwrap_or(0).min(RESERVED_BYTES_MAX);
        let mut collected = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = content.next().await? {
            collected.extend_from_slice(&chunk);
        }
        Ok(collected.freeze())
    }

    fn json(&self, bytes: &[u8]) -> Result<Value, Failure> {
        let bytes = without_mark(bytes);
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

    async fn store(&self, headers: &HeaderMap, media: &str, mut content: Content) -> Result<Value, Failure> {
        let mut sink = self.files.create(self.tenant).await?;
        let mut masker = self.masker.stream();
        let mut bytes = 0_u64;
        while let Some(chunk) = content.next().await? {
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
}

/// Header values by name; bytes that are not text are replaced.
pub(crate) fn joined(headers: &HeaderMap, masker: &Masker) -> Object {
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

/// The media type that the headers name; empty if they name none.
pub(crate) fn media_of(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    text.map(media_type).unwrap_or_default()
}

fn is_file_type(media: &str) -> bool {
    let family = media.split('/').next().unwrap_or_default();
    FILE_TYPES.contains(&media)
        || (matches!(family, "image" | "audio" | "video" | "font") && media != "image/svg+xml")
}
