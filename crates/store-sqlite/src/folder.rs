//! The data folder and the lock that keeps a second process out of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::OpenError;

/// The file that is locked; it holds the process id of the last holder.
const LOCK_FILE: &str = "flux.lock";

/// The data folder, locked for this process until dropped. The system gives the lock back when
/// the process dies, however it dies.
pub(crate) struct FolderLock {
    folder: PathBuf,
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let name = || folder.display().to_string();
        let unusable = |source: io::Error| OpenError::Folder { folder: name(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).to_owned();
        let mut file = open.open(folder.join(LOCK_FILE)).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::DataFolderLocked { folder: name(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        write_pid(&mut file).map_err(unusable)?;
        Ok(Self { folder: folder.to_owned(), _file: file })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder's entries durable, and the folder itself in its parent.
    pub(crate) fn sync(&self) -> Result<(), OpenError> {
        let unusable = |source| OpenError::Folder { folder: self.folder.display().to_string(), source };
        let folder = self.folder.canonicalize().map_err(unusable)?;
        for folder in [Some(folder.as_path()), folder.parent()].into_iter().flatten() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
        }
        Ok(())
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Only for the message: without it the refusal is still right.
    let _ = file.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("pid {pid}"),
        Err(_) => "pid unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_by_name_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).err().unwrap();
        let message = refused.to_string();
        assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
        assert!(message.contains("--data"), "{message}");
        drop(first);
        FolderLock::take(folder.path()).unwrap().sync().unwrap();
    }
}
