//! Large values and files: content-addressed objects over the `object_store` crate.
//!
//! An object is named by the SHA-256 of its content and kept compressed (zstd) under its project's
//! prefix. When a put returns, the object is durable, so a row may name it; nothing else is
//! promised about order. The crate knows no rows: who refers to an object is asked of the caller
//! when orphans are swept.

mod codec;
mod name;
mod stream;
mod sweep;

use std::collections::BTreeSet;
use std::path::{Path as FolderPath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flux_model::limits::VALUE_BYTES_MAX;
use flux_model::{ErrorCode, ProjectId, Tenant};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{Mutex, RwLock};

pub use name::{InvalidName, ObjectName};
pub use sweep::Swept;

/// Bytes of one file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// An object that nothing refers to is kept this long after it was last put: longer than any row
/// takes to be committed after its objects.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(24 * 3600);
/// A put of an object that is older than this writes it again, so that a sweep sees it as young.
const REFRESH_AFTER: Duration = Duration::from_secs(12 * 3600);
/// What makes a project's folder durable before the first object in it; holds nothing.
const FOLDER_MARK: &str = "folder";
/// Puts of different objects that can run at the same time.
const STRIPES: usize = 64;

/// Why an object could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The name is not one of an object.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There is no such object in the project.
    #[error("object {0} does not exist")]
    NotFound(ObjectName),
    /// What is stored is not what was put: the disk or somebody changed it.
    #[error("object {name} is damaged: {reason}")]
    Damaged {
        /// Which.
        name: ObjectName,
        /// How it shows.
        reason: String,
    },
    /// The content is larger than allowed.
    #[error("the content has more than {max} bytes ({limit})")]
    TooLarge {
        /// The name of the limit.
        limit: &'static str,
        /// The limit.
        max: u64,
    },
    /// Whoever supplied the content failed.
    #[error("the content could not be read")]
    Source(#[source] std::io::Error),
    /// The folder or the bucket failed.
    #[error("the object storage failed")]
    Storage(#[from] object_store::Error),
    /// The references to objects could not be looked up.
    #[error("it is not known which objects are referred to: {0}")]
    References(String),
}

impl ObjectError {
    /// The public code of it.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) | Self::Name(_) => ErrorCode::NotFound,
            Self::TooLarge { .. } => ErrorCode::BodyTooLarge,
            Self::Source(_) => ErrorCode::RequestInvalid,
            Self::Damaged { .. } | Self::Storage(_) | Self::References(_) => ErrorCode::StorageUnavailable,
        }
    }
}

/// The objects of all projects. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<dyn ObjectStore>,
    /// The local folder, where there is one.
    folder: Option<PathBuf>,
    /// Projects whose folder is known to be durable, with what was in it when it was first used.
    made: Mutex<BTreeSet<ProjectId>>,
    /// One put of an object at a time: an object that another put is still making durable is there
    /// already, but must not be relied on. Each stripe holds the objects whose last put did not
    /// end well.
    doubtful: Vec<Mutex<BTreeSet<Path>>>,
    /// Held for writing while one orphan is deleted, for reading while an object is put.
    sweeping: RwLock<()>,
}

