//! The words of Flux as plain data: ids, values, the flow graph, node types, events, effects,
//! journals, boundary calls, reviews and errors.
//!
//! Everything here can be serialised, compared and copied between threads. Nothing here knows a
//! clock, randomness, a socket, a file, a database or an async runtime.

pub mod admission;
pub mod call;
pub mod config;
pub mod diagnostic;
pub mod effect;
pub mod error;
pub mod event;
pub mod execution;
pub mod flow;
pub mod ids;
pub mod journal;
pub mod limits;
pub mod node_type;
pub mod path;
pub mod review;
pub mod shape;
pub mod time;
pub mod value;

pub use call::{BoundaryCall, CallKind};
pub use diagnostic::{Diagnostic, Severity};
pub use effect::Effect;
pub use error::{ErrorClass, ErrorCode, NodeError};
pub use event::Event;
pub use execution::{ExecutionKind, ExecutionStatus, Wait};
pub use flow::Flow;
pub use ids::{ExecutionId, KeyId, OrganizationId, ProjectId, ReviewId, Tenant};
pub use node_type::{NodeType, Purity};
pub use path::NodePath;
pub use shape::Shape;
pub use time::Timestamp;
pub use value::Value;
