//! The node registry and the executors of node types.
//!
//! One file per node type under `types`; [`NodeDefinition`] is what each of them must say. Nodes
//! that the core evaluates are only described here. This crate opens no socket of its own: what
//! leaves the process leaves through egress.

mod attempt;
mod definition;
mod functions;
mod registry;
mod types;

pub use attempt::{Attempt, LogLine, RunContext, Sent, TaskDone};
pub use definition::{Effect, Executor, NodeDefinition};
pub use functions::{Code, FunctionCall, FunctionOutput, Functions, Recorder, ResponseHead};
pub use registry::Registry;