impl Objects {
    /// Objects in a local folder, which is made if it does not exist. The data folder's lock keeps
    /// other processes out.
    ///
    /// # Errors
    /// [`ObjectError::Storage`] if the folder cannot be made or used.
    pub fn local(folder: &FolderPath) -> Result<Self, ObjectError> {
        make_durably(folder).map_err(|error| object_store::Error::Generic {
            store: "the local folder",
            source: format!("{}: {error}", folder.display()).into(),
        })?;
        let storage = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self::new(Arc::new(storage), Some(folder.to_owned())))
    }

    /// Objects in any storage that is durable when a put returns.
    pub fn over(storage: Arc<dyn ObjectStore>) -> Self {
        Self::new(storage, None)
    }

    fn new(storage: Arc<dyn ObjectStore>, folder: Option<PathBuf>) -> Self {
        let doubtful = (0..STRIPES).map(|_| Mutex::new(BTreeSet::new())).collect();
        let (made, sweeping) = (Mutex::new(BTreeSet::new()), RwLock::new(()));
        Self { inner: Arc::new(Inner { storage, folder, made, doubtful, sweeping }) }
    }

    /// Stores a value; durable when it returns. An object that is there already is not written
    /// again.
    ///
    /// # Errors
    /// [`ObjectError::TooLarge`] over [`VALUE_BYTES_MAX`]; [`ObjectError::Storage`].
    pub async fn put(&self, tenant: Tenant, content: Bytes) -> Result<ObjectName, ObjectError> {
        if content.len() > VALUE_BYTES_MAX {
            return Err(ObjectError::TooLarge { limit: "VALUE_BYTES_MAX", max: VALUE_BYTES_MAX as u64 });
        }
        let hashed = content.clone();
        let name = blocking(move || Ok(ObjectName::of(&hashed))).await?;
        self.make_folder(tenant).await?;
        let _putting = self.inner.sweeping.read().await;
        let path = self.path(tenant, &name);
        let mut doubtful = self.doubtful(&name).lock().await;
        if !doubtful.contains(&path) && self.is_young(&path).await? {
            return Ok(name);
        }
        let stored = blocking(move || codec::compress(&content).map_err(ObjectError::Source)).await?;
        doubtful.insert(path.clone());
        self.inner.storage.put(&path, PutPayload::from(stored)).await?;
        doubtful.remove(&path);
        Ok(name)
    }

    /// Reads a value and checks that it is what was put.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`]; [`ObjectError::Damaged`]; [`ObjectError::TooLarge`] if it is a
    /// file over [`VALUE_BYTES_MAX`], which [`Self::get_stream`] reads.
    pub async fn get(&self, tenant: Tenant, name: &ObjectName) -> Result<Bytes, ObjectError> {
        let found = self.open(tenant, name).await?;
        let stored = found.bytes().await?;
        let name = name.clone();
        blocking(move || codec::expand(&name, &stored).map(Bytes::from)).await
    }

    /// Whether the project has this object.
    ///
    /// # Errors
    /// [`ObjectError::Storage`].
    pub async fn exists(&self, tenant: Tenant, name: &ObjectName) -> Result<bool, ObjectError> {
        match self.inner.storage.head(&self.path(tenant, name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn open(&self, tenant: Tenant, name: &ObjectName) -> Result<object_store::GetResult, ObjectError> {
        match self.inner.storage.get(&self.path(tenant, name)).await {
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => Err(ObjectError::NotFound(name.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it is there and no sweep will take it before a row can name it.
    async fn is_young(&self, path: &Path) -> Result<bool, ObjectError> {
        match self.inner.storage.head(path).await {
            Ok(found) => {
                let written = SystemTime::from(found.last_modified);
                Ok(written.elapsed().is_ok_and(|age| age < REFRESH_AFTER))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The stripe of an object.
    fn doubtful(&self, name: &ObjectName) -> &Mutex<BTreeSet<Path>> {
        let sum: usize = name.as_str().bytes().map(usize::from).sum();
        &self.inner.doubtful[sum % STRIPES]
    }

    /// Makes the project's folder before two puts at once can, as the second would find a folder
    /// that is not durable yet; and makes durable what an earlier process left in it.
    async fn make_folder(&self, tenant: Tenant) -> Result<(), ObjectError> {
        let mut made = self.inner.made.lock().await;
        if !made.contains(&tenant.project) {
            let mark = self.prefix(tenant).join(FOLDER_MARK);
            self.inner.storage.put(&mark, PutPayload::new()).await?;
            made.insert(tenant.project);
        }
        Ok(())
    }

    fn prefix(&self, tenant: Tenant) -> Path {
        Path::from(tenant.project.to_string())
    }

    fn path(&self, tenant: Tenant, name: &ObjectName) -> Path {
        self.prefix(tenant).join(name.as_str())
    }
}

/// Makes a folder; what is in it by now, and the folder itself, is durable when it returns.
fn make_durably(folder: &FolderPath) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    for folder in [Some(folder.as_path()), folder.parent()].into_iter().flatten() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Runs work that takes a processor for long.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ObjectError::Source(std::io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use flux_model::OrganizationId;

    use super::*;

    pub(crate) fn tenant(project: u128) -> Tenant {
        Tenant { organization: OrganizationId::from_bits(1), project: ProjectId::from_bits(project) }
    }

    /// Where the object is stored.
    fn file(folder: &FolderPath, project: u128, name: &ObjectName) -> PathBuf {
        folder.join(tenant(project).project.to_string()).join(name.as_str())
    }

    #[tokio::test]
    async fn what_is_put_is_got_by_its_hash_and_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        for content in [Bytes::new(), Bytes::from_static(b"text"), Bytes::from(vec![7; 300_000])] {
            let name = objects.put(tenant(1), content.clone()).await.unwrap();
            assert_eq!(name, ObjectName::of(&content));
            assert_eq!(objects.get(tenant(1), &name).await.unwrap(), content);
            assert!(objects.exists(tenant(1), &name).await.unwrap());
            let foreign = objects.get(tenant(2), &name).await;
            assert!(matches!(foreign, Err(ObjectError::NotFound(_))));
        }
        let again = Objects::local(folder.path()).unwrap();
        assert_eq!(again.get(tenant(1), &ObjectName::of(b"text")).await.unwrap(), "text");
    }

    #[tokio::test]
    async fn a_second_put_does_not_write_unless_the_object_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let name = objects.put(tenant(1), Bytes::from_static(b"once")).await.unwrap();
        let path = file(folder.path(), 1, &name);
        let written = || std::fs::metadata(&path).unwrap().modified().unwrap();
        let set = |time| std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
        let recent = SystemTime::now() - Duration::from_secs(60);
        set(recent);
        objects.put(tenant(1), Bytes::from_static(b"once")).await.unwrap();
        assert_eq!(written(), recent);
        set(SystemTime::now() - REFRESH_AFTER);
        objects.put(tenant(1), Bytes::from_static(b"once")).await.unwrap();
        assert!(written() > recent);
    }

    #[tokio::test]
    async fn an_object_whose_put_failed_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let name = objects.put(tenant(1), Bytes::from_static(b"x")).await.unwrap();
        let path = file(folder.path(), 1, &name);
        std::fs::write(&path, "half of it").unwrap();
        objects.doubtful(&name).lock().await.insert(objects.path(tenant(1), &name));
        objects.put(tenant(1), Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(objects.get(tenant(1), &name).await.unwrap(), "x");
        assert!(objects.doubtful(&name).lock().await.is_empty());
    }

    #[tokio::test]
    async fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let name = objects.put(tenant(1), Bytes::from(vec![5; 9_000])).await.unwrap();
        let other = codec::compress(b"something else").unwrap();
        for stored in [&b"noise"[..], &other, b""] {
            std::fs::write(file(folder.path(), 1, &name), stored).unwrap();
            let damaged = objects.get(tenant(1), &name).await;
            assert!(matches!(damaged, Err(ObjectError::Damaged { .. })), "{damaged:?}");
        }
    }

    #[tokio::test]
    async fn a_value_over_the_limit_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let refused = objects.put(tenant(1), Bytes::from(vec![0; VALUE_BYTES_MAX + 1])).await;
        assert!(refused.unwrap_err().to_string().contains("VALUE_BYTES_MAX"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
