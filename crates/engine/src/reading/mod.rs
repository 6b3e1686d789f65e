//! What people ask of a journal, computed from its entries: node runs, logs, spans.
//!
//! Pure functions: nothing here is stored, and nothing here reads a store or a clock.

mod logs;
mod runs;
mod spans;

pub use logs::{LogLine, logs};
pub use runs::{NodeRun, NodeRunStatus, node_runs};
pub use spans::{Span, SpanKind, SpanStatus, spans};
