//! What is asked for when an execution shall start, and what became of it. Whoever starts one (API,
//! webhook, form, schedule, another execution, a rerun) says it in these words.

use std::time::Duration;

use flux_model::admission::ConcurrencyRule;
use flux_model::effect::Response;
use flux_model::event::Recorded;
use flux_model::execution::{ExecutionResult, ExecutionStatus};
use flux_model::ids::{ExecutionId, Tenant};
use flux_model::{Timestamp, Value};
use flux_store::executions::Parent;

/// Which version of a flow to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowRef {
    /// The version that is active now; the flow must be switched on.
    Active(String),
    /// This version, whether it is active or not.
    Version {
        /// The flow's name.
        name: String,
        /// The hash of the version.
        hash: String,
    },
}

impl FlowRef {
    /// The flow's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Active(name) | Self::Version { name, .. } => name,
        }
    }
}

/// What starts an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TriggerKind {
    /// The API or the command line.
    Api,
    /// A request to a webhook.
    Webhook,
    /// A form that was sent.
    Form,
    /// A schedule.
    Schedule,
    /// Another execution.
    Call,
    /// A rerun of an earlier execution.
    Rerun,
    /// A call of a function through the gateway.
    Function,
    /// A message to a function.
    Queue,
}

impl TriggerKind {
    /// As executions show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Webhook => "trigger.webhook",
            Self::Form => "trigger.form",
            Self::Schedule => "trigger.schedule",
            Self::Call => "flow.call",
            Self::Rerun => "rerun",
            Self::Function => "trigger.function",
            Self::Queue => "queue",
        }
    }
}

/// A call of another execution: who called, and which id the child must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The caller and the node in it.
    pub parent: Parent,
    /// The id of the child, derived by the caller, so that asking twice starts one.
    pub child: ExecutionId,
    /// How many executions are above the child.
    pub depth: u32,
}

/// An execution that shall start.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// Whose it is, from the verified caller.
    pub tenant: Tenant,
    /// What to run.
    pub flow: FlowRef,
    /// What starts it.
    pub trigger: TriggerKind,
    /// The trigger's output.
    pub input: Value,
    /// Two admissions of a flow with the same key are one execution.
    pub idempotency_key: Option<String>,
    /// The trace it belongs to.
    pub request_id: String,
    /// The call it comes from.
    pub call: Option<Call>,
    /// Outcomes to take over, for a rerun.
    pub recorded: Option<Recorded>,
    /// How it is kept apart from others, where the flow's own settings say nothing.
    pub concurrency: Option<ConcurrencyRule>,
    /// How long it is held back before it starts.
    pub delay: Option<Duration>,
}

impl Admission {
    /// An execution of the active version of `flow`.
    pub fn new(tenant: Tenant, flow: impl Into<String>, trigger: TriggerKind, input: Value) -> Self {
        Self {
            tenant,
            flow: FlowRef::Active(flow.into()),
            trigger,
            input,
            idempotency_key: None,
            request_id: String::new(),
            call: None,
            recorded: None,
            concurrency: None,
            delay: None,
        }
    }
}

/// An execution that was accepted; durable when this is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Its id. Of the earlier execution where this one joined it.
    pub id: ExecutionId,
    /// What became of it.
    pub outcome: AdmittedAs,
}

/// What became of an accepted execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmittedAs {
    /// It runs, or has even ended.
    Started,
    /// It waits for a slot, or for the end of its debounce.
    Queued {
        /// When its debounce ends.
        starts_at: Option<Timestamp>,
    },
    /// It joined an execution that has not started; that one now has this input.
    Debounced {
        /// When its debounce ends.
        starts_at: Timestamp,
    },
    /// An earlier execution has the same idempotency key.
    Duplicate,
}

/// What a caller waits for, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// What for.
    pub until: Until,
    /// At most this long.
    pub timeout: Duration,
}

/// What a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The answer of a respond node, or the end if there is none.
    Response,
    /// The end.
    End,
}

/// What a caller who waited is told. Everything but `Pending` is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A respond node answered. Only where that was waited for.
    Responded(Response),
    /// The execution is over.
    Ended(ExecutionResult),
    /// Neither happened in time.
    Pending(ExecutionStatus),
}
