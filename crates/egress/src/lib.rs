//! Outbound HTTP: the only way out of Flux, and the vault of project secrets.
//!
//! This crate owns every socket that a node or a function may open: which addresses may be
//! reached, which limits hold, what is recorded, and where a secret becomes plaintext. It refuses
//! to read configuration, to store anything, and to know what a node is.

pub mod address;
mod client;
mod connect;
mod content;
mod failure;
mod file_name;
pub mod files;
mod gates;
mod headers;
mod kept;
mod limits;
mod mask;
mod open;
mod payload;
mod policy;
mod receive;
mod record;
mod redirect;
mod request;
mod resolve;
mod response;
mod retry_after;
mod reveal;
mod scope;
mod target;
mod upload;
mod url_text;
pub mod vault;
mod wire;

pub use client::{Egress, EgressError, Setup};
pub use files::{FileRef, FileStore};
pub use kept::RECORDED_BODY_BYTES_MAX;
pub use limits::Limits;
pub use mask::{ContentMasker, SECRET_MASKED_BYTES_MIN};
pub use open::{Opened, Recording};
pub use policy::{HostPattern, InvalidRule, Policy, Rule};
pub use request::{Auth, Body, Part, PartContent, Redirects, Request, ResponseMode};
pub use resolve::{Resolver, SystemResolver};
pub use response::{Called, Response};
pub use scope::{ScopeError, SecretScope};
pub use upload::BodyStream;
pub use vault::{SecretError, SecretPlain, SecretSource};
