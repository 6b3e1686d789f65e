//! A scope for tests: roots from JSON, a fixed time.

use flux_model::{Timestamp, Value};

use super::{OnMissing, Scope, Template, TemplateError, Warnings};

/// `2026-03-28T10:30:00Z`, the day before clocks change in Europe.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_774_693_800_000);

/// Roots and how to treat what is missing.
pub(crate) struct TestScope {
    pub(crate) roots: Value,
    pub(crate) on_missing: OnMissing,
}

impl TestScope {
    /// `input` is this JSON.
    pub(crate) fn new(input: &str) -> Self {
        let input = Value::from_json(input.as_bytes()).expect("tests write valid JSON");
        Self { roots: Value::object([("input", input)]), on_missing: OnMissing::Null }
    }
}

impl Scope for TestScope {
    fn root(&self, name: &str) -> Option<Value> {
        self.roots.get(name).cloned()
    }

    fn now(&self) -> Timestamp {
        NOW
    }

    fn root_names(&self) -> Vec<String> {
        self.roots.as_object().into_iter().flat_map(|roots| roots.keys()).map(ToString::to_string).collect()
    }

    fn on_missing(&self) -> OnMissing {
        self.on_missing
    }
}

/// The value of `source` where `input` is this JSON.
pub(crate) fn evaluate(source: &str, input: &str) -> Result<Value, TemplateError> {
    Template::compile(source)?.evaluate(&TestScope::new(input), &mut Warnings::new())
}
