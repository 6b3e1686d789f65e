//! The gateway (public: functions, webhooks, forms) and the console API (people and their programs).
//!
//! One file per endpoint, one route table per listener, problems for every error. This crate
//! accepts connections, checks who asks, reads requests and writes answers; it decides nothing
//! about executions, which is the engine's business, and knows no storage backend.

mod access;
mod app;
mod body;
mod console;
mod envelope;
mod gateway;
mod moment;
mod problem;
mod query;
mod refusal;
mod request_id;
mod route;
mod schema;
mod serve;
#[cfg(test)]
mod testing;
mod text_limit;
mod vault;

pub use access::jwt::Issuer;
pub use access::key::{IssuedKey, NewKey, NoRandomness, is_well_formed};
pub use access::scope::{Scope, Scopes, UnknownScope};
pub use app::{App, AppParts, Detail, FunctionSettings, HttpLimits, StartError};
pub use body::{BODY_BYTES_MAX, BODY_TIMEOUT, BodyLimits};
pub use console::{console_router, openapi};
pub use flux_triggers::function::RateLimit;
pub use gateway::client::{InvalidNetwork, Network};
pub use gateway::gateway_router;
pub use gateway::project::Projects;
pub use serve::{
    CONNECTIONS_MAX, ConnectionLimits, DRAIN_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADER_LINES_MAX, Peer,
    serve,
};
pub use vault::{Vault, VaultFailure};
