//! The node types that Flux comes with, one file each.

mod code_run;
mod data_markdown;
mod data_set;
mod data_transform;
mod flow_call;
mod flow_respond;
mod flow_signal;
mod function_call;
mod http_request;
mod human_review;
mod logic_delay;
mod logic_filter;
mod logic_if;
mod logic_loop;
mod logic_merge;
mod logic_switch;
#[cfg(test)]
mod tests;
mod trigger_form;
mod trigger_function;
mod trigger_manual;
mod trigger_schedule;
mod trigger_webhook;
#[cfg(test)]
mod world;

use flux_model::Shape;

use crate::registry::Registry;

pub(crate) fn register_all(registry: &mut Registry) {
    registry.register::<trigger_manual::TriggerManual>();
    registry.register::<trigger_webhook::TriggerWebhook>();
    registry.register::<trigger_schedule::TriggerSchedule>();
    registry.register::<trigger_form::TriggerForm>();
    registry.register::<trigger_function::TriggerFunction>();
    registry.register::<http_request::HttpRequest>();
    registry.register::<logic_if::LogicIf>();
    registry.register::<logic_switch::LogicSwitch>();
    registry.register::<logic_filter::LogicFilter>();
    registry.register::<logic_merge::LogicMerge>();
    registry.register::<logic_loop::LogicLoop>();
    registry.register::<logic_delay::LogicDelay>();
    registry.register::<data_set::DataSet>();
    registry.register::<data_transform::DataTransform>();
    registry.register::<data_markdown::DataMarkdown>();
    registry.register::<code_run::CodeRun>();
    registry.register::<function_call::FunctionCall>();
    registry.register::<flow_call::FlowCall>();
    registry.register::<flow_respond::FlowRespond>();
    registry.register::<flow_signal::FlowSignal>();
    registry.register::<human_review::HumanReview>();
}

/// An object of which no member is known beforehand.
fn open_object() -> Shape {
    Shape::Object { fields: Default::default(), open: true }
}
