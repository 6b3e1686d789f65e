//! `flux dev`: every role in one process for the project at hand, its flows published as they are
//! saved.
//!
//! It listens on loopback only, lets flows call loopback, makes its own keys, and sets no limit that
//! the project does not ask for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use flux_egress::Policy;
use flux_egress::vault::ServerKeys;
use flux_functions::FUNCTIONS_FOLDER;
use flux_http::Detail;
use flux_model::ErrorCode;
use serde_json::json;
use zeroize::Zeroizing;

use self::functions::DevFunctions;
use super::functions::FunctionsSetup;
use super::setup::{keys_of, rules};
use super::signals::StopSignals;
use super::{Server, Setup, access};
use crate::client::{Client, DEV_FILE, DevServer, Target};
use crate::config::{Config, LogFormat};
use crate::error::{CommandError, Exit};
use crate::file::{Secrecy, write_new};
use crate::log;
use crate::output::{Format, Out};
use crate::project::Project;
use crate::project::publish::{Change, ChangeOutcome, Publisher};

mod banner;
mod functions;

/// Where the server key is, within the data folder.
pub(crate) const SERVER_KEY_FILE: &str = "server.key";
/// How often the flow files are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(100);

/// A development server to be.
pub(crate) struct DevSetup {
    /// The project.
    pub(crate) project: Project,
    /// The configuration: addresses, data folder, log.
    pub(crate) config: Config,
}

/// Runs until it is asked to stop.
pub(crate) async fn run(mut dev: DevSetup, mut out: Out) -> Result<Exit, CommandError> {
    if out.format() == Format::Json {
        dev.config.log.format = LogFormat::Json;
    }
    let gate = log::start(&dev.config.log)?;
    let signals = StopSignals::take()?;
    let mut server = Server::start(setup(&dev)?).await?;
    server.serve().await?;
    let (mut publisher, running) = introduce(&dev, &server).await?;
    let mut functions = server.runtime.clone().map(|runtime| DevFunctions::new(&dev.project.root, runtime));
    let mut changes = publisher.first().await?;
    changes.extend(redeploy(functions.as_mut(), &mut publisher).await);
    remember(&dev.project.root, &running, &publisher)?;
    match out.format() {
        Format::Json => {
            out.line(
                json!({
                    "ready": true,
                    "gateway": plain(&running.gateway),
                    "console": plain(&running.console),
                    "key": running.key,
                    "project": dev.config.access.project,
                })
                .to_string(),
            );
            gate.open();
            changes.iter().for_each(banner::log_change);
        }
        Format::Text => banner::show(&dev, &running, &changes, &mut out),
    }
    let watching = watch(&dev, &running, (&mut publisher, functions.as_mut()), &mut out);
    tokio::select! {
        () = signals.first() => {}
        () = watching => {}
    }
    out.note("stopping; what runs goes on at the next start");
    server.stop().await;
    Ok(Exit::Success)
}

fn setup(dev: &DevSetup) -> Result<Setup, CommandError> {
    let keys = server_key(&dev.config.storage.data)?;
    let mut policy = Policy::with_loopback();
    policy.allowed.extend(rules("flux.json: egress.allow", &dev.project.file.egress.allow)?);
    let functions = FunctionsSetup::find(&dev.config, &dev.project.root, dev.project.file.database.as_ref())?;
    Ok(Setup { functions, detail: Detail::Shown, ..Setup::of(&dev.config, keys, policy)? })
}

/// The server key of the data folder; made at the first start.
fn server_key(data: &Path) -> Result<ServerKeys, CommandError> {
    let path = data.join(SERVER_KEY_FILE);
    if !path.exists() {
        let key = ServerKeys::generate().context("no server key can be made")?;
        write_new(&path, &key, Secrecy::OwnerOnly)?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    keys_of(&Zeroizing::new(text), std::iter::empty())
}

/// The key, the addresses and the publisher that uses them.
async fn introduce(dev: &DevSetup, server: &Server) -> Result<(Publisher, DevServer), CommandError> {
    let earlier = DevServer::read(&dev.project.root);
    let key = match &earlier {
        Some(earlier) if access::is_usable_key(&server.engine, &earlier.key).await? => earlier.key.clone(),
        Some(_) | None => access::issue_admin_key(&server.engine, "flux dev").await?,
    };
    let url = |text: Option<String>| {
        let text = text.context("flux dev serves both listeners")?;
        text.parse::<url::Url>().context("a listener's address is a URL")
    };
    let running = DevServer {
        gateway: url(server.gateway_url())?,
        console: url(server.console_url())?,
        key,
        pid: std::process::id(),
        flows: Vec::new(),
    };
    let target = Target {
        server: running.console.clone(),
        key: Some(Zeroizing::new(running.key.clone())),
        way_out: "this is a fault inside Flux",
    };
    let earlier = earlier.map(|earlier| earlier.flows).unwrap_or_default();
    Ok((Publisher::new(dev.project.clone(), Client::new(target)?, earlier), running))
}

/// Says in the project's folder how this server is reached.
fn remember(root: &Path, running: &DevServer, publisher: &Publisher) -> anyhow::Result<()> {
    let running = DevServer { flows: publisher.names(), ..running.clone() };
    let path = root.join(DEV_FILE);
    let fresh: PathBuf = path.with_extension(format!("json.{}", running.pid));
    // Written aside and renamed: a command never reads half a file.
    if fresh.exists() {
        std::fs::remove_file(&fresh).with_context(|| format!("cannot replace {}", fresh.display()))?;
    }
    write_new(
        &fresh,
        &serde_json::to_string_pretty(&running).context("addresses are JSON")?,
        Secrecy::OwnerOnly,
    )?;
    std::fs::rename(&fresh, &path).with_context(|| format!("cannot write {}", path.display()))
}

/// Publishes the functions as they are now, if a file of theirs changed.
async fn redeploy(functions: Option<&mut DevFunctions>, publisher: &mut Publisher) -> Vec<Change> {
    let next = match functions {
        Some(functions) => functions.next().await,
        None => None,
    };
    match next {
        None => Vec::new(),
        Some(Ok(flows)) => publisher.functions(flows).await,
        Some(Err(error)) => vec![Change {
            file: FUNCTIONS_FOLDER.to_owned(),
            outcome: ChangeOutcome::Failed(CommandError::local(ErrorCode::FunctionFailed, error.to_string())),
        }],
    }
}

/// Publishes what is saved, until the process ends.
async fn watch(
    dev: &DevSetup,
    running: &DevServer,
    (publisher, mut functions): (&mut Publisher, Option<&mut DevFunctions>),
    out: &mut Out,
) {
    loop {
        tokio::time::sleep(WATCH_PAUSE).await;
        let mut changes = match publisher.next().await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(?error, "the flow files cannot be read");
                continue;
            }
        };
        changes.extend(redeploy(functions.as_deref_mut(), publisher).await);
        if changes.is_empty() {
            continue;
        }
        if let Err(error) = remember(&dev.project.root, running, publisher) {
            tracing::warn!(%error, "the list of published flows was not written");
        }
        tell(&changes, running, out);
    }
}

fn tell(changes: &[Change], running: &DevServer, out: &mut Out) {
    match out.format() {
        Format::Json => changes.iter().for_each(banner::log_change),
        Format::Text => changes.iter().for_each(|change| banner::show_change(change, running, out)),
    }
}

/// A URL without the slash at its end, as people write it.
fn plain(url: &url::Url) -> &str {
    url.as_str().trim_end_matches('/')
}
