//! `flux flow export`: flows of the server as a flow file or, all of them, as a bundle. What it
//! prints is what `flux flow import` reads.

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::{Ended, Remote};
use crate::client::{Query, encode};
use crate::error::{CommandError, Exit};
use crate::output::{Format, Progress, readable};
use crate::project::bundle::Bundle;
use crate::project::publish::list;

/// The version that runs.
const ACTIVE: &str = "active";

/// Print a flow of the server as a flow file, or all as a bundle
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux flow export orders > flows/orders.json\n  flux flow export orders --version 3\n  flux flow export --all > flows.json"
)]
pub(super) struct Export {
    /// The flow's name
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// `active`, `draft`, a number or a hash
    #[arg(long, default_value = ACTIVE)]
    version: String,
    /// Every flow that is switched on, in one bundle for `flux flow import`
    #[arg(long, conflicts_with_all = ["name", "version"])]
    all: bool,
}

impl Export {
    pub(super) async fn run(self, remote: &mut Remote) -> Ended {
        let exported = match &self.name {
            Some(name) => definition(remote, name, &self.version).await?,
            None => every_active(remote).await?,
        };
        match remote.out.format() {
            Format::Json => remote.out.json(&exported),
            Format::Text => remote.out.line(readable(&exported)),
        }
        Ok(Exit::Success)
    }
}

/// The flow file of a version.
async fn definition(remote: &Remote, name: &str, version: &str) -> Result<Value, CommandError> {
    let query = Query::default().with("version", Some(version));
    let mut answer = remote.client.get(&query.on(&format!("/flows/{}", encode(name)))).await?;
    Ok(answer["definition"].take())
}

/// Importing makes active, so only what is active is exported; the rest is named.
async fn every_active(remote: &mut Remote) -> Result<Value, CommandError> {
    let mut listed = list(&remote.client).await?;
    listed.sort_by(|left, right| left.name.cmp(&right.name));
    let (active, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|flow| flow.state == ACTIVE);
    let progress = Progress::start(&remote.out, "exporting");
    let mut flows = Vec::with_capacity(active.len());
    for flow in active {
        progress.say(format!("exporting {}", flow.name));
        flows.push(definition(remote, &flow.name, ACTIVE).await?);
    }
    drop(progress);
    for flow in others {
        remote.out.note(format!("{} is left out: it is {}", flow.name, flow.state));
    }
    serde_json::to_value(Bundle::of(flows)).context("flows are JSON").map_err(CommandError::from)
}
