//! Migration files as they are read.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::DataError;
use crate::limits::MIGRATION_BYTES_MAX;

/// One migration: a file with SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The name of the file: `0001_orders.sql`. Names are the order.
    pub name: String,
    /// Its text.
    pub sql: String,
}

impl Migration {
    /// Reads the `*.sql` files of a folder, in the order of their names. A folder that is not there has
    /// none.
    ///
    /// # Errors
    /// [`DataError::Configuration`] names the file that cannot be read.
    pub fn read_folder(folder: &Path) -> Result<Vec<Self>, DataError> {
        let invalid = |path: &Path, message: String| DataError::Configuration {
            place: path.display().to_string(),
            message,
        };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(invalid(folder, error.to_string())),
        };
        let mut migrations = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| invalid(folder, error.to_string()))?.path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                return Err(invalid(&path, "its name is not UTF-8".to_owned()));
            };
            let bytes = std::fs::metadata(&path).map_err(|error| invalid(&path, error.to_string()))?.len();
            if bytes > MIGRATION_BYTES_MAX {
                let (measured, max) = (bytes as usize, MIGRATION_BYTES_MAX as usize);
                return Err(DataError::limit(path.display(), "MIGRATION_BYTES_MAX", measured, max));
            }
            let sql = std::fs::read_to_string(&path).map_err(|error| invalid(&path, error.to_string()))?;
            migrations.push(Self { name: name.to_owned(), sql });
        }
        migrations.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(migrations)
    }

    /// What identifies its text. Line ends do not count: git changes them.
    pub(crate) fn checksum(&self) -> String {
        let digest = Sha256::digest(self.sql.replace("\r\n", "\n"));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
