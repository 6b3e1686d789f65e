//! Reading journals back: record by record, stored values put back, in bounded memory.

use flux_core::session::{FoldError, Session};
use flux_model::Timestamp;
use flux_model::event::Event;
use flux_model::execution::ExecutionResult;
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::journal::{CorruptRecord, Entry, JournalEvent, LogLevel, Record};
use flux_store::{ExecutionRow, Held};

use crate::commit::{Encoded, encode};
use crate::error::EngineError;
use crate::reading::{LogLine, logs};
use crate::shared::Shared;
use crate::values;

/// A part of a journal ends with the record that reaches this many bytes, stored values included.
pub const JOURNAL_PART_BYTES: u64 = 4 * 1024 * 1024;
/// Parts of a journal that are read for one part of its log.
const LOG_PARTS_MAX: usize = 16;

/// One execution's journal.
pub(crate) struct Journal<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) tenant: Tenant,
    pub(crate) id: ExecutionId,
}

impl Journal<'_> {
    /// All entries. Refuses when they have more than `bytes_max` bytes, stored values included.
    pub(crate) async fn entries(&self, bytes_max: usize) -> Result<Vec<Entry>, EngineError> {
        let mut entries = Vec::new();
        let mut budget = Budget { used: 0, max: bytes_max };
        let mut next = Some(0);
        while let Some(from) = next {
            let page = self.page(from).await?;
            for record in page.records {
                entries.extend(self.restored(&record.bytes, &mut budget).await?.entries);
            }
            next = page.next_seq;
        }
        Ok(entries)
    }

    /// Entries from number `from` on, up to the end of the record that reaches `bytes_max` bytes,
    /// stored values included.
    pub(crate) async fn part(&self, from: u64, bytes_max: u64) -> Result<JournalPart, EngineError> {
        let page = self.page(from).await?;
        let mut part = JournalPart { entries: Vec::new(), next_seq: page.next_seq };
        let mut read = Budget::unbounded();
        for record in page.records {
            if read.used >= bytes_max.max(1) {
                part.next_seq = Some(record.first_seq);
                break;
            }
            let entries = self.restored(&record.bytes, &mut read).await?.entries;
            part.entries.extend(entries.into_iter().filter(|entry| entry.seq >= from));
        }
        Ok(part)
    }

    /// The first entry of which `pick` makes something.
    pub(crate) async fn find<T>(&self, pick: impl Fn(Entry) -> Option<T>) -> Result<Option<T>, EngineError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let part = self.part(from, JOURNAL_PART_BYTES).await?;
            if let Some(found) = part.entries.into_iter().find_map(&pick) {
                return Ok(Some(found));
            }
            next = part.next_seq;
        }
        Ok(None)
    }

    /// Some lines of the log.
    pub(crate) async fn log(&self, query: &LogQuery) -> Result<LogPart, EngineError> {
        let mut log = LogPart { lines: Vec::new(), next_seq: Some(query.from_seq) };
        for _ in 0..LOG_PARTS_MAX {
            let Some(from) = log.next_seq.filter(|_| log.lines.len() <= query.lines_max) else { break };
            let part = self.part(from, JOURNAL_PART_BYTES).await?;
            log.next_seq = part.next_seq;
            log.lines.extend(logs(&part.entries).into_iter().filter(|line| line.level >= query.level));
        }
        if let Some(more) = log.lines.get(query.lines_max) {
            log.next_seq = Some(more.seq);
            log.lines.truncate(query.lines_max);
        }
        Ok(log)
    }

    /// Applies all entries to a session that has not begun; gives how many bytes they have.
    pub(crate) async fn fold(&self, session: &mut Session) -> Result<u64, EngineError> {
        let mut read = Budget::unbounded();
        let mut next = Some(0);
        while let Some(from) = next {
            let page = self.page(from).await?;
            for record in page.records {
                let record = self.restored(&record.bytes, &mut read).await?;
                for entry in &record.entries {
                    session.fold_entry(entry).map_err(|error| self.unfit(&error))?;
                }
            }
            next = page.next_seq;
        }
        Ok(read.used)
    }

    /// How the execution ended, as its last record says.
    pub(crate) async fn result(&self, row: &ExecutionRow) -> Result<Option<ExecutionResult>, EngineError> {
        let page = self.page(row.next_seq.saturating_sub(1)).await?;
        let Some(last) = page.records.last() else { return Ok(None) };
        let record = self.restored(&last.bytes, &mut Budget::unbounded()).await?;
        Ok(record.entries.into_iter().rev().find_map(|entry| match entry.event {
            JournalEvent::Finished { result } => Some(result),
            JournalEvent::Input { .. }
            | JournalEvent::AttemptStarted { .. }
            | JournalEvent::NodeSucceeded { .. }
            | JournalEvent::NodeFailed { .. }
            | JournalEvent::NodeSkipped { .. }
            | JournalEvent::NodeCancelled { .. }
            | JournalEvent::NodeWaiting { .. }
            | JournalEvent::Warning { .. }
            | JournalEvent::Responded { .. }
            | JournalEvent::Called { .. }
            | JournalEvent::Logged { .. } => None,
        }))
    }

    /// The event that an execution starts with, kept while it was queued.
    pub(crate) async fn held(&self) -> Result<Event, EngineError> {
        let (tenant, id) = (self.tenant, self.id);
        let bytes = self.shared.reader.query(move |store| store.held(tenant, id)).await?;
        let bytes = bytes.ok_or_else(|| self.corrupt("its input is not there"))?;
        let record = self.restored(&bytes, &mut Budget::unbounded()).await?;
        match record.entries.into_iter().next().map(|entry| entry.event) {
            Some(JournalEvent::Input { input }) => Ok(input),
            Some(_) | None => Err(self.corrupt("its held input is not an event")),
        }
    }

    async fn page(&self, from: u64) -> Result<flux_store::executions::JournalPage, EngineError> {
        let (tenant, id) = (self.tenant, self.id);
        Ok(self.shared.reader.query(move |store| store.journal(tenant, id, from)).await?)
    }

    async fn restored(&self, bytes: &[u8], budget: &mut Budget) -> Result<Record, EngineError> {
        budget.take(bytes.len() as u64, self.id)?;
        let mut record = Record::decode(bytes).map_err(|error| self.unreadable(&error))?;
        for stored in std::mem::take(&mut record.stored) {
            budget.take(stored.bytes, self.id)?;
            let value = values::get(&self.shared.lasting.objects, self.tenant, self.id, &stored.hash).await?;
            record.restore(&stored, value).map_err(|error| self.unreadable(&error))?;
        }
        Ok(record)
    }

    fn unreadable(&self, error: &CorruptRecord) -> EngineError {
        match error {
            CorruptRecord::Format { .. } => {
                EngineError::Newer { execution: self.id, reason: error.to_string() }
            }
            CorruptRecord::Syntax(_) | CorruptRecord::Gap { .. } | CorruptRecord::Position { .. } => {
                self.corrupt(&error.to_string())
            }
        }
    }

    fn unfit(&self, error: &FoldError) -> EngineError {
        self.corrupt(&error.to_string())
    }

    pub(crate) fn corrupt(&self, reason: &str) -> EngineError {
        EngineError::Corrupt { execution: self.id, reason: reason.to_owned() }
    }
}

