//! Files: objects too large to hold in memory.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flux_model::Tenant;
use futures::stream::{BoxStream, Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::codec::{Packer, Unpacker};
use crate::{FILE_BYTES_MAX, ObjectError, ObjectName, Objects};

/// What a file is called until its content, and so its name, is known.
pub(crate) const INCOMING: &str = "incoming-";
/// Stored bytes per part of an upload; the least that S3 takes.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Content is expanded in pieces of at most about this many stored bytes, so that a small stored
/// piece cannot become a large one in memory.
const PIECE_BYTES: usize = 16 * 1024;

static UPLOADS: AtomicU64 = AtomicU64::new(0);

impl Objects {
    /// Stores a file while it comes in; durable when it returns. Gives its name and its size.
    ///
    /// # Errors
    /// [`ObjectError::TooLarge`] over [`FILE_BYTES_MAX`]; [`ObjectError::Source`] if the stream
    /// fails; [`ObjectError::Storage`]. Nothing is left behind then, but for a crash of the storage.
    pub async fn put_stream(
        &self,
        tenant: Tenant,
        content: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<(ObjectName, u64), ObjectError> {
        self.make_folder(tenant).await?;
        let incoming = self.prefix(tenant).join(incoming_name());
        let mut upload = self.inner.storage.put_multipart(&incoming).await?;
        let stored = match fill(upload.as_mut(), content).await {
            Ok(stored) => stored,
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "an upload could not be taken back; a sweep will");
                }
                return Err(error);
            }
        };
        let _putting = self.inner.sweeping.read().await;
        upload.complete().await?;
        let path = self.path(tenant, &stored.0);
        let mut doubtful = self.doubtful(&stored.0).lock().await;
        doubtful.insert(path.clone());
        self.inner.storage.rename(&incoming, &path).await?;
        doubtful.remove(&path);
        Ok(stored)
    }

    /// Reads a file piece by piece. The last item is an error if the content is not what was put,
    /// so whoever acts before the end acts on unchecked content.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`]; [`ObjectError::Storage`].
    pub async fn get_stream(
        &self,
        tenant: Tenant,
        name: &ObjectName,
    ) -> Result<BoxStream<'static, Result<Bytes, ObjectError>>, ObjectError> {
        let stored = self.open(tenant, name).await?.into_stream();
        let unpacker = Unpacker::new().map_err(ObjectError::Source)?;
        let reading = Reading { stored, unpacker, name: name.clone(), piece: Bytes::new() };
        Ok(futures::stream::try_unfold(Some(reading), Reading::next).boxed())
    }
}

/// Uploads all parts; gives name and size.
async fn fill(
    upload: &mut dyn MultipartUpload,
    content: impl Stream<Item = io::Result<Bytes>> + Send,
) -> Result<(ObjectName, u64), ObjectError> {
    let mut packer = Packer::new().map_err(ObjectError::Source)?;
    let mut content = std::pin::pin!(content);
    while let Some(piece) = content.try_next().await.map_err(ObjectError::Source)? {
        packer.add(&piece).map_err(ObjectError::Source)?;
        if packer.bytes() > FILE_BYTES_MAX {
            return Err(ObjectError::TooLarge { limit: "FILE_BYTES_MAX", max: FILE_BYTES_MAX });
        }
        if let Some(part) = packer.take(PART_BYTES) {
            upload.put_part(PutPayload::from(part)).await?;
        }
    }
    let bytes = packer.bytes();
    let (name, rest) = packer.finish().map_err(ObjectError::Source)?;
    upload.put_part(PutPayload::from(rest)).await?;
    Ok((name, bytes))
}

/// A name that no other upload has, in this process or an earlier one.
fn incoming_name() -> String {
    let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{INCOMING}{}-{started}-{number}", std::process::id())
}

/// Whether a path is that of a file that came in, and was not finished, or is just about to be.
pub(crate) fn is_incoming(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.starts_with(INCOMING))
}

