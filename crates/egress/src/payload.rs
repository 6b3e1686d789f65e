//! Request bodies as they go over the wire, replayable for redirects unless they are streams.

use std::sync::Arc;

use bytes::Bytes;
use flux_model::error::Failure;
use flux_model::{ErrorCode, Tenant};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use http::HeaderValue;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;

use crate::files::{FileError, FileRef, FileStore};
use crate::mask::Masker;
use crate::request::{Body, Part, PartContent};
use crate::reveal::Revealed;
use crate::upload::BodyStream;

/// The media type of a text body that names none.
const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of a file whose own is not one.
const BINARY: &str = "application/octet-stream";
/// Bytes of the random number in a multipart boundary.
const BOUNDARY_BYTES: usize = 16;

/// What hyper sends.
pub(crate) type WireBody = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Failure>>>>;

/// A body in plain.
#[derive(Clone, Default)]
pub(crate) struct Payload {
    pieces: Vec<Piece>,
    /// The bytes of the pieces whose length is known.
    length: u64,
    /// Its media type.
    pub(crate) content_type: Option<String>,
    /// Whether a secret was put in.
    holds_secret: bool,
}

#[derive(Clone)]
enum Piece {
    /// Written here.
    Bytes(Bytes),
    /// Given as they are.
    Exact(Bytes),
    File(FileRef),
    Stream(BodyStream),
}

impl Payload {
    /// The body in plain.
    pub(crate) fn of(body: &Body, revealed: &Revealed<'_>) -> Result<Self, Failure> {
        match body {
            Body::None => Ok(Self::default()),
            Body::Json(value) => json(value, revealed),
            Body::Form(fields) => form(fields, revealed),
            Body::Multipart(parts) => multipart(parts, revealed),
            Body::Text { content, content_type } => {
                let content_type = content_type.clone().unwrap_or_else(|| TEXT.to_owned());
                let holds_secret = revealed.scope().mentions(content);
                let mut payload = Self { holds_secret, ..Self::typed(content_type) };
                payload.push(revealed.text(content)?.into_owned());
                Ok(payload)
            }
            Body::File(file) => {
                let mut payload = Self::typed(media_type(file).to_owned());
                payload.push_file(file);
                Ok(payload)
            }
            Body::Bytes { content, content_type } => Ok(Self {
                pieces: vec![Piece::Exact(content.clone())],
                length: content.len() as u64,
                content_type: content_type.clone(),
                holds_secret: false,
            }),
            Body::Stream { content, content_type } => Ok(Self {
                pieces: vec![Piece::Stream(content.clone())],
                content_type: content_type.clone(),
                ..Self::default()
            }),
        }
    }

    /// The body to send, once. Files are opened when their turn comes; of a stream at most `limit`
    /// bytes are sent.
    pub(crate) fn to_body(&self, files: &Arc<dyn FileStore>, tenant: Tenant, limit: u64) -> WireBody {
        match self.pieces.as_slice() {
            [] => Either::Left(Full::default()),
            [Piece::Bytes(bytes) | Piece::Exact(bytes)] => Either::Left(Full::new(bytes.clone())),
            pieces => {
                let files = files.clone();
                let content = stream::iter(pieces.to_vec()).flat_map(move |piece| match piece {
                    Piece::Bytes(bytes) | Piece::Exact(bytes) => {
                        stream::once(std::future::ready(Ok(bytes))).boxed()
                    }
                    Piece::File(file) => {
                        let files = files.clone();
                        let open = async move { files.open(tenant, &file.hash).await };
                        open.try_flatten_stream().map_err(Failure::from).boxed()
                    }
                    Piece::Stream(stream) => stream.send(limit),
                });
                Either::Right(StreamBody::new(content.map_ok(Frame::data).boxed()))
            }
        }
    }

    /// Its bytes, if that is known before it is sent. What is not known is a stream, and a stream
    /// can be sent once.
    pub(crate) fn length(&self) -> Option<u64> {
        let has_stream = self.pieces.iter().any(|piece| matches!(piece, Piece::Stream(_)));
        (!has_stream).then_some(self.length)
    }

    /// Its length, if that must be announced by hand, because it is sent in pieces.
    pub(crate) fn announced(&self) -> Option<u64> {
        match self.pieces.as_slice() {
            [] | [Piece::Bytes(_) | Piece::Exact(_)] => None,
            _ => self.length(),
        }
    }

