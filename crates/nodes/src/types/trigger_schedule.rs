//! `trigger.schedule`: the flow is started by the clock.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Diagnostic, Purity, Shape, Value};
use flux_triggers::schedule::{Schedule, ScheduleConfig};

use crate::definition::{Executor, NodeDefinition};

pub(crate) struct TriggerSchedule;

impl NodeDefinition for TriggerSchedule {
    const NAME: &'static str = "trigger.schedule";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Starts the flow at set times or intervals.";
    const KIND: NodeKind = NodeKind::Trigger;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Trigger(check);

    type Config = ScheduleConfig;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("scheduled_at", Shape::Text), ("previous_at", Shape::Text)])
    }
}

fn check(config: &Value) -> Result<(), Vec<Diagnostic>> {
    Schedule::parse(config).map(drop)
}
