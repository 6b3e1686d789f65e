//! Files of nodes as objects: what egress asks for, over [`Objects`].
//!
//! An upload runs as a task that reads from a channel, because egress hands content over piece by
//! piece while objects take a stream.

use bytes::Bytes;
use flux_egress::files::{FileContent, FileError, FileSink, FileStore};
use flux_model::Tenant;
use flux_objects::{ObjectError, ObjectName, Objects};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pieces that may wait between the network and the disk.
const PIECES_MAX: usize = 8;

/// Objects as the place for files.
pub(super) struct ObjectFiles {
    objects: Objects,
}

impl ObjectFiles {
    pub(super) fn new(objects: Objects) -> Self {
        Self { objects }
    }
}

impl FileStore for ObjectFiles {
    fn create(&self, tenant: Tenant) -> BoxFuture<'_, Result<Box<dyn FileSink>, FileError>> {
        let (pieces, received) = mpsc::channel::<std::io::Result<Bytes>>(PIECES_MAX);
        let content = stream::unfold(received, async |mut received| {
            let piece = received.recv().await?;
            Some((piece, received))
        });
        let objects = self.objects.clone();
        let upload =
            tokio::spawn(async move { objects.put_stream(tenant, content).await.map(|(name, _)| name) });
        let sink: Box<dyn FileSink> = Box::new(Upload { pieces: Some(pieces), upload: Some(upload) });
        Box::pin(std::future::ready(Ok(sink)))
    }

    fn open<'a>(&'a self, tenant: Tenant, hash: &'a str) -> BoxFuture<'a, Result<FileContent, FileError>> {
        Box::pin(async move {
            let missing = || FileError::Missing { hash: hash.to_owned() };
            let name: ObjectName = hash.parse().map_err(|_| missing())?;
            match self.objects.get_stream(tenant, &name).await {
                Ok(content) => Ok(content.map(|piece| piece.map_err(failed)).boxed()),
                Err(ObjectError::NotFound(_)) => Err(missing()),
                Err(error) => Err(failed(error)),
            }
        })
    }
}

/// A file that is being written. Both fields are there until it ends.
struct Upload {
    pieces: Option<mpsc::Sender<std::io::Result<Bytes>>>,
    upload: Option<JoinHandle<Result<ObjectName, ObjectError>>>,
}

impl Upload {
    /// How the upload ended.
    async fn end(&mut self) -> Result<String, FileError> {
        let Some(upload) = self.upload.take() else {
            return Err(FileError::Store { message: "the file has failed before".to_owned() });
        };
        match upload.await {
            Ok(Ok(name)) => Ok(name.as_str().to_owned()),
            Ok(Err(error)) => Err(failed(error)),
            Err(error) => Err(FileError::Store { message: error.to_string() }),
        }
    }
}

impl FileSink for Upload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), FileError>> {
        Box::pin(async move {
            if let Some(pieces) = &self.pieces
                && pieces.send(Ok(chunk)).await.is_ok()
            {
                return Ok(());
            }
            // The task takes no more: it has failed, and says why.
            self.pieces = None;
            self.end().await.and(Err(FileError::Store { message: "the file ended early".to_owned() }))
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<String, FileError>> {
        Box::pin(async move {
            self.pieces = None;
            self.end().await
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without its end the content must not look whole.
        if let Some(pieces) = self.pieces.take() {
            let _ = pieces.try_send(Err(std::io::Error::other("the file was given up")));
        }
        if let Some(upload) = self.upload.take() {
            upload.abort();
        }
    }
}

fn failed(error: ObjectError) -> FileError {
    let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
    FileError::Store { message: format!("{error}{source}") }
}
