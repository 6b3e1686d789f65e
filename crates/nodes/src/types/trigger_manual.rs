//! `trigger.manual`: the flow is started by API, command line or another flow.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Diagnostic, Purity, Shape, Value};
use flux_triggers::manual::{Manual, ManualConfig};

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct TriggerManual;

impl NodeDefinition for TriggerManual {
    const NAME: &'static str = "trigger.manual";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Starts the flow by API, command line or from another flow.";
    const KIND: NodeKind = NodeKind::Trigger;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Trigger(check);

    type Config = ManualConfig;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::Any
    }
}

fn check(config: &Value) -> Result<(), Vec<Diagnostic>> {
    Manual::parse(config).map(drop)
}
