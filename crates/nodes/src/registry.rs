//! Every node type by its name, and the way from a task call to its executor.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flux_egress::SecretScope;
use flux_model::config;
use flux_model::effect::TaskCall;
use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::{Diagnostic, ErrorCode, NodeType, Value};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use crate::attempt::{Attempt, RunContext, TaskDone};
use crate::definition::{Executor, NodeDefinition, is_consistent};
use crate::types;

type Check = Box<dyn Fn(&Value) -> Result<(), Vec<Diagnostic>> + Send + Sync>;
type RunPure = Box<dyn Fn(&Value) -> Result<TaskOutput, Failure> + Send + Sync>;
type RunEffect =
    Box<dyn for<'a> Fn(&Value, &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> + Send + Sync>;

/// The node types of this process.
#[derive(Default)]
pub struct Registry {
    entries: BTreeMap<&'static str, Entry>,
}

struct Entry {
    node_type: NodeType,
    check: Check,
    runner: Runner,
}

enum Runner {
    /// A trigger adapter or the core.
    Elsewhere,
    Pure(RunPure),
    Effect(RunEffect),
}

impl Registry {
    /// The node types that Flux comes with.
    pub fn standard() -> Self {
        let mut registry = Self::default();
        types::register_all(&mut registry);
        registry
    }

    /// Adds a node type; a type of the same name is replaced.
    pub fn register<D: NodeDefinition>(&mut self) {
        const { assert!(is_consistent::<D>(), "kind, purity and executor of a node type do not belong together") };
        let (check, runner): (Check, Runner) = match D::EXECUTOR {
            Executor::Trigger(check) => (Box::new(check), Runner::Elsewhere),
            Executor::Core => (typed_check::<D::Config>(), Runner::Elsewhere),
            Executor::Pure(run) => {
                let run: RunPure = Box::new(move |config| run(typed(config)?));
                (typed_check::<D::Config>(), Runner::Pure(run))
            }
            Executor::Effect(run) => {
                let run: RunEffect = Box::new(move |config, attempt| match typed(config) {
                    Ok(config) => run(config, attempt),
                    Err(failure) => Box::pin(std::future::ready(Err(failure))),
                });
                (typed_check::<D::Config>(), Runner::Effect(run))
            }
        };
        let _ = self.entries.insert(D::NAME, Entry { node_type: describe::<D>(), check, runner });
    }

    /// What the planner, the editor and the API know of each type, by name.
    pub fn catalog_types(&self) -> Vec<NodeType> {
        self.entries.values().map(|entry| entry.node_type.clone()).collect()
    }

    /// Checks a config whose templates are evaluated, beyond what the schema says: a cron
    /// expression, a path, an address range.
    ///
    /// # Errors
    /// Everything that is wrong with it, each naming its field.
    pub fn check(&self, node_type: &str, config: &Value) -> Result<(), Vec<Diagnostic>> {
        match self.entries.get(node_type) {
            Some(entry) => (entry.check)(config),
            None => {
                let message = format!("there is no node type `{node_type}`");
                Err(vec![Diagnostic::error(ErrorCode::UnknownNodeType, message)])
            }
        }
    }

    /// Runs a pure task at once; `None` if the task is not pure.
    pub fn run_pure(&self, call: &TaskCall) -> Option<Result<TaskOutput, Failure>> {
        match &self.entries.get(call.node_type.as_str())?.runner {
            Runner::Pure(run) => Some(guarded(&call.node_type, || run(&call.config))),
            Runner::Elsewhere | Runner::Effect(_) => None,
        }
    }

    /// Runs a task. It always ends: with an output, a failure, or `cancelled` once the context is.
    /// The calls that were finished by then are part of what is returned.
    pub async fn run(&self, call: &TaskCall, context: &RunContext) -> TaskDone {
        let done = |result| TaskDone { result, calls: Vec::new(), logs: Vec::new() };
        if let Some(result) = self.run_pure(call) {
            return done(result);
        }
        let Some(Runner::Effect(run)) = self.entries.get(call.node_type.as_str()).map(|entry| &entry.runner)
        else {
            let message = format!("nothing here runs a node of type `{}`", call.node_type);
            return done(Err(Failure::permanent(ErrorCode::UnknownNodeType, message)));
        };
        let (secrets, config) = match SecretScope::open(&call.config) {
            Ok(opened) => opened,
            Err(error) => return done(Err(Failure::permanent(ErrorCode::NodeConfig, error.to_string()))),
        };
        let attempt = Attempt::new(call, context, secrets);
        let work = AssertUnwindSafe(async { run(&config, &attempt).await }).catch_unwind();
        let result = tokio::select! {
            biased;
            () = context.cancel.cancelled() => {
                Err(Failure::permanent(ErrorCode::Cancelled, "the attempt was cancelled"))
            }
            result = work => result.unwrap_or_else(|_| Err(fault(&call.node_type))),
        };
        attempt.end(result)
    }
}

fn describe<D: NodeDefinition>() -> NodeType {
    let owned = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
    NodeType {
        name: D::NAME.to_owned(),
        version: D::VERSION,
        summary: D::SUMMARY.to_owned(),
        kind: D::KIND,
        purity: D::PURITY,
        ports: D::ports(),
        config_schema: schema_of::<D::Config>(),
        output: D::output(),
        secret_fields: owned(D::SECRET_FIELDS),
        per_element_fields: owned(D::PER_ELEMENT_FIELDS),
    }
}

fn schema_of<C: JsonSchema>() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<C>();
    schema.remove("title");
    schema.to_value()
}

fn typed_check<C: DeserializeOwned>() -> Check {
    Box::new(|config| config::read::<C>(config).map(drop).map_err(|error| vec![error]))
}

fn typed<C: DeserializeOwned>(config: &Value) -> Result<C, Failure> {
    config::read(config).map_err(|error| Failure::permanent(ErrorCode::NodeConfig, error.to_string()))
}

/// A fault in an executor, or in a library it uses, ends the attempt and not the process.
fn guarded(
    node_type: &str,
    work: impl FnOnce() -> Result<TaskOutput, Failure>,
) -> Result<TaskOutput, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(fault(node_type)))
}

fn fault(node_type: &str) -> Failure {
    let message = format!("`{node_type}` stopped unexpectedly; this is a fault inside Flux");
    Failure::permanent(ErrorCode::Internal, message)
}
