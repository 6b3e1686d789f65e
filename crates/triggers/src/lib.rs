//! Trigger adapters: what turns a schedule, a webhook request or a submitted form into the input
//! of an execution.
//!
//! Everything here is computed from its arguments: the time is a parameter, requests are given as
//! headers and bytes, secrets as plaintext that the caller resolved. Nothing here opens a socket,
//! reads a clock, keeps state between calls or admits an execution.

pub mod form;
pub mod function;
pub mod manual;
pub mod route;
pub mod schedule;
pub mod schema;
mod urlencoded;
pub mod webhook;

/// The key under which a second delivery of the same event is recognised: the project's executions
/// of this key are one. `event` is whatever tells two events of this trigger apart.
fn idempotency_key(kind: &str, flow: &str, node: &str, event: &str) -> String {
    format!("{kind}/{flow}/{node}/{event}")
}
