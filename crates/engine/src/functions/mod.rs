//! Running the functions of a project for the executions that call them.
//!
//! The runtime (`flux-functions`) owns processes and protocol; this module is the other side: it
//! answers what a function asks for ([`boundary`]), records every answer, and says in the words of
//! the journal why a function failed ([`outcome`]).

mod boundary;
mod messages;
mod outcome;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use flux_egress::SecretSource;
use flux_functions::{Deployment, Invocation, Runtime};
use flux_model::error::Failure;
use flux_model::{ErrorCode, Value};
use flux_nodes::{Code, FunctionCall, FunctionOutput, Functions, Recorder};
use futures::future::{BoxFuture, FutureExt};

use self::boundary::Boundary;
use crate::shared::{Facts, Shared};

/// What functions need beside the engine.
pub struct FunctionParts {
    /// The processes.
    pub runtime: Arc<Runtime>,
    /// The plaintext of secrets, for `ctx.secrets`.
    pub secrets: Arc<dyn SecretSource>,
    /// What `ctx.env` shows.
    pub env: Arc<BTreeMap<String, String>>,
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
            let (name, deployment) = self.find(&call.code)?;
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
    fn find(&self, code: &Code) -> Result<(String, Arc<Deployment>), Failure> {
        let project = self.facts.tenant.project;
        let missing = |message: String| Failure::permanent(ErrorCode::FunctionNotFound, message);
        let Code::Function { name, bundle } = code else {
            let message = "`code.run` needs code that was bundled with its flow; publish the flow again";
            return Err(missing(message.to_owned()));
        };
        let active = self.parts.runtime.active(project);
        let found = match bundle {
            Some(bundle) => active.filter(|version| version.id().to_string() == *bundle),
            None => active,
        };
        let found = found.ok_or_else(|| match bundle {
            Some(bundle) => {
                missing(format!("version {bundle} of the project's functions is not on this server"))
            }
            None => missing("the project has no deployed functions".to_owned()),
        })?;
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

fn pairs(headers: &Value) -> Vec<(String, String)> {
    let members = headers.as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned()))).collect()
}
