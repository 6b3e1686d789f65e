//! Compression and hashing, whole or piece by piece.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flux_model::limits::VALUE_BYTES_MAX;
use sha2::{Digest, Sha256};

use crate::{ObjectError, ObjectName};

/// Level 3 is zstd's own default: several hundred megabytes a second.
const LEVEL: i32 = 3;

/// The stored form of a content.
pub(crate) fn compress(content: &[u8]) -> io::Result<Vec<u8>> {
    zstd::stream::encode_all(content, LEVEL)
}

/// The content of a stored form, which is trusted neither in size nor in content.
pub(crate) fn expand(name: &ObjectName, stored: &[u8]) -> Result<Vec<u8>, ObjectError> {
    let damaged = |reason: String| ObjectError::Damaged { name: name.clone(), reason };
    let decoder = zstd::stream::read::Decoder::new(stored).map_err(|error| damaged(error.to_string()))?;
    let mut content = Vec::new();
    let read = decoder.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut content);
    read.map_err(|error| damaged(error.to_string()))?;
    if content.len() > VALUE_BYTES_MAX {
        return Err(ObjectError::TooLarge { limit: "VALUE_BYTES_MAX", max: VALUE_BYTES_MAX as u64 });
    }
    let found = ObjectName::of(&content);
    if found != *name || stored.is_empty() {
        return Err(damaged(format!("its content has the hash {found}")));
    }
    Ok(content)
}

/// Compresses and hashes piece by piece.
pub(crate) struct Packer {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    hash: Sha256,
    bytes: u64,
}

impl Packer {
    pub(crate) fn new() -> io::Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        Ok(Self { encoder, hash: Sha256::new(), bytes: 0 })
    }

    pub(crate) fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.bytes += piece.len() as u64;
        self.hash.update(piece);
        self.encoder.write_all(piece)
    }

    /// Bytes of content so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The stored form so far, if it has at least this many bytes.
    pub(crate) fn take(&mut self, bytes_min: usize) -> Option<Bytes> {
        let stored = self.encoder.get_mut();
        (stored.len() >= bytes_min).then(|| Bytes::from(std::mem::take(stored)))
    }

    /// The name, and the rest of the stored form.
    pub(crate) fn finish(self) -> io::Result<(ObjectName, Bytes)> {
        let rest = self.encoder.finish()?;
        Ok((ObjectName::from_hash(self.hash.finalize()), Bytes::from(rest)))
    }
}

/// Expands and checks piece by piece.
pub(crate) struct Unpacker {
    decoder: zstd::stream::write::Decoder<'static, Vec<u8>>,
    hash: Sha256,
    bytes: u64,
}

impl Unpacker {
    pub(crate) fn new() -> io::Result<Self> {
        let decoder = zstd::stream::write::Decoder::new(Vec::new())?;
        Ok(Self { decoder, hash: Sha256::new(), bytes: 0 })
    }

    /// The content of the next piece of the stored form.
    pub(crate) fn add(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.decoder.write_all(piece)?;
        self.decoder.flush()?;
        let content = std::mem::take(self.decoder.get_mut());
        self.bytes += content.len() as u64;
        self.hash.update(&content);
        Ok(Bytes::from(content))
    }

    /// Bytes of content so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The name of what was expanded.
    pub(crate) fn finish(self) -> ObjectName {
        ObjectName::from_hash(self.hash.finalize())
    }
}
