//! The journal: the ordered record of one execution, and its stored form.
//!
//! A journal is a list of [`Entry`] numbered from 0 without gaps. It is written in *records*: the
//! entries of one commit. Entries of kind [`JournalEvent::Input`] are what the state machine is
//! folded from; the rest is what it concluded or what was observed, kept so that trace, logs and
//! replay need not compute it again.
//!
//! Stored form (format 1): the JSON object `{"v": 1, "first": n, "entries": [...], "stored": [...]}`.
//! Values heavier than [`crate::limits::INLINE_VALUE_BYTES_MAX`] are taken out: the entry holds
//! null in their place, and `stored` names the object that holds the value and the place, as the
//! position among the values of the record in the order of [`JournalEvent::values_mut`]. A value
//! that came from outside can therefore never pose as a reference.

use serde::{Deserialize, Serialize};

use crate::call::BoundaryCall;
use crate::effect::Response;
use crate::error::{ErrorCode, NodeError};
use crate::event::Event;
use crate::execution::{ExecutionResult, WaitOn};
use crate::limits::INLINE_VALUE_BYTES_MAX;
use crate::path::NodePath;
use crate::time::Timestamp;
use crate::value::Value;

/// The version of the stored form that this code writes.
pub const JOURNAL_FORMAT: u32 = 1;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 0 without gaps.
    pub seq: u64,
    /// When, as the driver gave it.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: JournalEvent,
}

/// What a journal can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JournalEvent {
    /// An event that drives the state machine.
    Input {
        /// Which.
        input: Event,
    },
    /// An attempt of a task was started.
    AttemptStarted {
        /// The node.
        path: NodePath,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A node ended well.
    NodeSucceeded {
        /// The node.
        path: NodePath,
        /// By which ports it was left; the main port if empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ports: Vec<String>,
        /// Its output, where no input event holds it already.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::value::present"
        )]
        output: Option<Value>,
    },
    /// An attempt failed.
    NodeFailed {
        /// The error.
        error: NodeError,
        /// When the next attempt starts, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// A node will not run: no edge into it was delivered.
    NodeSkipped {
        /// The node.
        path: NodePath,
    },
    /// A node was stopped because the execution is.
    NodeCancelled {
        /// The node.
        path: NodePath,
    },
    /// A node waits.
    NodeWaiting {
        /// The node.
        path: NodePath,
        /// What for.
        wait: WaitOn,
    },
    /// Something that did not stop the execution but that its owner should know.
    Warning {
        /// The node it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<NodePath>,
        /// The stable code.
        code: ErrorCode,
        /// What.
        message: String,
    },
    /// The flow composed its answer.
    Responded {
        /// The answer.
        response: Response,
    },
    /// The outside was asked something.
    Called {
        /// The node.
        path: NodePath,
        /// Which attempt, from 1.
        attempt: u32,
        /// The call.
        call: BoundaryCall,
    },
    /// A line of log.
    Logged {
        /// The node that wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<NodePath>,
        /// `debug`, `info`, `warn` or `error`.
        level: LogLevel,
        /// The line.
        message: String,
        /// Named values.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        fields: Value,
    },
    /// The execution is over.
    Finished {
        /// How.
        result: ExecutionResult,
    },
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// Normal.
    Info,
    /// Unexpected.
    Warn,
    /// Failed.
    Error,
}

impl JournalEvent {
    /// Every value in it that may be large, always in the same order.
    pub fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Input { input } => input_values(input),
            Self::NodeSucceeded { output, .. } => output.iter_mut().collect(),
            Self::Responded { response } => vec![&mut response.body],
            Self::Called { call, .. } => {
                let mut values = vec![&mut call.request];
                values.extend(call.result.as_mut().ok());
                values
            }
            Self::Logged { fields, .. } => vec![fields],
            Self::Finished { result } => result_values(result),
            Self::AttemptStarted { .. }
            | Self::NodeFailed { .. }
            | Self::NodeSkipped { .. }
            | Self::NodeCancelled { .. }
            | Self::NodeWaiting { .. }
            | Self::Warning { .. } => Vec::new(),
        }
    }
}

fn input_values(event: &mut Event) -> Vec<&mut Value> {
    match event {
        Event::Started { input, recorded } => {
            let mut values = vec![input];
            if let Some(recorded) = recorded {
                values.extend(recorded.outputs.values_mut().map(|output| &mut output.value));
            }
            values
        }
        Event::Completed { result, .. } => {
            result.as_mut().map_or_else(|_| Vec::new(), |output| vec![&mut output.value])
        }
        Event::Decided { decision, .. } => decision.content.iter_mut().collect(),
        Event::Signalled { payload, .. } => vec![payload],
        Event::ChildEnded { result, .. } => result_values(result),
        Event::TimerFired { .. }
        | Event::ChildStarted { .. }
        | Event::CancelRequested { .. }
        | Event::LimitExceeded { .. }
        | Event::Recovered => Vec::new(),
    }
}