    /// Its parts that were written here.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(&**bytes),
            Piece::Exact(_) | Piece::File(_) | Piece::Stream(_) => None,
        })
    }

    /// Whether a secret is in it: one that was put in here, or one that `masker` finds.
    pub(crate) fn has_secret(&self, masker: &Masker) -> bool {
        let found = |piece: &Piece| match piece {
            Piece::Bytes(bytes) | Piece::Exact(bytes) => masker.finds(bytes),
            Piece::File(_) | Piece::Stream(_) => false,
        };
        self.holds_secret || self.pieces.iter().any(found)
    }

    fn typed(content_type: String) -> Self {
        Self { content_type: Some(content_type), ..Self::default() }
    }

    fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.length += bytes.len() as u64;
        self.pieces.push(Piece::Bytes(bytes));
    }

    fn push_file(&mut self, file: &FileRef) {
        self.length = self.length.saturating_add(file.bytes);
        self.pieces.push(Piece::File(file.clone()));
    }
}

fn json(value: &flux_model::Value, revealed: &Revealed<'_>) -> Result<Payload, Failure> {
    let scope = revealed.scope();
    let mut holds_secret = false;
    let plain = if scope.is_empty() {
        value.clone()
    } else {
        scope.try_map(value, &mut |text| {
            holds_secret = true;
            revealed.text(text).map(Arc::from)
        })?
    };
    if plain.holds_secret() {
        return Err(Failure::permanent(
            ErrorCode::Internal,
            "A JSON body holds a secret reference that was not opened by a SecretScope.",
        ));
    }
    let mut payload = Payload { holds_secret, ..Payload::typed("application/json".to_owned()) };
    let bytes = serde_json::to_vec(&plain).map_err(|error| {
        Failure::permanent(ErrorCode::NodeConfig, format!("The body is not JSON: {error}."))
    })?;
    payload.push(bytes);
    Ok(payload)
}

fn form(fields: &[(String, String)], revealed: &Revealed<'_>) -> Result<Payload, Failure> {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    let mut holds_secret = false;
    for (name, value) in fields {
        holds_secret |= revealed.scope().mentions(name) || revealed.scope().mentions(value);
        encoded.append_pair(&revealed.text(name)?, &revealed.text(value)?);
    }
    let mut payload =
        Payload { holds_secret, ..Payload::typed("application/x-www-form-urlencoded".to_owned()) };
    payload.push(encoded.finish());
    Ok(payload)
}

fn multipart(parts: &[Part], revealed: &Revealed<'_>) -> Result<Payload, Failure> {
    let mut random = [0_u8; BOUNDARY_BYTES];
    getrandom::fill(&mut random)
        .map_err(|_| Failure::retryable(ErrorCode::Internal, "The system gave no random bytes."))?;
    let boundary = hex::encode(random);
    let mut payload = Payload::typed(format!("multipart/form-data; boundary={boundary}"));
    for part in parts {
        if revealed.scope().mentions(&part.name) {
            return Err(Failure::permanent(
                ErrorCode::NodeConfig,
                "The name of a multipart field holds a secret; only its content may.",
            ));
        }
        let name = quoted(&part.name);
        let head = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"");
        match &part.content {
            PartContent::Text(text) => {
                payload.holds_secret |= revealed.scope().mentions(text);
                payload.push(format!("{head}\r\n\r\n{}\r\n", revealed.text(text)?));
            }
            PartContent::File(file) => {
                let (name, media) = (quoted(&file.name), media_type(file));
                payload.push(format!("{head}; filename=\"{name}\"\r\ncontent-type: {media}\r\n\r\n"));
                payload.push_file(file);
                payload.push("\r\n");
            }
        }
    }
    payload.push(format!("--{boundary}--\r\n"));
    Ok(payload)
}

/// A name within quotes of a multipart header, escaped as the HTML standard says.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

fn media_type(file: &FileRef) -> &str {
    if HeaderValue::from_str(&file.mime).is_ok() && file.mime.contains('/') { &file.mime } else { BINARY }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let message = format!("{error}.");
        match error {
            FileError::Missing { .. } => Self::permanent(ErrorCode::NodeInput, message),
            FileError::Store { .. } => Self::retryable(ErrorCode::StorageUnavailable, message),
        }
    }
}
