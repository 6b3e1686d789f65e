//! The wiring: store, objects, vault, egress, engine and listeners become one running server.
//!
//! `flux dev` and `flux serve` differ in the [`Setup`] they hand in and in nothing else. Parts are
//! started in the order in which they need each other, and stopped the other way round.

pub(crate) mod access;
pub(crate) mod dev;
mod files;
pub(crate) mod functions;
mod reopen;
pub(crate) mod setup;
pub(crate) mod signals;
mod vault;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flux_egress::vault::ServerKeys;
use flux_egress::{Egress, Limits, Policy};
use flux_engine::{Engine, EngineParts, EngineSettings, SystemClock, SystemRandom};
use flux_functions::Runtime;
use flux_http::{
    App, AppParts, BodyLimits, ConnectionLimits, Detail, FunctionSettings, HttpLimits, Network, Projects,
};
use flux_nodes::Registry;
use flux_objects::Objects;
use flux_store_sqlite::{Options, SqliteStore};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::CommandError;
use files::ObjectFiles;
use functions::FunctionsSetup;
use vault::StoreVault;

/// Where large values are, within the data folder.
pub(crate) const OBJECTS_FOLDER: &str = "objects";

/// What a server is made of.
pub(crate) struct Setup {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// How the store is opened.
    pub(crate) store: Options,
    /// After a failed write, the pause between two attempts to open the store again.
    pub(crate) reopen_pause: Duration,
    /// The name of the default project.
    pub(crate) project: String,
    /// The public listener, if there is one.
    pub(crate) gateway: Option<Listener>,
    /// The listener of the console API, if there is one.
    pub(crate) console: Option<Listener>,
    /// How people reach the console; its address if absent.
    pub(crate) console_url: Option<String>,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// How much of a request body is read.
    pub(crate) body: BodyLimits,
    /// Which targets flows may reach.
    pub(crate) policy: Policy,
    /// The bounds of outbound calls.
    pub(crate) limits: Limits,
    /// The keys that seal secrets.
    pub(crate) server_keys: ServerKeys,
    /// How the engine behaves.
    pub(crate) engine: EngineSettings,
    /// What functions run with, if they run.
    pub(crate) functions: Option<FunctionsSetup>,
    /// What callers of functions are told of failures inside.
    pub(crate) detail: Detail,
    /// How long running steps get at the end.
    pub(crate) grace: Duration,
}

/// An address to listen on, and the bounds of its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    /// Where.
    pub(crate) address: SocketAddr,
    /// The bounds.
    pub(crate) limits: ConnectionLimits,
}

/// A server that runs: executions go on; nobody is served until [`Server::serve`].
pub(crate) struct Server {
    /// Runs executions.
    pub(crate) engine: Engine,
    /// The node types.
    pub(crate) registry: Arc<Registry>,
    /// Runs functions, if they run.
    pub(crate) runtime: Option<Arc<Runtime>>,
    gateway: Option<Bound>,
    console: Option<Bound>,
    vault: Arc<StoreVault>,
    setup: Remaining,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

/// What of the setup is needed once the engine runs.
struct Remaining {
    project: String,
    console_url: Option<String>,
    trusted_proxies: Vec<Network>,
    body: BodyLimits,
    egress: Egress,
    detail: Detail,
    grace: Duration,
}

/// A listener that is bound, but accepts nothing yet.
struct Bound {
    listener: Option<TcpListener>,
    address: SocketAddr,
    limits: ConnectionLimits,
}

impl Server {
    /// Opens the store, recovers and starts the engine.
    pub(crate) async fn start(setup: Setup) -> Result<Self, CommandError> {
        // First, so that a second process on the same folder hears of that and not of its ports.
        let store = open_store(&setup.data, &setup.store)?;
        let gateway = bind("gateway", setup.gateway).await?;
        let console = bind("console", setup.console).await?;
        let objects =
            Objects::local(&setup.data.join(OBJECTS_FOLDER)).context("the objects folder cannot be used")?;
        let vault = Arc::new(StoreVault::new(setup.server_keys));
        let mut policy = setup.policy;
        policy.own_listeners =
            [&gateway, &console].into_iter().flatten().map(|bound| bound.address).collect();
        let mut egress =
            flux_egress::Setup::new(policy, vault.clone(), Arc::new(ObjectFiles::new(objects.clone())));
        egress.limits = setup.limits;
        let egress = Egress::new(egress).context("outbound calls cannot be set up")?;
        let registry = Arc::new(Registry::standard());
        let (runtime, functions) = match setup.functions {
            Some(functions) => {
                functions.start(vault.clone()).await.map(|(runtime, parts)| (Some(runtime), Some(parts)))?
            }
            None => (None, None),
        };
        let parts = EngineParts {
            store: store.clone(),
            objects,
            registry: registry.clone(),
            egress: egress.clone(),
            functions,
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom),
            settings: setup.engine,
        };
        let engine = Engine::start(parts).await.context("the engine cannot be started")?;
        access::ensure_project(&engine, &setup.project).await?;
        vault.attach(engine.clone()).await?;
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let reopening = reopen::Reopening { store, options: setup.store, pause: setup.reopen_pause };
        tasks.spawn(reopening.run(engine.clone(), shutdown.clone()));
        let setup = Remaining {
            project: setup.project,
            console_url: setup.console_url,
            trusted_proxies: setup.trusted_proxies,
            body: setup.body,
            egress,
            detail: setup.detail,
            grace: setup.grace,
        };
        Ok(Self { engine, registry, runtime, gateway, console, vault, setup, shutdown, tasks })
    }

