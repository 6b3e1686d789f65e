//! The schema and its history: numbered files, each applied once, in a transaction of its own.
//!
//! A shipped migration is never edited. `schema.sql` is what all of them amount to; a test compares.

use rusqlite::{Connection, TransactionBehavior};

/// All migrations in order; the number of a migration is its place, from 1.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_spine.sql")];

/// What marks a file as ours: "FLUX".
const APPLICATION_ID: i32 = 0x464C_5558;

/// Why a schema cannot be brought up to date.
#[derive(Debug)]
pub(crate) enum Error {
    Sqlite(rusqlite::Error),
    Foreign,
    TooNew { found: u32, known: u32 },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = found == 0 && application == 0 && tables == 0;
    if application != APPLICATION_ID && !empty {
        return Err(Error::Foreign);
    }
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(Error::TooNew { found, known });
    }
    for (number, migration) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn migrations_amount_to_the_schema_and_repeat_harmlessly() {
        let mut migrated = Connection::open_in_memory().unwrap();
        migrate(&mut migrated).unwrap();
        let once = schema(&migrated);
        migrate(&mut migrated).unwrap();
        let fresh = Connection::open_in_memory().unwrap();
        fresh.execute_batch(include_str!("../schema.sql")).unwrap();
        assert_eq!(once, schema(&migrated));
        assert_eq!(once, schema(&fresh), "schema.sql is not what the migrations amount to");
    }

    #[test]
    fn every_table_names_organization_and_project() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let tables = schema(&connection);
        for table in tables.iter().filter(|sql| sql.starts_with("CREATE TABLE")) {
            for column in ["organization BLOB NOT NULL", "project "] {
                let squeezed = table.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(squeezed.contains(column), "{table} lacks {column}");
            }
        }
    }

    #[test]
    fn foreign_and_newer_files_are_refused() {
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(migrate(&mut foreign), Err(Error::Foreign)));
        let mut newer = Connection::open_in_memory().unwrap();
        migrate(&mut newer).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(migrate(&mut newer), Err(Error::TooNew { found: 99, known: 1 })));
    }
}
