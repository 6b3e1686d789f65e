//! TypeScript functions: reading them from a project, bundling them, and running them in a pool of
//! supervised Deno processes.
//!
//! This crate owns the worker protocol (`protocol/worker-frames.md`), the processes and their
//! limits, and the TypeScript that runs in them (`runtime/`). It refuses to serve HTTP, to answer
//! what functions ask for (that is the [`Host`]'s), to journal and to decide who may call what.

mod bundle;
mod declarations;
mod deployment;
mod depth;
mod error;
mod faults;
mod host;
mod invocation;
mod link;
mod pool;
mod process;
mod project;
mod protocol;
mod runtime;
mod runtime_files;
mod settings;
mod worker;

pub use bundle::{Bundle, BundleId};
pub use declarations::{Declared, declarations};
pub use deployment::{Deployment, FunctionInfo};
pub use error::{CallSite, DeployError, Frame, FunctionError, Intent, ProjectFault, Thrown};
pub use host::{
    Answer, Body, Call, FetchRequest, FetchResponse, FlowWait, Host, HostCall, HostError, LogLevel, LogLine,
    QueueSend, Redirect, Redirected, TransactionId,
};
pub use invocation::{BodyStream, ClockReads, Invocation, Invoked, Output, RunRecord, SEED_BYTES};
pub use project::{
    Auth, Cors, Credentials, Durability, FUNCTIONS_FOLDER, Function, Mode, ProjectFunctions, RateLimit, Retry,
};
pub use runtime::Runtime;
pub use settings::{Settings, Spare, User, find_deno};
