//! `flux trace`: what happened, step by step, on a time axis.

use clap::Args;
use flux_model::ids::ExecutionId;

use super::{Ended, Remote};
use crate::client::answers::{Execution, Trace as Answer};
use crate::client::{encode, parse};
use crate::error::{CommandError, Exit};
use crate::output::style::{self, paint};
use crate::output::{Format, moment, waterfall};

/// Show what happened, step by step
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux trace exec_01k2m3n4p5q6r7s8t9v0w1x2y3\n  flux trace req_019aa0c8f3d2a4b1c9e8 --json"
)]
pub(crate) struct Trace {
    /// An execution id, or a request id (the header x-request-id)
    id: String,
}

impl Trace {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        let request_id = self.request_id(remote).await?;
        let answer = remote.client.get(&format!("/traces/{}", encode(&request_id))).await?;
        if remote.out.format() == Format::Json {
            remote.out.json(&answer);
            return Ok(Exit::Success);
        }
        let trace: Answer = parse(answer)?;
        remote.out.line(format!("{} {request_id}", paint(style::DIM, "trace")));
        let now = moment::now().millis().saturating_mul(1_000);
        for line in waterfall::lines(&trace.spans, remote.out.columns(), now) {
            remote.out.line(line);
        }
        for finding in trace.findings {
            remote.out.line(format!("{} {}", paint(style::WARNING, "!"), finding.message));
        }
        Ok(Exit::Success)
    }

    /// The trace that is meant: a trace holds all executions of a request.
    async fn request_id(&self, remote: &mut Remote) -> Result<String, CommandError> {
        if self.id.parse::<ExecutionId>().is_err() {
            return Ok(self.id.clone());
        }
        let execution: Execution = remote.client.get_as(&format!("/executions/{}", encode(&self.id))).await?;
        Ok(execution.request_id)
    }
}
