//! The nodes that the core evaluates itself: their outputs follow from config and input alone.

use flux_model::Value;
use flux_model::effect::{Effect, Response};
use flux_model::error::{ErrorCode, Failure};
use flux_model::event::TaskOutput;
use flux_model::journal::JournalEvent;
use flux_model::limits::ELEMENTS_MAX;

use super::evaluate::{At, wrong};
use super::turn::Turn;

impl Turn {
    /// `logic.if`: passes its input by port `true` or `false`.
    pub(super) fn branch(&mut self, at: &At, config: &Value) -> Result<TaskOutput, Failure> {
        let port = if holds(config.get("condition").unwrap_or(&Value::Null)) { "true" } else { "false" };
        Ok(TaskOutput::by(port, self.scope(at).input()))
    }

    /// `logic.switch`: passes its input by the port of the first case that holds, or of all.
    pub(super) fn switch(&mut self, at: &At, config: &Value) -> Result<TaskOutput, Failure> {
        let cases = config.get("cases").and_then(Value::as_array).unwrap_or_default();
        let held = cases.iter().filter(|case| case.get("when").is_some_and(holds));
        let mut ports: Vec<String> =
            held.filter_map(|case| case.get("name")?.as_str()).map(str::to_owned).collect();
        if config.get("mode").and_then(Value::as_str) != Some("all") {
            ports.truncate(1);
        }
        if ports.is_empty() {
            ports.push("default".to_owned());
        }
        Ok(TaskOutput { ports, value: self.scope(at).input() })
    }

    /// `logic.filter`: the elements for which `where` holds.
    pub(super) fn filter(&mut self, at: &At, config: &Value) -> Result<TaskOutput, Failure> {
        let items = elements("items", config.get("items").unwrap_or(&Value::Null))?;
        let mut kept = Vec::new();
        for (item, index) in items.iter().zip(0..) {
            let element = At { element: Some((item.clone(), index)), ..at.clone() };
            if self.element_field(&element, "where").transpose()?.as_ref().is_some_and(holds) {
                kept.push(item.clone());
            }
        }
        let count = Value::from(kept.len() as u64);
        Ok(TaskOutput::main(Value::object([("items", Value::array(kept)), ("count", count)])))
    }

    /// `logic.merge`: an object of what came, by the key of the node it came from.
    pub(super) fn merge(&mut self, at: &At) -> TaskOutput {
        let plan = &self.exec.plan;
        let mut delivered = self.exec.scopes[&at.place.run].nodes[at.place.slot].delivered.clone();
        delivered.sort_by_key(|(edge, _)| *edge);
        let members = delivered.into_iter().map(|(edge, value)| {
            let source = &plan.nodes[plan.edges[edge].from].key;
            (source.clone(), value)
        });
        TaskOutput::main(Value::object(members))
    }

    /// `data.set`: the object of its values, with the members of its input if `keep` is `all`.
    pub(super) fn set(&mut self, at: &At, config: &Value) -> Result<TaskOutput, Failure> {
        let values = config.get("values").unwrap_or(&Value::Null);
        let values = values.as_object().ok_or_else(|| wrong("values", values, "an object"))?;
        let mut members = match config.get("keep").and_then(Value::as_str) {
            Some("all") => self.scope(at).input().as_object().cloned().unwrap_or_default(),
            Some(_) | None => Default::default(),
        };
        members.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(TaskOutput::main(Value::Object(std::sync::Arc::new(members))))
    }

    /// `flow.respond`: answers whoever waits. Only the first answer counts.
    pub(super) fn respond(&mut self, at: &At, config: &Value) -> Result<TaskOutput, Failure> {
        let response = response(config)?;
        let body = response.body.clone();
        if self.exec.response.is_some() {
            let message = "the flow has answered already; this answer is not sent".to_owned();
            self.warn(Some(at.path.clone()), ErrorCode::Conflict, message);
        } else {
            self.exec.response = Some(response.clone());
            self.record(JournalEvent::Responded { response: response.clone() });
            self.effects.push(Effect::Respond(response));
        }
        Ok(TaskOutput::main(body))
    }
}

/// What a condition makes of a rendered value. The text `false` is false: it is what a template
/// with text around its expression gives.
fn holds(value: &Value) -> bool {
    match value.as_str() {
        Some(text) => !matches!(text.trim(), "" | "false"),
        None => value.is_true(),
    }
}

/// The elements to run over; null counts as none.
pub(super) fn elements(name: &str, value: &Value) -> Result<std::sync::Arc<Vec<Value>>, Failure> {
    match value {
        Value::Null => Ok(Default::default()),
        Value::Array(items) if items.len() <= ELEMENTS_MAX => Ok(items.clone()),
        Value::Array(items) => {
            let message = format!("{name} has {} elements, at most {ELEMENTS_MAX} are allowed", items.len());
            Err(Failure::permanent(ErrorCode::NodeInput, message))
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) | Value::Secret(_) => {
            let message = format!("{name} is a {}; expected an array", value.type_name());
            Err(Failure::permanent(ErrorCode::NodeInput, message))
        }
    }
}

fn response(config: &Value) -> Result<Response, Failure> {
    let status = match config.get("status") {
        None | Some(Value::Null) => 200,
        Some(value) => {
            let text = value.as_str().and_then(|text| text.trim().parse().ok());
            let number = value.as_f64().filter(|number| number.fract() == 0.0).or(text);
            let valid = number.filter(|number| (200.0..600.0).contains(number));
            valid.ok_or_else(|| wrong("status", value, "a status from 200 to 599"))? as u16
        }
    };
    let headers = match config.get("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(members)) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_json(), str::to_owned);
            members.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
        }
        Some(other) => return Err(wrong("headers", other, "an object of texts")),
    };
    Ok(Response { status, headers, body: config.get("body").cloned().unwrap_or_default() })
}
