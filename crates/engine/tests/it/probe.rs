//! `test.probe`: an effect that counts its attempts, and does what the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::journal::LogLevel;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{ErrorCode, Purity, Shape, Value};
use flux_nodes::{Attempt, Executor, NodeDefinition};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Notify;

static PROBES: LazyLock<Mutex<BTreeMap<String, Arc<Probe>>>> = LazyLock::new(Mutex::default);

/// What the test nodes of one world did.
#[derive(Default)]
pub(crate) struct Probe {
    runs: Mutex<Vec<(String, u32)>>,
    held: Mutex<BTreeSet<String>>,
    released: Notify,
}

impl Probe {
    pub(crate) fn of(world: &str) -> Arc<Self> {
        PROBES.lock().unwrap().entry(world.to_owned()).or_default().clone()
    }

    /// Attempts of the node so far, as counted from outside.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.runs.lock().unwrap().iter().filter(|(run, _)| run == path).count()
    }

    /// Paths in the order in which they were attempted.
    pub(crate) fn order(&self) -> Vec<String> {
        self.runs.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// From now on attempts of the node do not end.
    pub(crate) fn hold(&self, path: &str) {
        self.held.lock().unwrap().insert(path.to_owned());
    }

    /// They end.
    pub(crate) fn release(&self, path: &str) {
        self.held.lock().unwrap().remove(path);
        self.released.notify_waiters();
    }

    pub(crate) fn release_all(&self) {
        self.held.lock().unwrap().clear();
        self.released.notify_waiters();
    }

    async fn passed(&self, path: &str) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !self.held.lock().unwrap().contains(path) {
                return;
            }
            released.await;
        }
    }
}

pub(crate) struct ProbeNode;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Which world it belongs to.
    world: String,
    /// Its output.
    #[serde(default)]
    value: Value,
    /// Attempts that fail before one succeeds.
    #[serde(default)]
    failures: u32,
    /// Fails for good.
    #[serde(default)]
    broken: bool,
}

impl NodeDefinition for ProbeNode {
    const NAME: &'static str = "test.probe";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Counts its attempts.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(run);

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}

fn run<'a>(config: Config, attempt: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    Box::pin(async move {
        let probe = Probe::of(&config.world);
        let call = attempt.call();
        let path = call.path.to_string();
        probe.runs.lock().unwrap().push((path.clone(), call.attempt));
        attempt.log(LogLevel::Info, format!("attempt {}", call.attempt));
        probe.passed(&path).await;
        if config.broken {
            return Err(Failure::permanent(ErrorCode::HttpStatus, "broken"));
        }
        if call.attempt <= config.failures {
            return Err(Failure::retryable(ErrorCode::EgressConnection, "not yet"));
        }
        Ok(TaskOutput::main(config.value))
    })
}