/// Some entries of a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalPart {
    /// In order, without gaps.
    pub entries: Vec<Entry>,
    /// The number of the entry that follows; absent at the end.
    pub next_seq: Option<u64>,
}

/// Which lines of a log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// The number of the journal entry to begin with.
    pub from_seq: u64,
    /// Only lines that are at least this loud.
    pub level: LogLevel,
    /// At most this many.
    pub lines_max: usize,
}

/// Some lines of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPart {
    /// In the order of the journal. May be fewer than asked for, even none, before the end.
    pub lines: Vec<LogLine>,
    /// The journal entry to go on from; absent at the end.
    pub next_seq: Option<u64>,
}

/// How many bytes were read, and how many may be.
struct Budget {
    used: u64,
    max: usize,
}

impl Budget {
    const fn unbounded() -> Self {
        Self { used: 0, max: usize::MAX }
    }

    fn take(&mut self, bytes: u64, execution: ExecutionId) -> Result<(), EngineError> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.max as u64 {
            return Err(EngineError::TooLarge { execution, bytes: self.used, max: self.max });
        }
        Ok(())
    }
}

/// The form in which the first event of an execution is kept while it is queued: a record of that
/// one entry, so that large inputs are taken out as they are from any record.
pub(crate) fn hold(started: Event, now: Timestamp) -> (Held, Vec<(String, String)>) {
    let entry = Entry { seq: 0, at: now, event: JournalEvent::Input { input: started } };
    let Encoded { record, taken, objects, .. } = encode(vec![entry]);
    (Held { bytes: record, objects }, taken)
}
