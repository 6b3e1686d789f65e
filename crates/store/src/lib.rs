//! The `Store` trait, the in-memory store and the conformance suite every backend passes.
//!
//! All writes are [`Command`]s, each one atomic, committed in batches by one [`Writer`]; reads are
//! the queries of [`Store`], run off the async threads by a [`Reader`]. This crate knows no SQL, no
//! file and no clock: times come with the commands.

pub mod access;
pub mod command;
pub mod conformance;
pub mod executions;
pub mod flows;
pub mod memory;
pub mod outcome;
pub mod page;
pub mod reader;
pub mod reviews;
pub mod store;
pub mod timers;
pub mod triggers;
pub mod validation;
pub mod writer;

pub use command::{Accept, Append, Command, Held, NewExecution, StatusChange, Step};
pub use executions::{ExecutionFilter, ExecutionRow};
pub use memory::MemoryStore;
pub use outcome::{Outcome, Refusal};
pub use page::{Cursor, Page, PageRequest};
pub use reader::Reader;
pub use store::{Store, StoreError};
pub use timers::{Timer, TimerName};
pub use writer::{Health, WriteError, Writer, WriterLimits};
