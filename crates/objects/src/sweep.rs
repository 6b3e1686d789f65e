//! Sweeping orphans: objects that nothing refers to, left by a crash between an object and its row,
//! or by retention.
//!
//! An object is deleted if nothing referred to it when asked *and* it is still older than the grace
//! when it is deleted. A put refreshes what is half as old, and no put runs during a deletion, so a
//! row can only name an object that stays.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use flux_model::Tenant;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::stream::is_incoming;
use crate::{ORPHAN_GRACE, ObjectError, ObjectName, Objects, blocking};

/// Objects that are asked about at once.
const CANDIDATES_MAX: usize = 256;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Objects that were looked at.
    pub seen: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Their stored size.
    pub bytes: u64,
}

impl Objects {
    /// Deletes the project's objects that are older than [`ORPHAN_GRACE`] at `now` and that
    /// `referenced` does not give back. `referenced` is asked for some hundred at a time.
    ///
    /// # Errors
    /// [`ObjectError::References`] with what `referenced` gives; [`ObjectError::Storage`].
    pub async fn sweep<R, F>(
        &self,
        tenant: Tenant,
        now: SystemTime,
        mut referenced: R,
    ) -> Result<Swept, ObjectError>
    where
        R: FnMut(Vec<String>) -> F + Send,
        F: Future<Output = Result<BTreeSet<String>, String>> + Send,
    {
        let mut swept = Swept::default();
        let mut objects = self.inner.storage.list(Some(&self.prefix(tenant)));
        let mut candidates = Vec::new();
        loop {
            let found = objects.try_next().await?;
            let last = found.is_none();
            swept.seen += u64::from(!last);
            candidates.extend(found.filter(|meta| is_old(meta, now) && may_be_orphan(&meta.location)));
            if candidates.len() == CANDIDATES_MAX || (last && !candidates.is_empty()) {
                let names = candidates.iter().map(|meta| name_of(&meta.location)).collect();
                let kept = referenced(names).await.map_err(ObjectError::References)?;
                for meta in candidates.drain(..).filter(|meta| !kept.contains(&name_of(&meta.location))) {
                    self.delete_if_old(&meta, now, &mut swept).await?;
                }
            }
            if last {
                break;
            }
        }
        self.delete_staged(tenant, now).await?;
        Ok(swept)
    }

    async fn delete_if_old(
        &self,
        meta: &ObjectMeta,
        now: SystemTime,
        swept: &mut Swept,
    ) -> Result<(), ObjectError> {
        let _alone = self.inner.sweeping.write().await;
        match self.inner.storage.head(&meta.location).await {
            Ok(current) if is_old(&current, now) => {
                self.inner.storage.delete(&meta.location).await?;
                swept.deleted += 1;
                swept.bytes += current.size;
                Ok(())
            }
            // Put again, or gone, in the meantime.
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A crash while a local file is written leaves a file beside the target that the storage does
    /// not list.
    async fn delete_staged(&self, tenant: Tenant, now: SystemTime) -> Result<(), ObjectError> {
        let Some(folder) = &self.inner.folder else { return Ok(()) };
        let folder = folder.join(tenant.project.to_string());
        let delete = move || -> std::io::Result<()> {
            let entries = match std::fs::read_dir(folder) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let staged = entry.file_name().to_string_lossy().contains('#');
                if staged && age(entry.metadata()?.modified()?, now) > ORPHAN_GRACE {
                    std::fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        blocking(move || delete().map_err(ObjectError::Source)).await
    }
}

fn is_old(meta: &ObjectMeta, now: SystemTime) -> bool {
    age(SystemTime::from(meta.last_modified), now) > ORPHAN_GRACE
}

fn age(written: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(written).unwrap_or_default()
}

fn may_be_orphan(path: &Path) -> bool {
    is_incoming(path) || name_of(path).parse::<ObjectName>().is_ok()
}

fn name_of(path: &Path) -> String {
    path.filename().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::tests::tenant;

    #[tokio::test]
    async fn only_old_objects_without_reference_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let put = async |text: &'static str| objects.put(tenant(1), Bytes::from(text)).await.unwrap();
        let (kept, orphan) = (put("kept").await, put("orphan").await);
        let project = folder.path().join(tenant(1).project.to_string());
        for leftover in ["incoming-1-2-3", "0123#1"] {
            std::fs::write(project.join(leftover), "half").unwrap();
        }
        let referenced = |names: Vec<String>| {
            let found = names.into_iter().filter(|name| name == kept.as_str()).collect();
            async move { Ok(found) }
        };
        let now = SystemTime::now();
        let early = objects.sweep(tenant(1), now + ORPHAN_GRACE / 2, referenced).await.unwrap();
        assert_eq!((early.seen, early.deleted), (4, 0));
        let late = now + ORPHAN_GRACE * 2;
        assert_eq!(objects.sweep(tenant(2), late, referenced).await.unwrap(), Swept::default());
        let swept = objects.sweep(tenant(1), late, referenced).await.unwrap();
        assert_eq!((swept.seen, swept.deleted), (4, 2));
        assert!(objects.exists(tenant(1), &kept).await.unwrap());
        assert!(!objects.exists(tenant(1), &orphan).await.unwrap());
        assert!(!project.join("0123#1").exists());
        let name = put("orphan").await;
        assert_eq!(objects.get(tenant(1), &name).await.unwrap(), "orphan");
    }

    #[tokio::test]
    async fn an_unknown_reference_stops_the_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let name = objects.put(tenant(1), Bytes::from_static(b"x")).await.unwrap();
        let unknown = |_| async { Err("the store is down".to_owned()) };
        let refused = objects.sweep(tenant(1), SystemTime::now() + ORPHAN_GRACE * 2, unknown).await;
        assert!(matches!(refused, Err(ObjectError::References(_))));
        assert!(objects.exists(tenant(1), &name).await.unwrap());
    }
}
