//! `trigger.function`: a call of a function through the gateway, the queue, or another execution.
//! Deploying writes flows with this trigger; nobody draws them.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Diagnostic, Purity, Shape, Value};
use flux_triggers::function::{FunctionConfig, FunctionRoute};

use super::open_object;
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct TriggerFunction;

impl NodeDefinition for TriggerFunction {
    const NAME: &'static str = "trigger.function";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Starts when a function of the project is called.";
    const KIND: NodeKind = NodeKind::Trigger;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Trigger(check);

    type Config = FunctionConfig;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([
            ("input", Shape::Any),
            ("headers", open_object()),
            ("user", Shape::Any),
            ("method", Shape::Text),
        ])
    }
}

fn check(config: &Value) -> Result<(), Vec<Diagnostic>> {
    FunctionRoute::parse(config).map(drop)
}