/// A file that is being read.
struct Reading {
    stored: BoxStream<'static, object_store::Result<Bytes>>,
    unpacker: Unpacker,
    name: ObjectName,
    /// Stored bytes that were not expanded yet.
    piece: Bytes,
}

impl Reading {
    /// The next piece of content and the state after it.
    async fn next(state: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, ObjectError> {
        let Some(mut reading) = state else { return Ok(None) };
        loop {
            if reading.piece.is_empty() {
                match reading.stored.try_next().await? {
                    Some(piece) => reading.piece = piece,
                    None => return reading.finish().map(|()| None),
                }
            }
            let piece = reading.piece.split_to(reading.piece.len().min(PIECE_BYTES));
            let content = reading.unpacker.add(&piece).map_err(|error| reading.damaged(error.to_string()))?;
            if reading.unpacker.bytes() > FILE_BYTES_MAX {
                return Err(ObjectError::TooLarge { limit: "FILE_BYTES_MAX", max: FILE_BYTES_MAX });
            }
            if !content.is_empty() {
                return Ok(Some((content, Some(reading))));
            }
        }
    }

    fn finish(self) -> Result<(), ObjectError> {
        let found = self.unpacker.finish();
        if found == self.name {
            return Ok(());
        }
        let reason = format!("its content has the hash {found}");
        Err(ObjectError::Damaged { name: self.name, reason })
    }

    fn damaged(&self, reason: String) -> ObjectError {
        ObjectError::Damaged { name: self.name.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::tenant;

    /// Pieces of a content that does not compress well.
    fn pieces(count: u32) -> Vec<Bytes> {
        let noise = |n: u32| -> Vec<u8> {
            (0..40_000_u32)
                .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(n * 97) >> 13) as u8)
                .collect()
        };
        (0..count).map(|n| Bytes::from(noise(n))).collect()
    }

    async fn put(objects: &Objects, pieces: &[Bytes]) -> Result<(ObjectName, u64), ObjectError> {
        let stream = futures::stream::iter(pieces.iter().cloned().map(Ok));
        objects.put_stream(tenant(1), stream).await
    }

    #[tokio::test]
    async fn a_file_streams_in_and_out() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        for count in [0, 1, 300] {
            let pieces = pieces(count);
            let whole = pieces.concat();
            let (name, bytes) = put(&objects, &pieces).await.unwrap();
            assert_eq!((name.clone(), bytes), (ObjectName::of(&whole), whole.len() as u64));
            assert_eq!(put(&objects, &pieces).await.unwrap().0, name);
            let read = objects.get_stream(tenant(1), &name).await.unwrap();
            let read: Vec<Bytes> = read.try_collect().await.unwrap();
            assert!(read.concat() == whole, "{count} pieces");
            assert!(objects.get(tenant(1), &name).await.unwrap() == whole);
        }
    }

    #[tokio::test]
    async fn a_failing_source_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let source = [Ok(Bytes::from_static(b"half")), Err(io::Error::other("gone"))];
        let failed = objects.put_stream(tenant(1), futures::stream::iter(source)).await;
        assert!(matches!(failed, Err(ObjectError::Source(_))));
        let project = folder.path().join(tenant(1).project.to_string());
        let left: Vec<_> =
            std::fs::read_dir(project).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [crate::FOLDER_MARK]);
    }

    #[tokio::test]
    async fn a_damaged_file_ends_with_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let (name, _) = put(&objects, &pieces(3)).await.unwrap();
        let path = folder.path().join(tenant(1).project.to_string()).join(name.as_str());
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for stored in [&whole[..whole.len() / 2], &flipped] {
            std::fs::write(&path, stored).unwrap();
            let read = objects.get_stream(tenant(1), &name).await.unwrap();
            let read: Result<Vec<Bytes>, _> = read.try_collect().await;
            assert!(matches!(read, Err(ObjectError::Damaged { .. })));
        }
    }
}
