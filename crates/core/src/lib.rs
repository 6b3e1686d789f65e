//! Template language, planner and execution state machine: pure functions.
//!
//! This crate knows no clock, randomness, socket, file, database or async runtime; the time is a
//! parameter and everything else is an [`flux_model::Effect`] for a driver to carry out.

pub mod admission;
pub mod bounds;
pub mod machine;
pub mod plan;
pub mod session;
pub mod template;

#[cfg(test)]
mod test_catalog;