    /// The gateway's address as a URL.
    pub(crate) fn gateway_url(&self) -> Option<String> {
        self.gateway.as_ref().map(|bound| format!("http://{}", bound.address))
    }

    /// The console's address as a URL.
    pub(crate) fn console_url(&self) -> Option<String> {
        self.console.as_ref().map(|bound| format!("http://{}", bound.address))
    }

    /// Starts to accept connections.
    pub(crate) async fn serve(&mut self) -> Result<(), CommandError> {
        let console_url = self.setup.console_url.clone().or_else(|| self.console_url()).unwrap_or_default();
        let parts = AppParts {
            engine: self.engine.clone(),
            registry: self.registry.clone(),
            vault: self.vault.clone(),
            clock: Arc::new(SystemClock::default()),
            egress: self.setup.egress.clone(),
            issuers: HashMap::new(),
            functions: FunctionSettings { detail: self.setup.detail, ..FunctionSettings::default() },
            projects: Projects::only(access::TENANT).named(&self.setup.project, access::TENANT),
            trusted_proxies: std::mem::take(&mut self.setup.trusted_proxies),
            console_url,
            limits: HttpLimits { body: self.setup.body },
            shutdown: self.shutdown.clone(),
        };
        let app = App::start(parts).await.context("the listeners cannot be started")?;
        let listeners = [
            (self.gateway.as_mut(), flux_http::gateway_router(app.clone())),
            (self.console.as_mut(), flux_http::console_router(app)),
        ];
        for (bound, router) in listeners {
            let Some((listener, limits)) =
                bound.and_then(|bound| Some((bound.listener.take()?, bound.limits)))
            else {
                continue;
            };
            let shutdown = self.shutdown.clone();
            self.tasks.spawn(async move {
                if let Err(error) = flux_http::serve(listener, router, shutdown, limits).await {
                    tracing::error!(%error, "a listener ended");
                }
            });
        }
        Ok(())
    }

    /// Stops: no new connections, requests under way end, the engine reaches a commit.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let engine = self.engine.clone();
        let grace = self.setup.grace;
        // Together: a request that waits for an execution is answered by what the engine still does.
        let listeners = async { while self.tasks.join_next().await.is_some() {} };
        futures::join!(engine.shutdown(grace), listeners);
        if let Some(runtime) = &self.runtime {
            runtime.shutdown().await;
        }
    }
}

/// Opens the store in the data folder.
pub(crate) fn open_store(
    data: &std::path::Path,
    options: &Options,
) -> Result<Arc<SqliteStore>, CommandError> {
    match SqliteStore::open(data, options) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                message.push_str(&format!(": {error}"));
                source = error.source();
            }
            Err(CommandError::local(error.code(), message))
        }
    }
}

async fn bind(name: &str, listener: Option<Listener>) -> Result<Option<Bound>, CommandError> {
    let Some(Listener { address, limits }) = listener else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        CommandError::local(
            flux_model::ErrorCode::ConfigurationInvalid,
            format!("the {name} cannot listen on {address}: {error}"),
        )
        .hint(format!("choose another address with --{name}; port 0 picks a free one"))
    })?;
    let address = listener.local_addr().context("a bound listener has an address")?;
    Ok(Some(Bound { listener: Some(listener), address, limits }))
}
