//! Making a turn durable: one command, after the objects it names.

use flux_model::effect::Effect;
use flux_model::error::Failure;
use flux_model::journal::JournalEvent;
use flux_model::{ErrorCode, Event};
use flux_store::command::BLOB_BYTES_MAX;
use flux_store::{Append, Command, Outcome, WriteError};

use super::Owner;
use crate::commit::{Prepared, prepare};
use crate::error::EngineError;
use crate::owners::Message;
use crate::values::{self, PutError};

/// Why an owner can go no further.
pub(super) enum Lost {
    /// Somebody else wrote the journal.
    Fenced,
    /// It could not be written.
    Storage(EngineError),
    /// The store refused what it was given.
    Fault(String),
    /// What it did in one step is larger than can be written.
    TooLarge(Failure),
}

impl Owner {
    /// Makes everything that is pending durable; gives what to do then.
    pub(super) async fn write(&mut self) -> Result<Vec<Effect>, Lost> {
        let expected_next_seq = self.session.next_seq();
        let Some(commit) = self.session.flush() else { return Ok(Vec::new()) };
        let prepared = prepare(commit, Some(self.stored), self.shared.now(), self.shared.followed());
        let Prepared { step, taken, bytes, status, then, changes } = prepared;
        check_size(step.record.len())?;
        let (tenant, execution) = (self.facts.tenant, self.facts.id);
        values::put(&self.shared.lasting.objects, tenant, taken).await?;
        let (set, cleared) = (step.set_timers.clone(), step.clear_timers.clone());
        let append = Append { tenant, execution, expected_next_seq, step };
        let written = self.submit(Command::Append(Box::new(append))).await;
        let promoted = appended(written.map_err(|error| Lost::Storage(error.into()))?)?;
        self.shared.lasting.counters.commits.add(1);
        self.shared.timers.changed(tenant, execution, set, &cleared);
        self.shared.tell(&self.facts, changes);
        for id in promoted {
            self.shared.deliver(tenant, id, Message::look());
        }
        self.stored = status;
        self.grow(bytes);
        Ok(then)
    }

    /// Waits for the writer while what is under way goes on.
    async fn submit(&mut self, command: Command) -> Result<Outcome, WriteError> {
        let written = self.shared.writer.submit(command);
        tokio::pin!(written);
        loop {
            tokio::select! {
                biased;
                outcome = &mut written => return outcome,
                () = self.flight.land() => {}
            }
        }
    }

    /// Counts the journal, warns at half of what it may have, and ends the execution beyond.
    fn grow(&mut self, bytes: u64) {
        let max = self.shared.lasting.settings.journal_bytes_max;
        let before = self.journal_bytes;
        self.journal_bytes += bytes;
        if self.stored.is_terminal() {
            return;
        }
        let (now, used) = (self.shared.now(), self.journal_bytes);
        if before <= max / 2 && used > max / 2 {
            let message = format!(
                "half of the journal this execution may have is used: {used} of {max} bytes (journal_bytes_max)"
            );
            let code = ErrorCode::ExecutionLimit;
            self.session.observe(now, JournalEvent::Warning { path: None, code, message });
        }
        if before <= max && used > max {
            let message =
                format!("the journal has {used} bytes, at most {max} are allowed (journal_bytes_max)");
            let failure = Failure::permanent(ErrorCode::ExecutionLimit, message);
            self.apply(now, Event::LimitExceeded { failure });
        }
    }
}

impl From<PutError> for Lost {
    fn from(error: PutError) -> Self {
        match error {
            PutError::TooLarge(reason) => {
                Self::TooLarge(Failure::permanent(ErrorCode::ExecutionLimit, reason))
            }
            PutError::Unavailable(error) => Self::Storage(error.into()),
        }
    }
}

fn check_size(bytes: usize) -> Result<(), Lost> {
    if bytes <= BLOB_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "one step gave {bytes} bytes of journal, at most {BLOB_BYTES_MAX} are allowed (BLOB_BYTES_MAX)"
    );
    Err(Lost::TooLarge(Failure::permanent(ErrorCode::ExecutionLimit, message)))
}

/// The executions that got a slot by an append.
fn appended(outcome: Outcome) -> Result<Vec<flux_model::ExecutionId>, Lost> {
    match outcome {
        Outcome::Appended { promoted } => Ok(promoted),
        Outcome::Conflict { .. } | Outcome::WrongStatus { .. } | Outcome::NotFound => Err(Lost::Fenced),
        Outcome::ReviewConflict { .. }
        | Outcome::Refused(_)
        | Outcome::Started { .. }
        | Outcome::Queued { .. }
        | Outcome::Debounced { .. }
        | Outcome::Duplicate { .. }
        | Outcome::RateLimited { .. }
        | Outcome::Dropped
        | Outcome::NotDue { .. }
        | Outcome::Promoted { .. }
        | Outcome::Deleted { .. }
        | Outcome::Saved { .. }
        | Outcome::Published { .. }
        | Outcome::Stale { .. }
        | Outcome::Done
        | Outcome::Exists => Err(Lost::Fault(format!("the store refused a step: {outcome:?}"))),
    }
}
