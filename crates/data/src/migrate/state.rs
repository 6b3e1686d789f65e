//! Files compared with what was applied.

use flux_model::Timestamp;

use super::Migration;
use crate::DataError;

/// A migration as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub name: String,
    pub checksum: String,
    pub at: Timestamp,
}

/// A migration and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The name of the file.
    pub name: String,
    /// How it stands.
    pub state: MigrationState,
}

/// How a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// It was applied then, and is the same file.
    Applied(Timestamp),
    /// It is not applied yet.
    Pending,
    /// It was applied then, and the file was changed since.
    Changed(Timestamp),
    /// It was applied then, and the file is gone.
    Missing(Timestamp),
    /// It is not applied, but one with a later name is.
    OutOfOrder,
}

/// Every file and every record, by name.
pub(super) fn compare(files: &[Migration], recorded: &[Recorded]) -> Vec<MigrationStatus> {
    let last = recorded.iter().map(|record| &record.name).max();
    let of_file = |file: &Migration| {
        let state = match recorded.iter().find(|record| record.name == file.name) {
            Some(record) if record.checksum == file.checksum() => MigrationState::Applied(record.at),
            Some(record) => MigrationState::Changed(record.at),
            None if last.is_some_and(|last| file.name < *last) => MigrationState::OutOfOrder,
            None => MigrationState::Pending,
        };
        MigrationStatus { name: file.name.clone(), state }
    };
    let mut all: Vec<MigrationStatus> = files.iter().map(of_file).collect();
    let gone = recorded.iter().filter(|record| files.iter().all(|file| file.name != record.name));
    all.extend(gone.map(|record| MigrationStatus {
        name: record.name.clone(),
        state: MigrationState::Missing(record.at),
    }));
    all.sort_by(|left, right| left.name.cmp(&right.name));
    all
}

/// The files that are to be applied.
///
/// # Errors
/// [`DataError::MigrationChanged`] if files and records do not belong together.
pub(super) fn pending<'a>(
    files: &'a [Migration],
    recorded: &[Recorded],
) -> Result<Vec<&'a Migration>, DataError> {
    let mut pending = Vec::new();
    for status in compare(files, recorded) {
        let name = &status.name;
        let message = match status.state {
            MigrationState::Applied(_) => continue,
            MigrationState::Pending => {
                pending.extend(files.iter().find(|file| file.name == *name));
                continue;
            }
            MigrationState::Changed(at) => {
                format!(
                    "{name} was applied at {at} and changed since; put it back, and write a new migration"
                )
            }
            MigrationState::Missing(at) => {
                format!("{name} was applied at {at} and its file is gone; put it back")
            }
            MigrationState::OutOfOrder => {
                format!("{name} is new, but comes before one that was applied; give it a later name")
            }
        };
        return Err(DataError::MigrationChanged { message });
    }
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, sql: &str) -> Migration {
        Migration { name: name.to_owned(), sql: sql.to_owned() }
    }

    fn record(name: &str, sql: &str) -> Recorded {
        let checksum = file(name, sql).checksum();
        Recorded { name: name.to_owned(), checksum, at: Timestamp::from_millis(0) }
    }

    fn check(files: &[Migration], recorded: &[Recorded], expected: Result<&[&str], &str>) {
        match (pending(files, recorded), expected) {
            (Ok(found), Ok(names)) => {
                assert_eq!(found.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), names);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn only_new_files_at_the_end_are_pending() {
        let (one, two) = (file("1.sql", "a"), file("2.sql", "b"));
        check(&[one.clone(), two.clone()], &[], Ok(&["1.sql", "2.sql"]));
        check(&[one.clone(), two.clone()], &[record("1.sql", "a")], Ok(&["2.sql"]));
        check(&[file("1.sql", "a\r\n")], &[record("1.sql", "a\n")], Ok(&[]));
        let alone = std::slice::from_ref(&one);
        check(alone, &[record("1.sql", "x")], Err("1.sql was applied at 1970"));
        check(alone, &[record("0.sql", "x"), record("1.sql", "a")], Err("0.sql was applied"));
        check(&[one, two], &[record("2.sql", "b")], Err("1.sql is new, but comes before"));
    }
}
