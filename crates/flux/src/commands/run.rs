//! `flux run`: starts a flow and, if wished, waits for its end.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{Ended, Remote, follow, input};
use crate::client::{encode, parse};
use crate::error::Exit;
use crate::output::Format;

/// How long the server is asked to wait before this side looks by itself, in milliseconds.
const WAIT_MS: u64 = 2_000;

/// Start a flow
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux run hello --input '{\"name\": \"Ada\"}' --wait\n  flux run import --input @orders.json --idempotency-key 2026-11-21\n  generate | flux run import --input - --wait --json"
)]
pub(crate) struct Run {
    /// The flow's name
    flow: String,
    /// The trigger's output: JSON, `@file`, or `-` for standard input
    #[arg(long, short, default_value = "{}", value_name = "JSON")]
    input: String,
    /// Wait until it is over; exit with 1 if it does not succeed
    #[arg(long, short)]
    wait: bool,
    /// A second start with the same key gives the first execution
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
struct Started {
    id: String,
}

impl Run {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        let mut body = json!({"input": input::json("--input", &self.input)?});
        if let Some(key) = self.idempotency_key {
            body["idempotency_key"] = key.into();
        }
        if self.wait {
            body["wait_ms"] = WAIT_MS.into();
        }
        let answer = remote.client.post(&format!("/flows/{}/executions", encode(&self.flow)), &body).await?;
        let started: Started = parse(answer.clone())?;
        if self.wait {
            return follow::to_the_end(remote, &started.id).await;
        }
        match remote.out.format() {
            Format::Json => remote.out.json(&answer),
            Format::Text => {
                remote.out.line(&started.id);
                remote
                    .out
                    .note(format!("follow it with `flux executions {0}` or `flux trace {0}`", started.id));
            }
        }
        Ok(Exit::Success)
    }
}
