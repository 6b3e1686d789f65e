//! `flux signal`: delivers a signal to an execution that waits, or will wait, for it.

use clap::Args;
use serde_json::json;

use super::{Ended, Remote, input};
use crate::client::encode;
use crate::error::Exit;
use crate::output::Format;

/// Deliver a signal to an execution
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  flux signal exec_01k2m3n4p5q6r7s8t9v0w1x2y3 paid --payload '{\"amount\": 12}' --id payment-77"
)]
pub(crate) struct Signal {
    /// The execution
    execution: String,
    /// The signal's name
    name: String,
    /// What it carries: JSON, `@file`, or `-` for standard input
    #[arg(long, short, default_value = "null", value_name = "JSON")]
    payload: String,
    /// Two signals with the same id are one
    #[arg(long)]
    id: Option<String>,
}

impl Signal {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        let mut body = json!({"name": self.name, "payload": input::json("--payload", &self.payload)?});
        if let Some(id) = self.id {
            body["id"] = id.into();
        }
        let answer =
            remote.client.post(&format!("/executions/{}/signal", encode(&self.execution)), &body).await?;
        match remote.out.format() {
            Format::Json => remote.out.json(&answer),
            Format::Text => remote.out.line(format!("{} was delivered to {}", self.name, self.execution)),
        }
        Ok(Exit::Success)
    }
}
