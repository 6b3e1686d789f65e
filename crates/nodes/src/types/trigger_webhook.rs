//! `trigger.webhook`: the flow is started by an HTTP request.

use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Diagnostic, Purity, Shape, Value};
use flux_triggers::webhook::{Webhook, WebhookConfig};

use super::open_object;
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct TriggerWebhook;

impl NodeDefinition for TriggerWebhook {
    const NAME: &'static str = "trigger.webhook";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Starts the flow when an HTTP request comes.";
    const KIND: NodeKind = NodeKind::Trigger;
    const PURITY: Purity = Purity::Pure;
    const EXECUTOR: Executor<Self::Config> = Executor::Trigger(check);
    const SECRET_FIELDS: &'static [&'static str] = &["signature.secret"];

    type Config = WebhookConfig;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([
            ("body", Shape::Any),
            ("headers", open_object()),
            ("query", open_object()),
            ("params", open_object()),
            ("method", Shape::Text),
            ("raw", Shape::Text),
        ])
    }
}

fn check(config: &Value) -> Result<(), Vec<Diagnostic>> {
    Webhook::parse(config).map(drop)
}
