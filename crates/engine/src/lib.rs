//! The embedded driver: admission, run loop, timers, recovery, sweeper.
//!
//! One process owns its executions. Every decision is made by `flux_core`'s state machine, every
//! write goes through the store's one writer; this crate carries effects out, and keeps the order
//! of what is durable before what (`docs/concepts/executions.md`, `docs/adr/0004-owner-tasks.md`).

mod admission;
mod admit;
mod children;
mod clock;
mod commit;
mod control;
mod direct;
mod engine;
mod error;
mod events;
mod flight;
mod functions;
mod health;
mod journal;
mod load;
mod owner;
mod owners;
mod plans;
mod pure;
pub mod reading;
mod recover;
mod retention;
mod schedule;
mod settings;
mod shared;
mod sweep;
mod timers;
mod values;
mod waiters;
mod work;

pub use admission::{Admission, Admitted, AdmittedAs, Answer, Call, FlowRef, TriggerKind, Until, Waiting};
pub use clock::{Clock, Random, SystemClock, SystemRandom};
pub use control::{Cancelled, Rerun, RerunVersion, SignalSent, Signalled};
pub use engine::{ActivePlan, Engine, EngineParts, TRACE_EXECUTIONS_MAX};
pub use error::{AdmissionError, DecideError, EngineError, StartError};
pub use events::{Change, EngineEvent, NodeChange};
pub use functions::{EarlierVersions, FunctionParts};
pub use health::{EngineHealth, EngineStats, HealthState, PARKED_LISTED_MAX};
pub use journal::{JOURNAL_PART_BYTES, JournalPart, LogPart, LogQuery};
pub use plans::trigger_config;
pub use settings::EngineSettings;
