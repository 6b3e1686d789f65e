//! Files as values, and the store that egress streams their content to and from.
//!
//! The store itself lives elsewhere; this module only says what egress needs of it.

use bytes::Bytes;
use flux_model::{Tenant, Value};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

/// A file as a value: `{"$file": {"hash", "name", "mime", "bytes"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// SHA-256 of the content, in hexadecimal: the name of the object.
    pub hash: String,
    /// The file's name, without folders.
    pub name: String,
    /// The media type.
    pub mime: String,
    /// The length of the content.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct FileValue {
    #[serde(rename = "$file")]
    file: FileRef,
}

impl FileRef {
    /// Reads a file value; `None` if it is not one.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.parse::<FileValue>().ok().map(|value| value.file)
    }

    /// The file value.
    pub fn to_value(&self) -> Value {
        Value::object([("$file", Value::from_serialize(self))])
    }
}

/// The content of a file, piece by piece.
pub type FileContent = BoxStream<'static, Result<Bytes, FileError>>;

/// Where the content of files is kept.
pub trait FileStore: Send + Sync {
    /// Begins a new file of the tenant. Dropping the sink before its end discards it.
    fn create(&self, tenant: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>>;

    /// Opens the content named by `hash`.
    fn open<'a>(&'a self, tenant: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>>;
}

/// A file that is being written.
pub trait FileSink: Send {
    /// Appends `chunk`.
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), FileError>>;

    /// Makes the file durable and answers with the hash of its content.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<String, FileError>>;
}

/// Why a file could not be stored or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// There is no such content for this tenant.
    #[error("file {hash} does not exist")]
    Missing {
        /// The hash.
        hash: String,
    },
    /// The store failed.
    #[error("the file store failed: {message}")]
    Store {
        /// What it said, for people.
        message: String,
    },
}
