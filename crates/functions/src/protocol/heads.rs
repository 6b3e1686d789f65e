//! The heads of frames: the JSON in them, as `runtime/messages.ts` has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{CallSite, Thrown};
use crate::host::LogLevel;

#[derive(Serialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
}

#[derive(Deserialize)]
pub(crate) struct Ready {
    pub(crate) protocol: u32,
}

#[derive(Serialize)]
pub(crate) struct Load<'a> {
    pub(crate) root: &'a str,
    pub(crate) functions: Vec<LoadFunction<'a>>,
    pub(crate) node: bool,
    pub(crate) seed: String,
}

#[derive(Serialize)]
pub(crate) struct LoadFunction<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) functions: Vec<LoadedFunction>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LoadedFunction {
    pub(crate) name: String,
    pub(crate) input: Option<Json>,
    pub(crate) output: Option<Json>,
    pub(crate) error: Option<Thrown>,
}

#[derive(Serialize)]
pub(crate) struct Invoke<'a> {
    pub(crate) function: &'a str,
    pub(crate) request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) headers: &'a [(String, String)],
    #[serde(skip_serializing_if = "flux_model::Value::is_null")]
    pub(crate) user: &'a flux_model::Value,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) seed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clock: Option<&'a [i64]>,
}

#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<AnswerError<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<AnswerResponse<'a>>,
}

#[derive(Serialize)]
pub(crate) struct AnswerError<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
}

#[derive(Serialize)]
pub(crate) struct AnswerResponse<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) url: &'a str,
    pub(crate) redirected: bool,
    pub(crate) stream: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Credit {
    pub(crate) bytes: usize,
}

/// The end of a body that was not all there.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct BrokenEnd {
    pub(crate) error: Option<String>,
}

/// A place as the worker sends it: file, line, column.
#[derive(Debug, Deserialize)]
pub(crate) struct Site(String, u32, u32);

impl From<Site> for CallSite {
    fn from(Site(file, line, column): Site) -> Self {
        Self { file, line, column }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    pub(crate) invocation: u32,
    pub(crate) index: u32,
    pub(crate) at_us: u64,
    pub(crate) site: Option<Site>,
    pub(crate) span: Option<u32>,
    #[serde(flatten)]
    pub(crate) op: Op,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Op {
    Fetch {
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        #[serde(default)]
        redirect: String,
        stream: bool,
    },
    DbQuery {
        transaction: Option<u32>,
    },
    DbBegin {
        transaction: u32,
    },
    DbCommit {
        transaction: u32,
    },
    DbRollback {
        transaction: u32,
    },
    QueueSend {
        function: String,
        delay_ms: Option<f64>,
        idempotency_key: Option<String>,
        ordering_key: Option<String>,
        transaction: Option<u32>,
    },
    FunctionCall {
        name: String,
    },
    FlowStart {
        name: String,
        wait: bool,
        idempotency_key: Option<String>,
    },
    SecretGet {
        name: String,
    },
    SpanStart {
        opened: u32,
        name: String,
    },
    SpanEnd {
        opened: u32,
        error: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) struct Log {
    pub(crate) level: LogLevel,
    pub(crate) message: String,
    pub(crate) at_us: u64,
    pub(crate) site: Option<Site>,
}

/// The head of `Result`, and of the `End` of a streamed output, which has no response.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Run {
    pub(crate) cpu_us: u64,
    #[serde(default)]
    pub(crate) clock: Vec<i64>,
    #[serde(default)]
    pub(crate) clock_dropped: u64,
    #[serde(default)]
    pub(crate) logs_dropped: u64,
    pub(crate) response: Option<ResultResponse>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ResultResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Failure {
    Thrown { thrown: Thrown },
    Exit { code: i64 },
    Unserialisable { reason: String },
    Input { reason: String },
    UnknownFunction,
    Aborted { pending: Vec<String> },
}
