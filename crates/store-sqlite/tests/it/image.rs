//! What a disk may hold after the power failed: synced operations, and of the others some.

use std::fs;
use std::path::Path;

use fastrand::Rng;

use crate::tape::Operation;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// A file: what is durable, and what may be.
#[derive(Default, Clone)]
struct DiskFile {
    durable: Option<Vec<u8>>,
    pending: Vec<Operation>,
}

impl DiskFile {
    /// Its last deletion becomes durable, with everything before it.
    fn sync_entry(&mut self) {
        let is_deletion = |operation: &Operation| matches!(operation, Operation::Delete { .. });
        if let Some(last) = self.pending.iter().rposition(is_deletion) {
            self.pending.drain(..=last);
            self.durable = None;
        }
    }
}

/// A disk while operations reach it.
#[derive(Clone)]
pub(crate) struct Disk {
    names: Vec<String>,
    files: Vec<DiskFile>,
}

impl Disk {
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.to_vec(), files: vec![DiskFile::default(); names.len()] }
    }

    /// The next operation reaches the system; a sync reaches the disk.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { file, .. } | Operation::Truncate { file, .. } => {
                self.files[*file].pending.push(operation.clone());
            }
            Operation::Sync { file } => {
                let file = &mut self.files[*file];
                for operation in std::mem::take(&mut file.pending) {
                    perform(&mut file.durable, &operation);
                }
                file.durable.get_or_insert_default();
            }
            Operation::Delete { file } => self.files[*file].pending.push(operation.clone()),
            Operation::SyncFolder => self.files.iter_mut().for_each(DiskFile::sync_entry),
        }
    }

    /// The power fails: writes into `folder` what is left of each file.
    pub(crate) fn cut(&self, folder: &Path, rng: &mut Rng) {
        for (name, file) in self.names.iter().zip(&self.files) {
            let mut content = file.durable.clone();
            for operation in &file.pending {
                survive(&mut content, operation, rng);
            }
            let path = folder.join(name);
            match content {
                Some(content) => fs::write(path, content).unwrap(),
                None if path.exists() => fs::remove_file(path).unwrap(),
                None => {}
            }
        }
    }
}

fn perform(content: &mut Option<Vec<u8>>, operation: &Operation) {
    match operation {
        Operation::Write { offset, data, .. } => put(content, *offset, data),
        Operation::Truncate { size, .. } => content.get_or_insert_default().resize(*size, 0),
        Operation::Delete { .. } => *content = None,
        Operation::Sync { .. } | Operation::SyncFolder => {}
    }
}

fn put(content: &mut Option<Vec<u8>>, offset: usize, data: &[u8]) {
    let content = content.get_or_insert_default();
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    content[offset..offset + data.len()].copy_from_slice(data);
}

/// An operation that was not synced is dropped, kept, cut short or torn.
fn survive(content: &mut Option<Vec<u8>>, operation: &Operation, rng: &mut Rng) {
    let Operation::Write { offset, data, .. } = operation else {
        if rng.bool() {
            perform(content, operation);
        }
        return;
    };
    let sectors = sectors(*offset, data.len());
    match rng.u8(..4) {
        0 => {}
        1 => put(content, *offset, data),
        2 => {
            let kept = rng.usize(..=sectors.len());
            let end = if kept == 0 { 0 } else { sectors[kept - 1].1 };
            put(content, *offset, &data[..end]);
        }
        _ => {
            for (start, end) in sectors.into_iter().filter(|_| rng.bool()) {
                put(content, offset + start, &data[start..end]);
            }
        }
    }
}

/// The parts of a write that lie in one sector each, as ranges within the write.
fn sectors(offset: usize, length: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < length {
        let next = (offset + start) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - offset;
        let end = next.min(length);
        parts.push((start, end));
        start = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_follow_the_disk_not_the_write() {
        assert_eq!(sectors(500, 600), [(0, 12), (12, 524), (524, 600)]);
        assert_eq!(sectors(0, 512), [(0, 512)]);
        assert_eq!(sectors(512, 1), [(0, 1)]);
    }

    #[test]
    fn what_is_synced_survives_every_cut() {
        let mut disk = Disk::new(&["a".to_owned()]);
        let write = |offset, text: &[u8]| Operation::Write { file: 0, offset, data: text.into() };
        disk.apply(&write(0, b"durable"));
        disk.apply(&Operation::Sync { file: 0 });
        disk.apply(&write(7, b" or not"));
        let folder = crate::folder();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            disk.cut(folder.path(), &mut Rng::with_seed(seed));
            let content = fs::read_to_string(folder.path().join("a")).unwrap();
            assert!(content.starts_with("durable"), "{content}");
            seen.insert(content);
        }
        assert_eq!(seen.len(), 2, "both outcomes are tried");
    }
}
