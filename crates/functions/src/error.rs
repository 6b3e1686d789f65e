//! Why a call of a function, or a deployment, failed: said with limit, measured value and setting,
//! and with the line of TypeScript where there is one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a project's TypeScript.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallSite {
    /// The file, from the project's folder: `functions/create_order.ts`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl fmt::Display for CallSite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One line of a stack trace, in the TypeScript as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The function, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Where.
    #[serde(flatten)]
    pub site: CallSite,
}

/// What a function threw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thrown {
    /// The error's name: `TypeError`. For what is no error, `a thrown string` and so on.
    pub name: String,
    /// Its message.
    pub message: String,
    /// The code and status of `ctx.error(status, code, message)`, or of a failed host call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether it was made by `ctx.error`, and so is meant for the caller.
    #[serde(default)]
    pub intent: Intent,
    /// The stack, innermost first: lines of the project and its packages only.
    #[serde(default)]
    pub frames: Vec<Frame>,
    /// The lines around the innermost line of the project, marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_frame: Option<String>,
    /// What caused it: the messages of its chain of causes.
    #[serde(default)]
    pub causes: Vec<String>,
}

/// Whom a thrown error is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// For the developer: the caller learns that there was an error, not which.
    #[default]
    Fault,
    /// For the caller: made by `ctx.error`.
    Answer,
}

/// Why there is no output.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FunctionError {
    /// The project has no active version.
    #[error("the project has no deployed functions")]
    NotDeployed,
    /// There is no such function.
    #[error("there is no function `{name}`{}", nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NotFound {
        /// What was asked for.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The input is not JSON, or too large.
    #[error("{0}")]
    Input(String),
    /// The function threw.
    #[error("{}: {}", .0.name, .0.message)]
    Thrown(Box<Thrown>),
    /// It did not answer in time.
    #[error("`{function}` ran for {measured_ms} ms; its limit is {limit_ms} ms ({setting}). {state}")]
    Timeout {
        /// The function.
        function: String,
        /// The limit.
        limit_ms: u64,
        /// How long it ran.
        measured_ms: u64,
        /// What sets the limit.
        setting: &'static str,
        /// What it was doing: what it waited for, or that it did not give up the processor.
        state: String,
    },
    /// Its promise was pending at the deadline and nothing was under way that could resolve it.
    #[error(
        "`{function}` never resolved: after {measured_ms} ms (limit {limit_ms} ms, {setting}) its promise is \
         pending, and no host call and no timer of it is under way that could resolve it"
    )]
    NeverResolved {
        /// The function.
        function: String,
        /// The limit.
        limit_ms: u64,
        /// How long it ran.
        measured_ms: u64,
        /// What sets the limit.
        setting: &'static str,
    },
    /// It kept the processor without giving other calls a turn. The process was killed.
    #[error(
        "`{function}` was stopped: its process used {measured_ms} ms of processor time without a pause; the limit is \
         {limit_ms} ms ({setting})"
    )]
    Cpu {
        /// The function.
        function: String,
        /// The limit.
        limit_ms: u64,
        /// What was measured.
        measured_ms: u64,
        /// What sets the limit.
        setting: &'static str,
    },
    /// The process used more memory than it may and was killed, or V8 gave up.
    #[error(
        "`{function}` was stopped: its process used {measured_mb} MiB of memory; the limit is {limit_mb} MiB ({setting})"
    )]
    Memory {
        /// The function.
        function: String,
        /// The limit.
        limit_mb: u64,
        /// What was measured last.
        measured_mb: u64,
        /// What sets the limit.
        setting: &'static str,
    },
    /// The function called `Deno.exit` or `process.exit`.
    #[error("`{function}` called exit({code}); a function ends by returning or throwing")]
    Exit {
        /// The function.
        function: String,
        /// With which code.
        code: i64,
    },
    /// The process ended by itself, or was killed by somebody else.
    #[error("the process of `{function}` ended while the call ran: {reason}")]
    Crashed {
        /// The function.
        function: String,
        /// Signal or exit code, and the last lines it wrote.
        reason: String,
    },
    /// The output cannot be written as JSON.
    #[error("`{function}` returned what is not JSON: {reason}")]
    Unserialisable {
        /// The function.
        function: String,
        /// What and where: `output.children[0].parent refers back to output`.
        reason: String,
    },
    /// The process was stopped because of another call in it.
    #[error("the process of `{function}` was stopped because of another call: {reason}")]
    WorkerLost {
        /// The function.
        function: String,
        /// Why it was stopped.
        reason: String,
    },
    /// More calls wait for a process than may.
    #[error("{measured} calls of the project wait for a process; at most {limit} may ({setting})")]
    Overloaded {
        /// How many may wait.
        limit: usize,
        /// How many do.
        measured: usize,
        /// What sets the limit.
        setting: &'static str,
    },
    /// No process could be started.
    #[error("no process for functions can be started: {0}")]
    Unavailable(String),
    /// The runtime is shutting down, or the version was removed.
    #[error("the call was cancelled: {0}")]
    Cancelled(String),
}

/// Why a bundle cannot be made or served. The version before it keeps serving.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DeployError {
    /// Something in the project is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Project(Vec<ProjectFault>),
    /// Packages could not be resolved or fetched.
    #[error("packages cannot be installed: {0}")]
    Packages(String),
    /// A file cannot be read or written.
    #[error("{0}")]
    Files(String),
    /// The modules do not come to an end of loading, or end their process.
    #[error("{0}")]
    Load(String),
    /// Deno is missing or does not start.
    #[error("{0}")]
    Deno(String),
}

/// One thing that is wrong in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFault {
    /// Where: `flux.json: functions.orders.method`, `functions/orders.ts:3:9`.
    pub place: String,
    /// What is wrong, with the value.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
    /// The lines around the place, marked.
    pub code_frame: Option<String>,
}

impl fmt::Display for ProjectFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(out, " ({suggestion})")?;
        }
        if let Some(code_frame) = &self.code_frame {
            write!(out, "\n{code_frame}")?;
        }
        Ok(())
    }
}
