//! Evaluates templates for a node and notes what did not resolve.

use flux_model::Value;
use flux_model::error::{ErrorCode, Failure};
use flux_model::path::NodePath;

use super::scope::NodeScope;
use super::state::Place;
use super::turn::Turn;
use crate::template::{TemplateError, Warnings};

/// For whom a template is evaluated.
#[derive(Clone)]
pub(super) struct At {
    pub(super) place: Place,
    pub(super) path: NodePath,
    pub(super) attempt: u32,
    /// Which element, with its value.
    pub(super) element: Option<(Value, u32)>,
}

impl At {
    /// The number of the element it is for.
    pub(super) fn index(&self) -> Option<u32> {
        self.element.as_ref().map(|(_, index)| *index)
    }
}

impl Turn {
    pub(super) fn scope<'a>(&'a self, at: &At) -> NodeScope<'a> {
        NodeScope {
            exec: &self.exec,
            place: at.place,
            now: self.now,
            attempt: at.attempt,
            element: at.element.clone(),
        }
    }

    /// The node's config with its templates evaluated.
    pub(super) fn config(&mut self, at: &At) -> Result<Value, Failure> {
        let plan = self.exec.plan.clone();
        let node = &plan.nodes[self.node_index(at.place)];
        let mut warnings = Warnings::new();
        let rendered = node.config.render(&self.scope(at), &mut warnings);
        self.keep(at, warnings);
        rendered.map_err(Failure::from)
    }

    /// A config field that is evaluated per element; `None` if the config does not have it.
    pub(super) fn element_field(&mut self, at: &At, name: &str) -> Option<Result<Value, Failure>> {
        let plan = self.exec.plan.clone();
        let templated = plan.nodes[self.node_index(at.place)].per_element.get(name)?;
        let mut warnings = Warnings::new();
        let rendered = templated.render(&self.scope(at), &mut warnings);
        self.keep(at, warnings);
        Some(rendered.map_err(|error: TemplateError| Failure::from(error)))
    }

    /// The elements of a `for_each`.
    pub(super) fn for_each_items(&mut self, at: &At) -> Result<Value, Failure> {
        let plan = self.exec.plan.clone();
        let Some(template) = &plan.nodes[self.node_index(at.place)].for_each else { return Ok(Value::Null) };
        let mut warnings = Warnings::new();
        let items = template.evaluate(&self.scope(at), &mut warnings);
        self.keep(at, warnings);
        items.map_err(Failure::from)
    }

    pub(super) fn keep(&mut self, at: &At, warnings: Warnings) {
        for warning in warnings.into_vec() {
            let place = warning.field.map_or_else(String::new, |field| format!("{field}: "));
            let message = format!("{place}{}", warning.message);
            self.warn(Some(at.path.clone()), ErrorCode::TemplateReference, message);
        }
    }
}

/// A number of milliseconds from a rendered config, where it is one.
pub(super) fn millis(config: &Value, name: &str) -> Result<Option<u64>, Failure> {
    match config.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let max = flux_model::limits::DURATION_MS_MAX;
            let number = value.as_f64().filter(|number| (0.0..=max as f64).contains(number));
            let number =
                number.ok_or_else(|| wrong(name, value, &format!("a number of milliseconds up to {max}")))?;
            Ok(Some(number as u64))
        }
    }
}

/// A text from a rendered config; absent is the empty text.
pub(super) fn text(config: &Value, name: &str) -> String {
    match config.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Text(text)) => text.to_string(),
        Some(other) => other.to_json(),
    }
}

/// The failure that a rendered config field is not what it must be.
pub(super) fn wrong(name: &str, value: &Value, expected: &str) -> Failure {
    let shown: String = value.to_json().chars().take(80).collect();
    Failure::permanent(ErrorCode::NodeConfig, format!("config.{name} is {shown}; expected {expected}"))
}
