//! `flux serve`: a server with the configuration of its operator.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use flux_egress::Policy;
use serde_json::json;

use super::Ended;
use crate::config::{self, CONFIG_FILE, Config, Role};
use crate::error::{CommandError, Exit};
use crate::log;
use crate::output::{Format, Out};
use crate::server::setup::server_keys;
use crate::server::signals::StopSignals;
use crate::server::{Server, Setup, access};

/// Queries run on blocking threads; more than the store's readers plus file access only cost memory.
const BLOCKING_THREADS_MAX: usize = 32;

/// Run a server; refuses to start without configured keys
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux init --server-config && flux serve\n  flux serve --config /etc/flux/flux-server.toml --roles gateway,engine,scheduler"
)]
pub(crate) struct Serve {
    /// The configuration [default: flux-server.toml in this folder, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which roles this process plays
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES")]
    roles: Vec<Role>,
    /// Where webhooks are served
    #[arg(long, value_name = "ADDR")]
    gateway: Option<SocketAddr>,
    /// Where the console API is served
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
    /// The data folder
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(self, out: Out) -> Ended {
        let config = self.configuration(out.format())?;
        let runtime = runtime(config.process.threads).context("the async runtime cannot be started")?;
        runtime.block_on(serve(config, out))
    }

    fn configuration(self, format: Format) -> Result<Config, CommandError> {
        let mut config = Config::find(self.config.as_deref())?;
        if !self.roles.is_empty() {
            config.process.roles = self.roles;
        }
        config.gateway.address = self.gateway.unwrap_or(config.gateway.address);
        config.console.address = self.console.unwrap_or(config.console.address);
        config.storage.data = self.data.unwrap_or(config.storage.data);
        if format == Format::Json {
            config.log.format = config::LogFormat::Json;
        }
        Ok(config)
    }
}

/// The runtime of a server: `threads` that run executions and requests, one per processor if 0.
pub(super) fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.max_blocking_threads(BLOCKING_THREADS_MAX).thread_name("flux").enable_all().build()
}

async fn serve(config: Config, mut out: Out) -> Ended {
    let gate = log::start(&config.log)?;
    let signals = StopSignals::take()?;
    let setup = Setup::of(&config, server_keys(&config.secrets)?, Policy::default())?;
    let mut server = Server::start(setup).await?;
    if let Err(error) = admit_operator(&config, &server).await {
        server.stop().await;
        return Err(error);
    }
    server.serve().await?;
    let (gateway, console) = (server.gateway_url(), server.console_url());
    if out.format() == Format::Json {
        out.line(json!({"ready": true, "gateway": gateway, "console": console}).to_string());
    }
    gate.open();
    let data = config.storage.data.display().to_string();
    tracing::info!(gateway, console, data, "ready");
    signals.first().await;
    tracing::info!(grace_ms = config.process.shutdown_grace_ms, "stopping");
    server.stop().await;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

/// Somebody must be able to use the console API.
async fn admit_operator(config: &Config, server: &Server) -> Result<(), CommandError> {
    if let Some(key) = &config.access.bootstrap_key {
        check_form(key.reveal())?;
        access::ensure_admin_key(&server.engine, "bootstrap", key.reveal()).await?;
        if access::is_usable_key(&server.engine, key.reveal()).await? {
            return Ok(());
        }
        let message = "[access] bootstrap_key was revoked";
        return Err(config::invalid(message).hint("remove it, or configure a fresh one"));
    }
    if access::has_admin_key(&server.engine).await? {
        return Ok(());
    }
    let message = "nobody could use this server: the store has no key with all rights, and no bootstrap key is configured";
    let hint = format!(
        "write a {CONFIG_FILE} with fresh keys with `flux init --server-config`, or set FLUX_ACCESS_BOOTSTRAP_KEY to the key in it"
    );
    Err(config::invalid(message).hint(hint))
}

/// A key that was cut off or made up would be stored and never work.
fn check_form(key: &str) -> Result<(), CommandError> {
    if flux_http::is_well_formed(key) {
        return Ok(());
    }
    let message = "[access] bootstrap_key is not a key of Flux: it was cut off, mistyped or made up";
    Err(config::invalid(message).hint("`flux init --server-config` writes a configuration with a fresh one"))
}
