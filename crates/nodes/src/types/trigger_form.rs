//! `trigger.form`: the flow is started by a person who fills in a form.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Diagnostic, Purity, Shape, Value};
use flux_triggers::form::{Form, FormConfig};

use super::open_object;
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct TriggerForm;

impl NodeDefinition for TriggerForm {
    const NAME: &'static str = "trigger.form";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Starts the flow when a form is submitted; the output holds the answers.";
    const KIND: NodeKind = NodeKind::Trigger;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Trigger(check);

    type Config = FormConfig;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        open_object()
    }
}

fn check(config: &Value) -> Result<(), Vec<Diagnostic>> {
    Form::parse(config).map(drop)
}
