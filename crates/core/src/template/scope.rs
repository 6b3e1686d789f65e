//! What a template is evaluated against, and what it reports beside its result.
//!
//! The scope hands out values by reference count and only when they are asked for. It has no way
//! to reach a clock: "now" is given by the caller.

use flux_model::{Timestamp, Value, limits};

/// The evaluation context of a template.
pub trait Scope {
    /// The value of the root `name` (a node key, `input`, `vars`, …), or `None` if there is no such
    /// root. Asked only for roots that the template names.
    fn root(&self, name: &str) -> Option<Value>;

    /// The time that `now()` gives.
    fn now(&self) -> Timestamp;

    /// The roots that exist, for messages about one that does not.
    fn root_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a path that leads nowhere does.
    fn on_missing(&self) -> OnMissing {
        OnMissing::Null
    }
}

/// What a path that leads nowhere does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// It gives `null` and a warning.
    #[default]
    Null,
    /// The template fails.
    Fail,
}

/// A path that led nowhere and gave `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The path as it is written: `input.user.nmae`.
    pub path: String,
    /// Where it stopped and what is there instead.
    pub message: String,
    /// The config field the template stands in.
    pub field: Option<String>,
}

/// Collects the warnings of evaluations: each once, at most [`limits::WARNINGS_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    list: Vec<Warning>,
}

impl Warnings {
    /// No warnings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The warnings, in the order they came up.
    pub fn iter(&self) -> impl Iterator<Item = &Warning> {
        self.list.iter()
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The warnings themselves.
    pub fn into_vec(self) -> Vec<Warning> {
        self.list
    }

    pub(crate) fn add(&mut self, warning: Warning) {
        if self.list.len() < limits::WARNINGS_MAX && !self.list.contains(&warning) {
            self.list.push(warning);
        }
    }

    /// Names the field that the warnings from number `first` on came from.
    pub(crate) fn place(&mut self, first: usize, field: &str) {
        for warning in self.list.iter_mut().skip(first) {
            warning.field.get_or_insert_with(|| field.to_owned());
        }
    }
}
