//! What one evaluation carries along: the time, the budget and the warnings.

use std::sync::{Mutex, PoisonError};

use flux_model::Timestamp;
use flux_model::value::Value;

use super::error::TemplateError;
use super::meter::Meter;
use super::path::Stop;
use super::scope::{OnMissing, Scope, Warning, Warnings};

/// The state of one evaluation. Behind locks only because the expression machinery asks for it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) now: Timestamp,
    pub(crate) meter: Meter,
    on_missing: OnMissing,
    warnings: Mutex<Warnings>,
}

impl Run {
    pub(crate) fn new(scope: &dyn Scope) -> Self {
        Self {
            now: scope.now(),
            meter: Meter::new(),
            on_missing: scope.on_missing(),
            warnings: Mutex::default(),
        }
    }

    /// What a path that leads nowhere gives: null, with a warning, or an error.
    pub(crate) fn missing(&self, stop: Stop) -> Result<Value, TemplateError> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        report(stop, self.on_missing, &mut warnings)
    }

    /// Hands over the warnings so far.
    pub(crate) fn drain(&self, into: &mut Warnings) {
        let warnings = std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        warnings.into_vec().into_iter().for_each(|warning| into.add(warning));
    }
}

/// What a path that leads nowhere gives.
pub(crate) fn report(
    stop: Stop,
    on_missing: OnMissing,
    warnings: &mut Warnings,
) -> Result<Value, TemplateError> {
    match on_missing {
        OnMissing::Null => {
            warnings.add(Warning { path: stop.path, message: stop.message, field: None });
            Ok(Value::Null)
        }
        OnMissing::Fail => {
            let mut error = TemplateError::failed(stop.message);
            error.suggestion = stop.suggestion;
            Err(error)
        }
    }
}
