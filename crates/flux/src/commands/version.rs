//! `flux version`: what this binary is and which formats it speaks.

use clap::Args;
use serde_json::json;

use super::Ended;
use crate::error::Exit;
use crate::output::{Format, Out};

/// Show the version and the formats this binary reads and writes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux version --json")]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self, mut out: Out) -> Ended {
        let version = env!("CARGO_PKG_VERSION");
        let flow_format = flux_model::flow::FLOW_FORMAT;
        let journal_format = flux_model::journal::JOURNAL_FORMAT;
        match out.format() {
            Format::Json => out.json(&json!({
                "version": version,
                "flow_format": flow_format,
                "journal_format": journal_format,
                "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            })),
            Format::Text => {
                out.line(format!("flux {version}"));
                out.line(format!("flow format {flow_format}, journal format {journal_format}"));
            }
        }
        Ok(Exit::Success)
    }
}
