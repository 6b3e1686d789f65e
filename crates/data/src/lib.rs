//! The data engine: structured queries to SQL on SQLite and PostgreSQL.
//!
//! A query object is parsed ([`Query::parse`]), planned against the schema, the policy file and the
//! caller's claims, and compiled to one parametrised statement. Whatever can be refused is refused before
//! the database does any work. Every change leaves a trace in the same transaction. This crate opens
//! databases and nothing else: no HTTP, no environment, no files beside the database and the migrations it
//! is pointed at.

pub mod advice;
mod cache;
mod compile;
mod context;
mod cursor;
mod engine;
mod error;
mod graph;
mod history;
mod introspect;
pub mod limits;
mod migrate;
mod nearest;
mod place;
mod plan;
mod policy;
mod query;
pub mod schema;
mod shape;
mod trace;
mod typings;

pub use context::{Access, Claims, Context};
pub use engine::{Answer, CacheStatus, Database, DatabaseRole, History, Options, Source, Transaction};
pub use error::{ConstraintKind, DataError};
pub use history::{Blame, Change, Mutation};
pub use migrate::{MigrateMode, Migration, MigrationReport, MigrationState, MigrationStatus};
pub use policy::Policy;
pub use query::{
    Action, Aggregate, Columns, Delete, Direction, Filter, Function, Include, Insert, Measure, Op, Operation,
    Order, Query, Reach, Resolution, Select, Start, Test, Update, Upsert,
};
pub use shape::QueryShape;
pub use typings::typings;
