//! Writing: batches of commands, each batch one transaction.
//!
//! A command first looks whether it is refused and only then writes, so a refusal leaves nothing
//! behind and needs no savepoint.

mod access;
mod admit;
mod append;
mod flows;
mod retain;
mod slots;

use std::collections::BTreeMap;

use flux_store::StoreError;
use flux_store::validation::validate;
use flux_store::{Command, Outcome, Refusal};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

/// Batches between two looks at the size of the log.
const BATCHES_PER_LOG_CHECK: u32 = 256;
/// Above this the log is emptied even if that waits for readers, in bytes.
const LOG_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The one connection that writes, until a write fails.
pub(crate) struct WriteConnection {
    connection: Connection,
    failed: Option<String>,
    batches: u32,
}

impl WriteConnection {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self { connection, failed: None, batches: 0 }
    }

    /// Writes a batch. The first failure of the disk or the file is the last thing this connection
    /// does: after a failed sync the system may have dropped what it could not write, so neither
    /// trying again nor copying the log back would be safe.
    pub(crate) fn commit(&mut self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        if let Some(reason) = &self.failed {
            return Err(StoreError::Poisoned { reason: reason.clone() });
        }
        let outcomes = self.transact(commands).map_err(|error| {
            let reason = error.to_string();
            self.failed = Some(reason.clone());
            // It fails only for a closed connection, which this one is not.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            StoreError::Unavailable { doing: "writing a batch", reason }
        })?;
        self.batches = self.batches.wrapping_add(1);
        Ok(outcomes)
    }

    /// Whether it is time to look at the size of the log.
    pub(crate) const fn log_check_is_due(&self) -> bool {
        self.batches.is_multiple_of(BATCHES_PER_LOG_CHECK)
    }

    /// Empties the log if it outgrew its bound because readers kept it in use. Waits for them; they
    /// are bounded in time.
    pub(crate) fn shrink_log(&self, log_bytes: u64) {
        if log_bytes > LOG_BYTES_MAX {
            let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            if let Err(error) = emptied {
                tracing::warn!(%error, log_bytes, "the write-ahead log could not be emptied");
            }
        }
    }

    fn transact(&mut self, commands: &[Command]) -> rusqlite::Result<Vec<Outcome>> {
        let mut refused = BTreeMap::new();
        loop {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            match apply_all(&transaction, commands, &refused) {
                Ok(outcomes) => {
                    transaction.commit()?;
                    return Ok(outcomes);
                }
                Err(fault) if is_of_the_command(&fault.error) => {
                    transaction.rollback()?;
                    tracing::error!(error = %fault.error, "a command was refused by SQLite");
                    refused.insert(fault.index, Refusal::Backend(fault.error.to_string()));
                }
                Err(fault) => return Err(fault.error),
            }
        }
    }
}

struct Fault {
    index: usize,
    error: rusqlite::Error,
}

/// Applies all commands but those known to be impossible.
fn apply_all(
    connection: &Connection,
    commands: &[Command],
    refused: &BTreeMap<usize, Refusal>,
) -> Result<Vec<Outcome>, Fault> {
    let outcome = |(index, command): (usize, &Command)| match refused.get(&index) {
        Some(refusal) => Ok(Outcome::Refused(refusal.clone())),
        None => apply(connection, command).map_err(|error| Fault { index, error }),
    };
    commands.iter().enumerate().map(outcome).collect()
}

/// Whether an error says something about the command or the row it is about, and nothing about
/// the disk or the file. The batch goes on without that command.
fn is_of_the_command(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TooBig
                | ErrorCode::TypeMismatch
                | ErrorCode::ParameterOutOfRange
        ),
        None => true,
    }
}

fn apply(connection: &Connection, command: &Command) -> rusqlite::Result<Outcome> {
    if let Err(refusal) = validate(command) {
        return Ok(Outcome::Refused(refusal));
    }
    match command {
        Command::Accept(accept) => admit::accept(connection, accept),
        Command::Append(append) => append::append(connection, append),
        Command::Release(release) => slots::release(connection, release),
        Command::Promote(promote) => slots::promote_key(connection, promote),
        Command::Retain(retain) => retain::retain(connection, retain),
        Command::SaveDraft(draft) => flows::save_draft(connection, draft),
        Command::PublishFlow(publish) => flows::publish(connection, publish),
        Command::RestoreFlow(restore) => flows::restore(connection, restore),
        Command::SetFlowState(set) => flows::set_state(connection, set),
        Command::DeleteFlow { tenant, name } => flows::delete(connection, *tenant, name),
        Command::PutTriggerState(put) => flows::put_trigger_state(connection, put),
        Command::PutSecret(secret) => access::put_secret(connection, secret),
        Command::DeleteSecret { tenant, name } => access::delete_secret(connection, *tenant, name),
        Command::PutDataKey(key) => access::put_data_key(connection, key),
        Command::PutKey(key) => access::put_key(connection, key),
        Command::RevokeKey { tenant, key, at } => access::revoke_key(connection, *tenant, *key, *at),
        Command::TouchKey { key, at } => access::touch_key(connection, *key, *at),
        Command::EnsureProject(project) => access::ensure_project(connection, project),
    }
}

/// Runs a cached statement; how many rows it changed.
fn execute(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(parameters)
}

fn done_if(found: bool) -> Outcome {
    if found { Outcome::Done } else { Outcome::NotFound }
}
