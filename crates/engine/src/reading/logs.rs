//! The log of an execution: what its nodes wrote, and what the machine warned about.

use flux_model::journal::{Entry, JournalEvent, LogLevel};
use flux_model::{ErrorCode, NodePath, Timestamp, Value};

/// A line of log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// The number of its journal entry: what a follower goes on from.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// How loud.
    pub level: LogLevel,
    /// The node it is about.
    pub node: Option<NodePath>,
    /// The line.
    pub message: String,
    /// Named values.
    pub fields: Value,
    /// The code, where it is a warning or an error of the machine.
    pub code: Option<ErrorCode>,
}

/// The log, in the order of the journal. Failed attempts and warnings are part of it.
pub fn logs(entries: &[Entry]) -> Vec<LogLine> {
    entries.iter().filter_map(line).collect()
}

fn line(entry: &Entry) -> Option<LogLine> {
    let (level, node, message, fields, code) = match &entry.event {
        JournalEvent::Logged { path, level, message, fields } => {
            (*level, path.clone(), message.clone(), fields.clone(), None)
        }
        JournalEvent::Warning { path, code, message } => {
            (LogLevel::Warn, path.clone(), message.clone(), Value::Null, Some(*code))
        }
        JournalEvent::NodeFailed { error, retry_at } => {
            let level = if retry_at.is_some() { LogLevel::Warn } else { LogLevel::Error };
            (level, Some(error.node.clone()), error.message.clone(), Value::Null, Some(error.code))
        }
        JournalEvent::Input { .. }
        | JournalEvent::AttemptStarted { .. }
        | JournalEvent::NodeSucceeded { .. }
        | JournalEvent::NodeSkipped { .. }
        | JournalEvent::NodeCancelled { .. }
        | JournalEvent::NodeWaiting { .. }
        | JournalEvent::Responded { .. }
        | JournalEvent::Called { .. }
        | JournalEvent::Finished { .. } => return None,
    };
    Some(LogLine { seq: entry.seq, at: entry.at, level, node, message, fields, code })
}
