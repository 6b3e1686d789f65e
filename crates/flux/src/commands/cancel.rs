//! `flux cancel`: asks an execution to stop.

use clap::Args;
use serde_json::json;

use super::{Ended, Remote};
use crate::client::encode;
use crate::error::Exit;
use crate::output::Format;

/// Ask an execution to stop
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux cancel exec_01k2m3n4p5q6r7s8t9v0w1x2y3 --reason 'wrong customer'")]
pub(crate) struct Cancel {
    /// The execution
    execution: String,
    /// Why; kept in its journal
    #[arg(long)]
    reason: Option<String>,
}

impl Cancel {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        let mut body = json!({});
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        let answer =
            remote.client.post(&format!("/executions/{}/cancel", encode(&self.execution)), &body).await?;
        match remote.out.format() {
            Format::Json => remote.out.json(&answer),
            Format::Text => remote.out.line(format!("{} was asked to stop", self.execution)),
        }
        Ok(Exit::Success)
    }
}
