//! What a node asks of the outside: an HTTP request whose texts may hold secret tokens.
//!
//! These are plain data. Every `String` here may contain tokens made by [`crate::SecretScope`],
//! except the method and header names.

use std::time::Duration;

use bytes::Bytes;
use flux_model::Value;

use crate::files::FileRef;
use crate::upload::BodyStream;

/// One HTTP request, redirects included.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, in capital letters: `GET`.
    pub method: String,
    /// The URL: `http` or `https`, without user name and password. A fragment is not sent.
    pub url: String,
    /// Names and values added to the query of `url`, in this order.
    pub query: Vec<(String, String)>,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// How the request is authenticated.
    pub auth: Auth,
    /// What is sent.
    pub body: Body,
    /// What is made of the answer's body.
    pub response: ResponseMode,
    /// How long the whole call may take, redirects and body included; [`crate::Limits::timeout`]
    /// if absent.
    pub timeout: Option<Duration>,
    /// How long the body of an answer may pause, where it is read piece by piece
    /// ([`crate::Egress::open`]); [`crate::Limits::idle_timeout`] if absent.
    pub idle_timeout: Option<Duration>,
    /// What is done with an answer that redirects.
    pub redirects: Redirects,
    /// Redirects that are followed, at most [`crate::Limits::redirects_max`]. With 0 an answer that
    /// redirects is returned as it is.
    pub redirects_max: Option<u32>,
    /// Bytes of the answer's body after decompression, at most
    /// [`crate::Limits::response_bytes_max`], or [`crate::Limits::file_bytes_max`] for what becomes
    /// a file or is read piece by piece.
    pub response_bytes_max: Option<u64>,
    /// Sent as `Idempotency-Key`, unless `headers` has one.
    pub idempotency_key: Option<String>,
}

impl Request {
    /// A request without headers and body, with the default limits.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            query: Vec::new(),
            headers: Vec::new(),
            auth: Auth::None,
            body: Body::None,
            response: ResponseMode::Auto,
            timeout: None,
            idle_timeout: None,
            redirects: Redirects::Follow,
            redirects_max: None,
            response_bytes_max: None,
            idempotency_key: None,
        }
    }
}

/// What is done with an answer that redirects: one of the statuses 301, 302, 303, 307 and 308.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// It is followed, if it says where to.
    #[default]
    Follow,
    /// It is a failure.
    Error,
    /// It is the answer.
    Manual,
}

/// How a request is authenticated. Never sent to another host after a redirect, never recorded.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Bearer token`
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …` (RFC 7617)
    Basic {
        /// The user name, without colon.
        username: String,
        /// The password.
        password: String,
    },
    /// A header of its own.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What is sent.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// JSON. Tokens in texts and member names are resolved before serialising.
    Json(Value),
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, String)>),
    /// `multipart/form-data` (RFC 7578)
    Multipart(Vec<Part>),
    /// A text of any type.
    Text {
        /// The text.
        content: String,
        /// Its media type; `text/plain; charset=utf-8` if absent.
        content_type: Option<String>,
    },
    /// The content of a file.
    File(FileRef),
    /// These bytes exactly; tokens in them are neither searched for nor resolved.
    Bytes {
        /// The bytes.
        content: Bytes,
        /// Their media type; none is sent if absent.
        content_type: Option<String>,
    },
    /// What a stream gives, exactly, at most [`crate::Limits::request_bytes_max`].
    Stream {
        /// The stream.
        content: BodyStream,
        /// Its media type; none is sent if absent.
        content_type: Option<String>,
    },
}

/// One part of a multipart body.
#[derive(Debug, Clone)]
pub struct Part {
    /// The field's name.
    pub name: String,
    /// What it holds.
    pub content: PartContent,
}

/// What a multipart part holds.
#[derive(Debug, Clone)]
pub enum PartContent {
    /// A text.
    Text(String),
    /// The content of a file, with its name and media type.
    File(FileRef),
}

/// What [`crate::Egress::call`] makes of the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseMode {
    /// JSON if the content type says so, else text if it is UTF-8, else a file. An empty body is
    /// null.
    #[default]
    Auto,
    /// JSON; anything else is a failure. An empty body is null.
    Json,
    /// Text; bytes that are not UTF-8 are replaced.
    Text,
    /// A file, streamed to the file store.
    File,
}
