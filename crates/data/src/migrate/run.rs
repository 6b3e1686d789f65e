//! Applying migrations.

use flux_model::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use tokio_postgres::Client;
use tokio_postgres::error::ErrorPosition;

use super::script::{Part, parts};
use super::state::{Recorded, pending};
use super::{MigrateMode, Migration, MigrationReport};
use crate::engine::postgres::{LOCK, failed};
use crate::engine::sqlite::said;
use crate::engine::{Backend, Database};
use crate::{Context, DataError};

/// Migrations may rebuild large tables; nothing waits for them but the person who migrates.
const MIGRATION_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS _flux_migrations
    (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, at BIGINT NOT NULL)";
const RECORDED: &str = "SELECT name, checksum, at FROM _flux_migrations ORDER BY name";

/// What was applied so far.
pub(super) async fn recorded(database: &Database) -> Result<Vec<Recorded>, DataError> {
    match database.backend() {
        Backend::Sqlite(sqlite) => {
            let deadline = sqlite.bounds().deadline(None);
            let read = sqlite.read(deadline, |seat| {
                let records = recorded_sqlite(seat.connection()?);
                records.map_err(|error| seat.explain("_flux_migrations", &error))
            });
            read.await
        }
        Backend::Postgres(postgres) => {
            let session = postgres.session(postgres.bounds().deadline(None)).await?;
            recorded_postgres(&session.client).await
        }
    }
}

pub(super) async fn migrate(
    database: &Database,
    files: &[Migration],
    mode: MigrateMode,
    context: &Context,
) -> Result<MigrationReport, DataError> {
    let (files, at) = (files.to_vec(), context.at);
    match database.backend() {
        Backend::Sqlite(sqlite) => {
            let deadline = std::time::Instant::now() + MIGRATION_TIME_MAX;
            sqlite.write(deadline, move |seat| migrate_sqlite(seat.connection()?, &files, mode, at)).await
        }
        Backend::Postgres(postgres) => {
            // A connection of its own: it holds a lock and has no time limit, and is not used again.
            let session = postgres.session(postgres.bounds().deadline(None)).await?;
            let session = deadpool::managed::Object::take(session);
            migrate_postgres(&session.client, &files, mode, at).await
        }
    }
}

fn recorded_sqlite(connection: &Connection) -> rusqlite::Result<Vec<Recorded>> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE name = '_flux_migrations'";
    if connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let read = |row: &rusqlite::Row<'_>| {
        let at = Timestamp::from_millis(row.get(2)?);
        Ok(Recorded { name: row.get(0)?, checksum: row.get(1)?, at })
    };
    connection.prepare(RECORDED)?.query_map([], read)?.collect()
}

/// One transaction over everything: it is the lock, and a dry run undoes it. Foreign keys are checked at
/// the end instead of meanwhile, because SQLite changes a table by building it anew.
fn migrate_sqlite(
    connection: &mut Connection,
    files: &[Migration],
    mode: MigrateMode,
    at: Timestamp,
) -> Result<MigrationReport, DataError> {
    let failed = |error: rusqlite::Error| DataError::database(error);
    connection.pragma_update(None, "foreign_keys", false).map_err(failed)?;
    let done = migrate_files_sqlite(connection, files, mode, at);
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").map_err(failed)?;
    }
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    done
}

fn migrate_files_sqlite(
    connection: &Connection,
    files: &[Migration],
    mode: MigrateMode,
    at: Timestamp,
) -> Result<MigrationReport, DataError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => DataError::MigrationLocked,
        _ => DataError::database(error),
    };
    let begin = || connection.execute_batch("BEGIN IMMEDIATE").map_err(failed);
    begin()?;
    connection.execute_batch(RECORDS).map_err(failed)?;
    let recorded = recorded_sqlite(connection).map_err(failed)?;
    let pending = pending(files, &recorded)?;
    for migration in &pending {
        for part in checked_parts(migration)? {
            run_sqlite(connection, migration, part)?;
        }
        check_references(connection, migration)?;
        let insert = "INSERT INTO _flux_migrations (name, checksum, at) VALUES (?1, ?2, ?3)";
        let record = (&migration.name, migration.checksum(), at.millis());
        connection.execute(insert, record).map_err(failed)?;
        if mode == MigrateMode::Apply {
            connection.execute_batch("COMMIT").map_err(failed)?;
            begin()?;
        }
    }
    if mode == MigrateMode::Apply {
        connection.execute_batch("COMMIT").map_err(failed)?;
    }
    Ok(report(&pending, recorded.len()))
}

