//! `flux dev`: the options of the development server.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Ended, serve};
use crate::config::Config;
use crate::error::CommandError;
use crate::output::Out;
use crate::project;
use crate::server::dev::{self, DevSetup};

/// Run the project in this folder: every role in one process, flows published as they are saved
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux dev\n  flux dev --gateway 127.0.0.1:0 --console 127.0.0.1:0 --json"
)]
pub(crate) struct Dev {
    /// Where webhooks are served; loopback only, port 0 picks a free one [default: 127.0.0.1:4000]
    #[arg(long, value_name = "ADDR")]
    gateway: Option<SocketAddr>,
    /// Where the console API is served; loopback only, port 0 picks a free one [default: 127.0.0.1:4001]
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
    /// The data folder [default: .flux in the project]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Dev {
    pub(crate) fn run(self, out: Out) -> Ended {
        let project = project::current()?;
        let mut config = Config::of_project(&project)?;
        config.gateway.address = loopback("gateway", self.gateway.unwrap_or(config.gateway.address))?;
        config.console.address = loopback("console", self.console.unwrap_or(config.console.address))?;
        config.storage.data = self.data.unwrap_or(config.storage.data);
        let runtime =
            serve::runtime(config.process.threads).context("the async runtime cannot be started")?;
        runtime.block_on(dev::run(DevSetup { project, config }, out))
    }
}

fn loopback(option: &str, address: SocketAddr) -> Result<SocketAddr, CommandError> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let message = format!("--{option} {address}: flux dev listens on loopback addresses only");
    Err(CommandError::usage(message).hint("use 127.0.0.1, or run `flux serve`"))
}
