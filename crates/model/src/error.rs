//! Errors of executions, and the register of every public error code.
//!
//! A code is stable: scripts match on it and `docs/errors/<code>.md` explains it. The list below
//! is the only place a code is written; tidy pairs it with the pages.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::path::NodePath;
use crate::time::Timestamp;

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal;)*) => {
        /// A stable, documented name of what went wrong.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum ErrorCode {
            $(#[doc = $doc] #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is written in answers, journals and page names.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it means, in one sentence for people.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$name => $doc.trim_ascii(),)*
                }
            }
        }
    };
}

codes! {
    // Flow files and planning.
    /// The file is not a flow: JSON or YAML syntax, or a wrong field.
    FlowSyntax = "flow_syntax";
    /// A flow has no trigger, or more than one.
    TriggerCount = "trigger_count";
    /// Two nodes share a key, or a key is not a valid name.
    NodeKey = "node_key";
    /// The node type does not exist.
    UnknownNodeType = "unknown_node_type";
    /// A required config field is missing.
    ConfigMissing = "config_missing";
    /// A config field does not exist.
    ConfigUnknown = "config_unknown";
    /// A config field has the wrong type or value.
    ConfigInvalid = "config_invalid";
    /// An edge names a node or port that does not exist, or is there twice.
    EdgeInvalid = "edge_invalid";
    /// Nodes form a cycle outside a loop body.
    Cycle = "cycle";
    /// A node cannot be reached from the trigger.
    Unreachable = "unreachable";
    /// The body of a loop is entered or left other than through the loop.
    LoopBody = "loop_body";
    /// A template does not parse.
    TemplateSyntax = "template_syntax";
    /// A template refers to a node that is not upstream, or a path its output does not have.
    TemplateReference = "template_reference";
    /// A flow setting is out of range.
    SettingInvalid = "setting_invalid";
    /// A flow is larger than allowed.
    FlowTooLarge = "flow_too_large";
    // Running nodes.
    /// A template failed while it was evaluated.
    TemplateFailed = "template_failed";
    /// A template ran out of its step or output budget.
    TemplateBudget = "template_budget";
    /// The rendered config of a node is not valid for its type.
    NodeConfig = "node_config";
    /// A node was given a value it cannot work on.
    NodeInput = "node_input";
    /// A node took longer than its timeout.
    NodeTimeout = "node_timeout";
    /// The execution took longer than its timeout.
    ExecutionTimeout = "execution_timeout";
    /// The execution did more steps, or a larger journal, than allowed.
    ExecutionLimit = "execution_limit";
    /// The execution or node was cancelled.
    Cancelled = "cancelled";
    /// A child execution failed.
    ChildFailed = "child_failed";
    /// A review expired and its default action is to fail.
    ReviewExpired = "review_expired";
    /// An at-most-once effect was interrupted; a person must say what happened.
    OutcomeUnknown = "outcome_unknown";
    /// The node needs a part of Flux that this process does not run.
    RuntimeMissing = "runtime_missing";
    // Functions.
    /// A function threw an error.
    FunctionFailed = "function_failed";
    /// The project has no such function, or no such version of it.
    FunctionNotFound = "function_not_found";
    /// A function took too long, or never answered.
    FunctionTimeout = "function_timeout";
    /// A function used more processor time or memory than it may.
    FunctionLimit = "function_limit";
    /// The process of a function ended while it ran.
    FunctionCrashed = "function_crashed";
    /// A function returned what cannot be an output.
    FunctionOutput = "function_output";
    // Journals.
    /// The execution's journal cannot be read.
    JournalCorrupt = "journal_corrupt";
    // Outbound calls.
    /// The target address is not allowed.
    EgressRefused = "egress_refused";
    /// The URL is malformed or not HTTP.
    EgressUrl = "egress_url";
    /// The host name did not resolve.
    EgressDns = "egress_dns";
    /// The connection failed or broke.
    EgressConnection = "egress_connection";
    /// The call took too long.
    EgressTimeout = "egress_timeout";
    /// The answer, the request or the number of redirects or pages is over its limit.
    EgressLimit = "egress_limit";
    /// The server answered with a status that counts as failure.
    HttpStatus = "http_status";
    /// The answer is not what the response mode expects.
    HttpResponse = "http_response";
    /// A secret that is referred to does not exist.
    SecretMissing = "secret_missing";
    /// A secret may not be sent to this host.
    SecretHost = "secret_host";
    /// A stored secret cannot be decrypted with the configured server key.
    SecretSealed = "secret_sealed";
    // Admission.
    /// The flow does not exist.
    FlowNotFound = "flow_not_found";
    /// The flow has no published version, or is switched off.
    FlowInactive = "flow_inactive";
    /// The flow's rate limit is reached.
    RateLimited = "rate_limited";
    /// The flow's concurrency limit is reached and its overflow policy drops.
    ConcurrencyDropped = "concurrency_dropped";
    /// The server has more work than it accepts.
    Overloaded = "overloaded";
    /// The input does not fit the trigger's schema.
    InputInvalid = "input_invalid";
    /// Executions call each other deeper than allowed.
    CallDepth = "call_depth";
    // HTTP.
    /// No credentials, or not valid ones.
    Unauthenticated = "unauthenticated";
    /// The credentials do not allow this.
    Forbidden = "forbidden";
    /// Nothing has that name or id.
    NotFound = "not_found";
    /// The method is not allowed on this path.
    MethodNotAllowed = "method_not_allowed";
    /// The request is malformed.
    RequestInvalid = "request_invalid";
    /// The body is larger than allowed.
    BodyTooLarge = "body_too_large";
    /// The body is of a media type that is not read here.
    MediaTypeUnsupported = "media_type_unsupported";
    /// The thing changed since it was read, or is in a state that does not allow this.
    Conflict = "conflict";
    /// The webhook's signature is missing, wrong or too old.
    SignatureInvalid = "signature_invalid";
    /// The webhook came from an address that is not on its list.
    AddressRefused = "address_refused";
    /// The request took too long.
    RequestTimeout = "request_timeout";
    // Data.
    /// The query object is malformed, or does not fit the schema.
    QueryInvalid = "query_invalid";
    /// A query is over a limit on its size, cost or answer.
    QueryLimit = "query_limit";
    /// The policy file does not allow this query to this role.
    QueryForbidden = "query_forbidden";
    /// The query took too long and was stopped.
    QueryTimeout = "query_timeout";
    /// The cursor is damaged, or belongs to another query or caller.
    CursorInvalid = "cursor_invalid";
    /// A constraint of the database schema refused the change.
    ConstraintViolated = "constraint_violated";
    /// Another transaction was faster; running the transaction again may succeed.
    TransactionConflict = "transaction_conflict";
    /// The database transaction has already ended.
    TransactionOver = "transaction_over";
    /// The project's database cannot be reached.
    DatabaseUnavailable = "database_unavailable";
    /// The project's database refused a statement.
    DatabaseRefused = "database_refused";
    /// A statement of a migration failed.
    MigrationFailed = "migration_failed";
    /// A migration that was applied is missing or changed, or a new one comes before it.
    MigrationChanged = "migration_changed";
    /// Another process migrates the same database.
    MigrationLocked = "migration_locked";
    // Storage and configuration.
    /// The disk is full or failing; nothing is acknowledged until it recovers.
    StorageUnavailable = "storage_unavailable";
    /// Another process uses the data folder.
    DataFolderLocked = "data_folder_locked";
    /// The configuration is not valid.
    ConfigurationInvalid = "configuration_invalid";
    /// A fault inside Flux.
    Internal = "internal";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The same attempt may succeed later.
    Retryable,
    /// The same attempt will fail again.
    Permanent,
}