fn run_sqlite(connection: &Connection, migration: &Migration, part: Part<'_>) -> Result<(), DataError> {
    let failed = |error: rusqlite::Error| {
        // Where SQLite does not say where, the statement's first line has to do.
        let offset = if let rusqlite::Error::SqlInputError { offset, .. } = &error { *offset } else { 0 };
        let line = part.line_at(usize::try_from(offset).unwrap_or(0));
        DataError::Migration { file: migration.name.clone(), line, message: said(&error) }
    };
    let mut statement = connection.prepare(part.sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while rows.next().map_err(failed)?.is_some() {}
    Ok(())
}

fn check_references(connection: &Connection, migration: &Migration) -> Result<(), DataError> {
    let sql = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check() GROUP BY 1, 2 LIMIT 1";
    let broken = connection.query_row(sql, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    match broken.optional().map_err(DataError::database)? {
        None => Ok(()),
        Some((table, parent, rows)) => {
            let message = format!("leaves {rows} rows of {table} that refer to no row of {parent}");
            Err(DataError::Migration { file: migration.name.clone(), line: 1, message })
        }
    }
}

async fn recorded_postgres(client: &Client) -> Result<Vec<Recorded>, DataError> {
    let failed = |error| failed("_flux_migrations", &error);
    let exists = client.query_one("SELECT to_regclass('_flux_migrations') IS NOT NULL", &[]);
    if !exists.await.and_then(|row| row.try_get::<_, bool>(0)).map_err(failed)? {
        return Ok(Vec::new());
    }
    let rows = client.query(RECORDED, &[]).await.map_err(failed)?;
    let read = |row: tokio_postgres::Row| {
        let at = Timestamp::from_millis(row.try_get(2)?);
        Ok(Recorded { name: row.try_get(0)?, checksum: row.try_get(1)?, at })
    };
    rows.into_iter().map(read).collect::<Result<_, _>>().map_err(failed)
}

async fn migrate_postgres(
    client: &Client,
    files: &[Migration],
    mode: MigrateMode,
    at: Timestamp,
) -> Result<MigrationReport, DataError> {
    let refused = |error| failed("_flux_migrations", &error);
    let settings = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    client.batch_execute(settings).await.map_err(refused)?;
    let locked = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
    if !locked.and_then(|row| row.try_get::<_, bool>(0)).map_err(refused)? {
        return Err(DataError::MigrationLocked);
    }
    // The lock goes with the connection, which its caller drops.
    let recorded = recorded_postgres(client).await?;
    let pending = pending(files, &recorded)?;
    match mode {
        MigrateMode::Apply => {
            client.batch_execute(RECORDS).await.map_err(refused)?;
            for migration in &pending {
                apply_postgres(client, migration, at).await?;
            }
        }
        MigrateMode::DryRun => {
            client.batch_execute("BEGIN").await.map_err(refused)?;
            for migration in &pending {
                for part in checked_parts(migration)?.into_iter().filter(|part| !is_alone(part)) {
                    run_postgres(client, migration, part).await?;
                }
            }
            client.batch_execute("ROLLBACK").await.map_err(refused)?;
        }
    }
    Ok(report(&pending, recorded.len()))
}

async fn apply_postgres(client: &Client, migration: &Migration, at: Timestamp) -> Result<(), DataError> {
    let refused = |error| failed("_flux_migrations", &error);
    let parts = checked_parts(migration)?;
    let is_transaction = !parts.iter().any(is_alone);
    if is_transaction {
        client.batch_execute("BEGIN").await.map_err(refused)?;
    }
    for part in parts {
        let done = run_postgres(client, migration, part).await;
        if done.is_err() && is_transaction {
            client.batch_execute("ROLLBACK").await.map_err(refused)?;
        }
        done?;
    }
    let insert = "INSERT INTO _flux_migrations (name, checksum, at) VALUES ($1, $2, $3)";
    let (checksum, at) = (migration.checksum(), at.millis());
    client.execute(insert, &[&migration.name, &checksum, &at]).await.map_err(refused)?;
    if is_transaction {
        client.batch_execute("COMMIT").await.map_err(|error| failed(&migration.name, &error))?;
    }
    Ok(())
}

async fn run_postgres(client: &Client, migration: &Migration, part: Part<'_>) -> Result<(), DataError> {
    let done = client.batch_execute(part.sql).await;
    done.map_err(|error| {
        let Some(refused) = error.as_db_error() else { return failed(&migration.name, &error) };
        // Positions count characters, from 1.
        let offset = match refused.position() {
            Some(ErrorPosition::Original(at)) => {
                let letters = part.sql.char_indices().nth((*at as usize).saturating_sub(1));
                letters.map_or(0, |(offset, _)| offset)
            }
            Some(ErrorPosition::Internal { .. }) | None => 0,
        };
        let message = format!("{} ({})", refused.message(), refused.code().code());
        DataError::Migration { file: migration.name.clone(), line: part.line_at(offset), message }
    })
}

/// The statements of a migration. Transactions are made here, and a statement that cannot be in one is
/// alone in its file: half of a file must never be applied.
fn checked_parts(migration: &Migration) -> Result<Vec<Part<'_>>, DataError> {
    let parts = parts(&migration.sql);
    for part in &parts {
        let refused = |message: &str| {
            let (file, line) = (migration.name.clone(), part.line);
            Err(DataError::Migration { file, line, message: message.to_owned() })
        };
        let words = part.words(2);
        let first = words.first().map(String::as_str);
        if matches!(first, Some("BEGIN" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "END" | "ABORT"))
            || (first == Some("START") && words.get(1).is_some_and(|word| word == "TRANSACTION"))
        {
            return refused("each migration is a transaction already; take this statement out");
        }
        if matches!(first, Some("ATTACH" | "DETACH")) {
            return refused("a migration reaches its own database only");
        }
        if is_alone(part) && parts.len() > 1 {
            return refused("this statement cannot run in a transaction; put it into a file of its own");
        }
    }
    Ok(parts)
}

/// Whether PostgreSQL refuses the statement in a transaction.
fn is_alone(part: &Part<'_>) -> bool {
    let words = part.words(4);
    let has = |word: &str| words.iter().any(|found| found == word);
    has("CONCURRENTLY") || matches!(words.first().map(String::as_str), Some("VACUUM"))
}

fn report(pending: &[&Migration], earlier: usize) -> MigrationReport {
    MigrationReport { applied: pending.iter().map(|file| file.name.clone()).collect(), earlier }
}
