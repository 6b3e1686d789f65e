//! What the endpoints work with. Built once by the binary, shared by both listeners.

use std::collections::HashMap;
use std::sync::Arc;

use flux_egress::{Egress, SecretSource};
use flux_engine::{Clock, Engine, EngineError};
use flux_model::Tenant;
use flux_nodes::Registry;
use flux_store::Reader;
use flux_triggers::function::RateLimit;
use tokio_util::sync::CancellationToken;

use crate::access::jwt::{Issuer, Issuers};
use crate::body::BodyLimits;
use crate::console::events::hub::Hub;
use crate::gateway::client::Network;
use crate::gateway::deployed::Deployments;
use crate::gateway::function::Calls;
use crate::gateway::project::Projects;
use crate::vault::Vault;

/// What an [`App`] is made of.
pub struct AppParts {
    /// Runs executions, and is the way to the store.
    pub engine: Engine,
    /// The node types.
    pub registry: Arc<Registry>,
    /// The secrets.
    pub vault: Arc<dyn Vault>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way out, for the keys of issuers.
    pub egress: Egress,
    /// The projects of the gateway.
    pub projects: Projects,
    /// The issuers of tokens that callers of a project's functions may come with.
    pub issuers: HashMap<Tenant, Vec<Issuer>>,
    /// How functions are answered for.
    pub functions: FunctionSettings,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Where the console is reached, such as `https://console.example.com`; answers of the gateway
    /// lead there. Without a slash at the end.
    pub console_url: String,
    /// The bounds of requests.
    pub limits: HttpLimits,
    /// Cancelled when the server stops: streams end, nothing is followed any more.
    pub shutdown: CancellationToken,
}

/// The bounds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HttpLimits {
    /// How much of a body is read.
    pub body: BodyLimits,
}

/// How functions are answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionSettings {
    /// How often a caller may call a function that says nothing of it; any number of times where
    /// absent.
    pub rate_limit: Option<RateLimit>,
    /// What callers are told of a failure inside.
    pub detail: Detail,
}

/// What callers are told of a failure inside a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// The code and the execution to look at.
    #[default]
    Hidden,
    /// The message and the place in the code as well: for a server that only its developer uses.
    Shown,
}

/// The state of both listeners.
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) registry: Arc<Registry>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) projects: Projects,
    pub(crate) issuers: Issuers,
    pub(crate) functions: FunctionSettings,
    pub(crate) calls: Calls,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) console_url: String,
    pub(crate) limits: HttpLimits,
    pub(crate) shutdown: CancellationToken,
    pub(crate) deployments: Deployments,
    pub(crate) hub: Hub,
}

/// The state as handlers hold it.
pub(crate) type Shared = Arc<App>;

/// Why the listeners cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The published flows cannot be read.
    #[error("the published flows cannot be read: {0}")]
    Flows(#[from] EngineError),
}

impl App {
    /// Reads which webhooks, forms and functions there are, and follows their changes until shutdown.
    ///
    /// # Errors
    /// [`StartError`] if the published flows cannot be read.
    pub async fn start(parts: AppParts) -> Result<Arc<Self>, StartError> {
        let app = Arc::new(Self {
            hub: Hub::new(parts.engine.clone(), parts.shutdown.clone()),
            issuers: Issuers::new(parts.issuers, &parts.egress, &parts.clock),
            engine: parts.engine,
            registry: parts.registry,
            vault: parts.vault,
            clock: parts.clock,
            projects: parts.projects,
            functions: parts.functions,
            calls: Calls::default(),
            trusted_proxies: parts.trusted_proxies,
            console_url: parts.console_url,
            limits: parts.limits,
            shutdown: parts.shutdown,
            deployments: Deployments::default(),
        });
        let changes = app.engine.flow_changes();
        app.deployments.begin().await.finish(&app).await?;
        tokio::spawn(crate::gateway::deployed::follow(Arc::clone(&app), changes));
        Ok(app)
    }

    /// For queries. Taken from the engine each time: it changes when the store is opened anew.
    pub(crate) fn reader(&self) -> Reader {
        self.engine.reader()
    }

    /// For the plaintext of secrets.
    pub(crate) fn secrets(&self) -> &dyn SecretSource {
        self.vault.as_ref()
    }
}