fn result_values(result: &mut ExecutionResult) -> Vec<&mut Value> {
    match result {
        ExecutionResult::Succeeded { output } => vec![output],
        ExecutionResult::Failed { .. } | ExecutionResult::Cancelled { .. } => Vec::new(),
    }
}

/// A value that was taken out of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredValue {
    /// Its position among the values of the record.
    pub position: usize,
    /// SHA-256 of its JSON text, in hexadecimal: the name of the object.
    pub hash: String,
    /// Bytes of its JSON text.
    pub bytes: u64,
}

/// The entries of one commit, in stored form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The format version.
    pub v: u32,
    /// The number of the first entry.
    pub first: u64,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Values that were taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stored: Vec<StoredValue>,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorruptRecord {
    /// It is not JSON of this form.
    #[error("a journal record is not readable: {0}")]
    Syntax(String),
    /// A later version of Flux wrote it.
    #[error("a journal record has format {found}, this version reads up to {JOURNAL_FORMAT}")]
    Format {
        /// Its version.
        found: u32,
    },
    /// Its entries are not numbered without gaps.
    #[error("journal entry {expected} is missing, {found} follows instead")]
    Gap {
        /// The number that should follow.
        expected: u64,
        /// The number that does.
        found: u64,
    },
    /// A value that was taken out is not where the record says.
    #[error("a journal record refers to value {position}, which it does not have")]
    Position {
        /// The position it names.
        position: usize,
    },
}

impl Record {
    /// A record of these entries, and the values that must be in objects before it is committed:
    /// name and JSON text of each.
    pub fn new(mut entries: Vec<Entry>) -> (Self, Vec<(StoredValue, String)>) {
        let mut taken = Vec::new();
        let values = entries.iter_mut().flat_map(|entry| entry.event.values_mut());
        for (position, value) in values.enumerate() {
            if value.weight(INLINE_VALUE_BYTES_MAX) > INLINE_VALUE_BYTES_MAX {
                let json = value.to_json();
                let hash = crate::journal::object_name(json.as_bytes());
                taken.push((StoredValue { position, hash, bytes: json.len() as u64 }, json));
                *value = Value::Null;
            }
        }
        let first = entries.first().map_or(0, |entry| entry.seq);
        let stored = taken.iter().map(|(stored, _)| stored.clone()).collect();
        (Self { v: JOURNAL_FORMAT, first, entries, stored }, taken)
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored form; values that were taken out are still missing.
    ///
    /// # Errors
    /// [`CorruptRecord`] if it is not readable, of a later version, or its entries have gaps.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptRecord> {
        let record: Self =
            serde_json::from_slice(bytes).map_err(|error| CorruptRecord::Syntax(error.to_string()))?;
        if record.v > JOURNAL_FORMAT {
            return Err(CorruptRecord::Format { found: record.v });
        }
        for (expected, entry) in (record.first..).zip(&record.entries) {
            if entry.seq != expected {
                return Err(CorruptRecord::Gap { expected, found: entry.seq });
            }
        }
        Ok(record)
    }

    /// Puts back one value that was taken out.
    ///
    /// # Errors
    /// [`CorruptRecord::Position`] if the record has no such place.
    pub fn restore(&mut self, stored: &StoredValue, value: Value) -> Result<(), CorruptRecord> {
        let mut places = self.entries.iter_mut().flat_map(|entry| entry.event.values_mut());
        let place =
            places.nth(stored.position).ok_or(CorruptRecord::Position { position: stored.position })?;
        *place = value;
        Ok(())
    }
}

/// The name of the object that holds these bytes: their SHA-256 in hexadecimal.
pub fn object_name(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, event: Event) -> Entry {
        Entry { seq, at: Timestamp::from_millis(1_000), event: JournalEvent::Input { input: event } }
    }

    #[test]
    fn large_values_leave_the_record_and_come_back() {
        let big = Value::text("x".repeat(INLINE_VALUE_BYTES_MAX + 1));
        let signal = |payload: Value| Event::Signalled { name: "s".into(), payload, id: "1".into() };
        let entries = vec![entry(4, signal(Value::from(1_i64))), entry(5, signal(big))];
        let (record, taken) = Record::new(entries.clone());
        assert_eq!((taken.len(), taken[0].0.position), (1, 1));
        assert!(record.encode().len() < 1_000);
        let mut read = Record::decode(&record.encode()).unwrap();
        let value = Value::from_json(taken[0].1.as_bytes()).unwrap();
        read.restore(&taken[0].0, value).unwrap();
        assert_eq!(read.entries, entries);
    }

    #[test]
    fn gaps_later_formats_and_noise_are_named() {
        let cancel = || Event::CancelRequested { reason: "r".into() };
        let (mut record, _) = Record::new(vec![entry(0, cancel()), entry(2, cancel())]);
        assert_eq!(Record::decode(&record.encode()), Err(CorruptRecord::Gap { expected: 1, found: 2 }));
        record.v = 99;
        assert_eq!(Record::decode(&record.encode()), Err(CorruptRecord::Format { found: 99 }));
        assert!(matches!(Record::decode(b"{\"v\":1,"), Err(CorruptRecord::Syntax(_))));
    }
}
