//! What the server answers, as far as text for people needs it. With `--json` the answer itself is
//! printed, so fields that are not listed here are not lost.

use flux_model::{ExecutionStatus, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    /// The items, newest first.
    pub(crate) items: Vec<T>,
    /// Where the next page begins.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// A time, written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct When(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = chrono::DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(time.to_utc().into()))
    }
}

/// An execution.
#[derive(Debug, Deserialize)]
pub(crate) struct Execution {
    /// Its id.
    pub(crate) id: String,
    /// The flow's or function's name.
    #[serde(default)]
    pub(crate) flow: String,
    /// Where it stands.
    pub(crate) status: ExecutionStatus,
    /// The trace it belongs to.
    #[serde(default)]
    pub(crate) request_id: String,
    /// What started it.
    #[serde(default)]
    pub(crate) trigger: String,
    /// Its output.
    #[serde(default)]
    pub(crate) output: Option<Value>,
    /// Why it failed or was cancelled.
    #[serde(default)]
    pub(crate) error: Option<Failure>,
    /// What it waits for.
    #[serde(default)]
    pub(crate) waits: Vec<Wait>,
    /// When it was accepted.
    pub(crate) created_at: When,
    /// When it ended.
    #[serde(default)]
    pub(crate) ended_at: Option<When>,
    /// Its node runs, where one execution was asked for.
    #[serde(default)]
    pub(crate) nodes: Vec<NodeRun>,
}

/// Why something failed.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    /// The stable code.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// The node that failed, as a path.
    #[serde(default)]
    pub(crate) node: Option<String>,
    /// Which attempt failed.
    #[serde(default)]
    pub(crate) attempt: Option<u32>,
}

/// One thing that an execution waits for.
#[derive(Debug, Deserialize)]
pub(crate) struct Wait {
    /// The node that waits.
    pub(crate) node: String,
    /// `timer`, `review`, `signal` or `child`.
    pub(crate) on: String,
    /// The review.
    #[serde(default)]
    pub(crate) review: Option<String>,
    /// The signal's name.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// The child execution.
    #[serde(default)]
    pub(crate) execution: Option<String>,
}

impl Wait {
    /// What it waits for, in a few words.
    pub(crate) fn describe(&self) -> String {
        let what = match (&self.review, &self.name, &self.execution) {
            (Some(review), _, _) => format!("review {review}"),
            (None, Some(name), _) => format!("signal {name}"),
            (None, None, Some(execution)) => format!("execution {execution}"),
            (None, None, None) => self.on.clone(),
        };
        format!("{}: {what}", self.node)
    }
}

/// One run of a node.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeRun {
    /// Where.
    pub(crate) path: String,
    /// The node type.
    #[serde(rename = "type", default)]
    pub(crate) node_type: String,
    /// Where it stands.
    pub(crate) status: String,
    /// Attempts that were started.
    #[serde(default)]
    pub(crate) attempts: u32,
    /// When it began.
    #[serde(default)]
    pub(crate) started_at: Option<When>,
    /// When it ended.
    #[serde(default)]
    pub(crate) ended_at: Option<When>,
    /// Why it failed.
    #[serde(default)]
    pub(crate) error: Option<Failure>,
}

/// A review.
#[derive(Debug, Deserialize)]
pub(crate) struct Review {
    /// Its id.
    pub(crate) id: String,
    /// One line.
    pub(crate) title: String,
    /// `pending`, `approved`…
    pub(crate) status: String,
    /// The version that a decision must name.
    pub(crate) version: u32,
    /// The execution that waits.
    #[serde(default)]
    pub(crate) execution: String,
    /// The flow of it.
    #[serde(default)]
    pub(crate) flow: String,
    /// The node that waits.
    #[serde(default)]
    pub(crate) node: String,
    /// What is to be approved.
    #[serde(default)]
    pub(crate) content: Value,
    /// What helps to decide.
    #[serde(default)]
    pub(crate) context: Value,
    /// When it was opened.
    pub(crate) opened_at: When,
    /// When the default action is taken.
    #[serde(default)]
    pub(crate) expires_at: Option<When>,
    /// The decision, once there is one.
    #[serde(default)]
    pub(crate) decision: Option<Decision>,
}

/// A decision.
#[derive(Debug, Deserialize)]
pub(crate) struct Decision {
    /// Who decided.
    #[serde(default)]
    pub(crate) decided_by: String,
    /// A remark.
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// A length of time in a trace.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Span {
    /// Unique within the trace.
    pub(crate) id: String,
    /// The span it is part of.
    #[serde(default)]
    pub(crate) parent: Option<String>,
    /// One line for people.
    pub(crate) name: String,
    /// When it began.
    pub(crate) start: When,
    /// How long it took, in microseconds; absent while it goes on.
    #[serde(default)]
    pub(crate) duration_us: Option<u64>,
    /// `open`, `ok`, `error` or `cancelled`.
    pub(crate) status: String,
    /// Attempts that were started, where it is a node.
    #[serde(default)]
    pub(crate) attempts: Option<u32>,
    /// The error, in one line.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// A trace.
#[derive(Debug, Deserialize)]
pub(crate) struct Trace {
    /// The spans: each execution, its nodes, their calls.
    pub(crate) spans: Vec<Span>,
    /// What stands out.
    #[serde(default)]
    pub(crate) findings: Vec<Finding>,
}

/// Something that stands out in a trace.
#[derive(Debug, Deserialize)]
pub(crate) struct Finding {
    /// What was found, and what helps.
    pub(crate) message: String,
}

/// A line of an execution's log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogLine {
    /// When.
    pub(crate) at: When,
    /// `debug`, `info`, `warn` or `error`.
    pub(crate) level: String,
    /// The node it is about.
    #[serde(default)]
    pub(crate) node: Option<String>,
    /// The line.
    pub(crate) message: String,
}