/// Why an executor could not do its work: what it knows before the core adds where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// One or two sentences a user understands, without secrets.
    pub message: String,
    /// Whether a retry may help.
    pub class: ErrorClass,
    /// The status a provider answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<u16>,
    /// How long the provider asked to wait before the next attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Which of the attempt's boundary calls failed, counted from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u32>,
    /// Where user code failed: the lines around the place, and the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// What user code wants its caller to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<ErrorAnswer>>,
}

/// An error that user code made for its caller, with `ctx.error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorAnswer {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The code, as the function names it.
    pub code: String,
}

impl Failure {
    /// A failure that will repeat.
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            class: ErrorClass::Permanent,
            provider_status: None,
            retry_after_ms: None,
            call: None,
            stack: None,
            answer: None,
        }
    }

    /// A failure that a later attempt may not meet.
    pub fn retryable(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Retryable, ..Self::permanent(code, message) }
    }
}

/// The error of a node run, complete: what, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeError {
    /// Where: the node path.
    pub node: NodePath,
    /// The display name of the node.
    pub name: String,
    /// The node type.
    #[serde(rename = "type")]
    pub node_type: String,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// The stable code.
    pub code: ErrorCode,
    /// What happened, for people.
    pub message: String,
    /// Whether a retry could have helped.
    pub class: ErrorClass,
    /// The status a provider answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<u16>,
    /// Where user code failed: the lines around the place, and the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// When, in milliseconds since 1970.
    pub at: Timestamp,
    /// The boundary call it came from, counted from zero within the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u32>,
    /// What user code wants its caller to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<ErrorAnswer>>,
}
