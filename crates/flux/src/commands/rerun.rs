//! `flux rerun`: runs an execution that is over again, as a new one.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::{Ended, Remote, follow};
use crate::client::{encode, parse};
use crate::error::Exit;
use crate::output::Format;

/// Which version of the flow runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RerunVersion {
    /// The one that the earlier execution ran
    Same,
    /// The one that is active now
    Active,
}

/// Run an execution that is over again, as a new one
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux rerun exec_01k2m3n4p5q6r7s8t9v0w1x2y3\n  flux rerun exec_01k2m3n4p5q6r7s8t9v0w1x2y3 --from notify --version active --wait"
)]
pub(crate) struct Rerun {
    /// The execution
    execution: String,
    /// The node to start from, with the recorded outputs of those before it
    #[arg(long, value_name = "NODE")]
    from: Option<String>,
    /// Which version of the flow runs
    #[arg(long, value_enum, default_value = "same")]
    version: RerunVersion,
    /// Wait until it is over; exit with 1 if it does not succeed
    #[arg(long, short)]
    wait: bool,
}

#[derive(Deserialize)]
struct Started {
    id: String,
}

impl Rerun {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        let version = match self.version {
            RerunVersion::Same => "same",
            RerunVersion::Active => "active",
        };
        let mut body = json!({"version": version});
        if let Some(node) = self.from {
            body["from_node"] = node.into();
        }
        let answer =
            remote.client.post(&format!("/executions/{}/rerun", encode(&self.execution)), &body).await?;
        let started: Started = parse(answer.clone())?;
        if self.wait {
            return follow::to_the_end(remote, &started.id).await;
        }
        match remote.out.format() {
            Format::Json => remote.out.json(&answer),
            Format::Text => remote.out.line(&started.id),
        }
        Ok(Exit::Success)
    }
}
