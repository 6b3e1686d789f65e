//! `flux openapi`: the description of the console API, without a server.

use anyhow::Context;
use clap::Args;

use super::Ended;
use crate::error::Exit;
use crate::output::Out;

/// Print the OpenAPI document of the console API
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux openapi > openapi.json")]
pub(crate) struct Openapi {}

impl Openapi {
    /// Always the same text, indented: it is committed and compared.
    pub(crate) fn run(self, mut out: Out) -> Ended {
        let text = serde_json::to_string_pretty(&flux_http::openapi()).context("the document is not JSON")?;
        out.line(text);
        Ok(Exit::Success)
    }
}
