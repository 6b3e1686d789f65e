//! What functions see of the evaluation they are called in: the time, the budget, and where to
//! report what is missing. The scope itself is out of their reach.

use std::cell::RefCell;

use flux_model::Timestamp;
use flux_model::value::Value;

use super::error::TemplateError;
use super::meter::Meter;
use super::path::Stop;
use super::scope::{OnMissing, Scope, Warning, Warnings};

/// The state of one evaluation, shared by all parts of a template.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) now: Timestamp,
    pub(crate) meter: Meter,
    on_missing: OnMissing,
    warnings: RefCell<Warnings>,
}

impl Run {
    pub(crate) fn new(scope: &dyn Scope) -> Self {
        Self {
            now: scope.now(),
            meter: Meter::new(),
            on_missing: scope.on_missing(),
            warnings: RefCell::default(),
        }
    }

    /// What a path that leads nowhere gives: null, with a warning, or an error.
    pub(crate) fn missing(&self, stop: Stop) -> Result<Value, TemplateError> {
        match self.on_missing {
            OnMissing::Null => {
                let warning = Warning { path: stop.path, message: stop.message, field: None };
                self.warnings.borrow_mut().add(warning);
                Ok(Value::Null)
            }
            OnMissing::Fail => {
                let mut error = TemplateError::failed(stop.message);
                error.suggestion = stop.near.suggestion();
                Err(error)
            }
        }
    }

    /// Hands over what was reported.
    pub(crate) fn report(self, into: &mut Warnings) {
        self.warnings.into_inner().into_vec().into_iter().for_each(|warning| into.add(warning));
    }
}
