//! Running the functions of a project for the executions that call them.
//!
//! The runtime (`flux-functions`) owns processes and protocol; this module is the other side: it
//! answers what a function asks for ([`boundary`]), records every answer, and says in the words of
//! the journal why a function failed ([`outcome`]).

mod boundary;
mod database;
mod fetch;
mod messages;
mod outcome;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use flux_data::Database;
use flux_egress::SecretSource;
use flux_functions::{DeployError, Deployment, Invocation, Runtime};
use flux_model::error::Failure;
use flux_model::{ErrorCode, Value};
use flux_nodes::{Code, FunctionCall, FunctionOutput, Functions, Recorder};
use futures::future::{BoxFuture, FutureExt};
use tokio::sync::Mutex;

use self::boundary::Boundary;
use crate::shared::{Facts, Shared};

/// Replaced versions whose processes are kept.
const EARLIER_VERSIONS_MAX: usize = 4;

/// What functions need beside the engine.
pub struct FunctionParts {
    /// The processes.
    pub runtime: Arc<Runtime>,
    /// The plaintext of secrets, for `ctx.secrets`.
    pub secrets: Arc<dyn SecretSource>,
    /// The project's database, if it has one.
    pub database: Option<Database>,
    /// What `ctx.env` shows.
    pub env: Arc<BTreeMap<String, String>>,
    /// Versions that executions are pinned to and that are not active any more.
    pub earlier: EarlierVersions,
}

/// Versions of functions that were replaced but are still called, the last used last.
#[derive(Default)]
pub struct EarlierVersions {
    kept: Mutex<VecDeque<Arc<Deployment>>>,
}

/// Runs functions for one execution.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) parts: Arc<FunctionParts>,
}

impl Functions for Runner {
    fn run<'a>(
        &'a self,
        call: FunctionCall<'a>,
        record: Arc<Recorder>,
    ) -> BoxFuture<'a, Result<FunctionOutput, Failure>> {
        async move {
            let (name, deployment) = self.find(&call.code).await?;
            let mut invocation = self.invocation(&name, &call.input, &call.headers, &call.user);
            invocation.deadline = Instant::now().checked_add(call.task.timeout);
            let boundary =
                Boundary::new(self, Arc::clone(&deployment), call.task, call.user, Arc::clone(&record));
            let invoked = deployment.invoke(invocation, Arc::new(boundary)).await;
            match invoked {
                Ok(invoked) => outcome::output(&name, invoked.output).await,
                Err(error) => Err(outcome::failure(error, &record)),
            }
        }
        .boxed()
    }
}

impl Runner {
    async fn find(&self, code: &Code) -> Result<(String, Arc<Deployment>), Failure> {
        let project = self.facts.tenant.project;
        let missing = |message: String| Failure::permanent(ErrorCode::FunctionNotFound, message);
        let Code::Function { name, bundle } = code else {
            let message = "`code.run` needs code that was bundled with its flow; publish the flow again";
            return Err(missing(message.to_owned()));
        };
        let active = self.parts.runtime.active(project);
        let found = match (bundle, active) {
            (None, Some(active)) => active,
            (None, None) => return Err(missing("the project has no deployed functions".to_owned())),
            (Some(bundle), Some(active)) if active.id().to_string() == *bundle => active,
            (Some(bundle), _) => {
                self.parts.earlier.get(&self.parts.runtime, bundle).await.map_err(|error| {
                    missing(format!("version {bundle} of the project's functions cannot be loaded: {error}"))
                })?
            }
        };
        Ok((name.clone(), found))
    }

    fn invocation(&self, name: &str, input: &Value, headers: &Value, user: &Value) -> Invocation {
        let mut invocation = Invocation::new(name, input.to_json());
        invocation.request_id = Arc::from(self.facts.request_id.as_str());
        invocation.headers = pairs(headers);
        invocation.user = user.clone();
        invocation.env = Arc::clone(&self.parts.env);
        invocation
    }
}

impl EarlierVersions {
    /// A version by its bundle: loaded again if nobody called it lately. One at a time, so that many
    /// calls load it once.
    async fn get(&self, runtime: &Runtime, bundle: &str) -> Result<Arc<Deployment>, DeployError> {
        let mut kept = self.kept.lock().await;
        let known = kept.iter().position(|version| version.id().to_string() == bundle);
        let version = match known.and_then(|place| kept.remove(place)) {
            Some(version) => version,
            None => runtime.prepare(runtime.open_bundle(bundle)?).await?,
        };
        if kept.len() >= EARLIER_VERSIONS_MAX {
            drop(kept.pop_front());
        }
        kept.push_back(Arc::clone(&version));
        Ok(version)
    }
}

fn pairs(headers: &Value) -> Vec<(String, String)> {
    let members = headers.as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned()))).collect()
}
