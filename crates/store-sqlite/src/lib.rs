//! The embedded store: one SQLite file in the data folder.
//!
//! One connection writes, whole batches at a time, with `synchronous=FULL`: what is acknowledged
//! survives a power cut (`tests/it` replays some ten thousand of them). A few read-only connections
//! answer queries within a time limit. The layout and the settings are measured; ADR 0002 says why
//! they are as they are. This crate decides nothing about executions: rules that every backend
//! shares are in `flux_store`.

mod column;
mod connection;
mod folder;
mod migration;
mod read;
mod store;
mod write;

use std::path::Path;
use std::sync::Arc;

use flux_model::ErrorCode;
use parking_lot::Mutex;

use folder::FolderLock;
use read::Readers;
use write::WriteConnection;

/// The file in the data folder that holds everything but large values.
pub const DATABASE_FILE: &str = "flux.db";
/// The oldest SQLite that is safe: earlier ones can lose committed pages when a checkpoint races a
/// reset of the write-ahead log.
pub const SQLITE_VERSION_MIN: i32 = 3_053_000;
/// How long one query may take, in milliseconds: a long reader keeps the log from shrinking.
pub const QUERY_MS_MAX: u64 = 5_000;
/// The write-ahead log is copied back into the file when it has this many pages of 4 KiB.
pub const CHECKPOINT_PAGES: u32 = 4_000;

/// What a commit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A commit is on disk before it is acknowledged.
    Full,
    /// A commit may be lost in a power cut. For tests that prove that they would notice.
    Relaxed,
}

/// How to open a store. The default is right for every server.
#[derive(Debug, Clone)]
pub struct Options {
    /// What a commit means.
    pub durability: Durability,
    /// After how many pages the log is copied back.
    pub checkpoint_pages: u32,
    /// Read-only connections at most; they are opened when needed.
    pub readers: usize,
    /// How long one query may take, in milliseconds.
    pub query_ms_max: u64,
    /// The name of a registered SQLite VFS that the writer uses instead of the system's: for fault
    /// injection.
    pub vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            checkpoint_pages: CHECKPOINT_PAGES,
            readers: 4,
            query_ms_max: QUERY_MS_MAX,
            vfs: None,
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This build has an SQLite that is known to lose data.
    #[error(
        "SQLite {found} is linked in, at least {SQLITE_VERSION_MIN} (3.53.0) is needed; build with the bundled one"
    )]
    SqliteTooOld {
        /// Its version number.
        found: i32,
    },
    /// The data folder cannot be made or used.
    #[error("the data folder {folder} cannot be used")]
    Folder {
        /// Which.
        folder: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another process uses the data folder.
    #[error(
        "the data folder {folder} is used by another Flux process ({holder}); stop that one, or choose another folder with --data"
    )]
    DataFolderLocked {
        /// Which.
        folder: String,
        /// Who, as far as it is known: `pid 4711`.
        holder: String,
    },
    /// A later version of Flux wrote it.
    #[error(
        "{file} has schema {found}, this version of Flux knows up to {known}; use the version that wrote it"
    )]
    TooNew {
        /// The file.
        file: String,
        /// Its schema.
        found: u32,
        /// The latest this code knows.
        known: u32,
    },
    /// It is not a store of Flux.
    #[error("{file} is not a Flux database")]
    Foreign {
        /// The file.
        file: String,
    },
    /// SQLite failed.
    #[error("{file} cannot be opened")]
    Sqlite {
        /// The file.
        file: String,
        /// SQLite's words.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// The public code of it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::DataFolderLocked { .. } => ErrorCode::DataFolderLocked,
            Self::Folder { .. } | Self::Sqlite { .. } => ErrorCode::StorageUnavailable,
            Self::SqliteTooOld { .. } | Self::TooNew { .. } | Self::Foreign { .. } => {
                ErrorCode::ConfigurationInvalid
            }
        }
    }
}

/// A store in an SQLite file. Holds the data folder's lock until it is dropped.
pub struct SqliteStore {
    // Fields drop in this order: the last connection copies the log back and must be able to write,
    // and the lock is given back when all is closed.
    readers: Readers,
    writer: Mutex<WriteConnection>,
    lock: Arc<FolderLock>,
}

impl SqliteStore {
    /// Opens the store in `folder`, which is made if it does not exist; brings the schema up to
    /// date; recovers what a crash left behind.
    ///
    /// # Errors
    /// [`OpenError`], each with the way out.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, OpenError> {
        let found = rusqlite::version_number();
        if found < SQLITE_VERSION_MIN {
            return Err(OpenError::SqliteTooOld { found });
        }
        Self::under(Arc::new(FolderLock::take(folder)?), options)
    }

    /// Opens the same store anew, after a write failed: under the lock that this one holds, so that
    /// no other process can come in between, and while this one still answers queries. What the
    /// failed write left in the log is not part of the new store.
    ///
    /// # Errors
    /// [`OpenError`], most likely for the reason that the write failed for.
    pub fn reopen(&self, options: &Options) -> Result<Self, OpenError> {
        Self::under(Arc::clone(&self.lock), options)
    }

    fn under(lock: Arc<FolderLock>, options: &Options) -> Result<Self, OpenError> {
        let path = lock.folder().join(DATABASE_FILE);
        let writer = connection::open_writer(&path, options)?;
        lock.sync()?;
        let readers = Readers::new(path, options);
        Ok(Self { readers, writer: Mutex::new(WriteConnection::new(writer)), lock })
    }
}
