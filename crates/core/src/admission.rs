//! On which terms an execution may start: the flow's admission settings, evaluated for one input.
//!
//! Whether the terms are met is decided by the store, in the transaction that accepts it.

use std::time::Duration;

use flux_model::admission::{ConcurrencyRule, DebounceRule, RateRule};
use flux_model::error::{ErrorCode, Failure};
use flux_model::{Timestamp, Value};

use crate::bounds::check_depth;
use crate::plan::Plan;
use crate::template::{Scope, Template, TemplateError, Warnings};

/// Bytes of an evaluated key.
pub const KEY_BYTES_MAX: usize = 512;

/// What the store must check and keep when it accepts an execution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Executions with the same key share the limit.
    pub concurrency: Option<ConcurrencyRule>,
    /// Executions with the same key share the rate.
    pub rate: Option<RateRule>,
    /// Events with the same key become one execution.
    pub debounce: Option<DebounceRule>,
    /// Queued executions of a higher priority start first.
    pub priority: i32,
}

/// Evaluates the flow's admission settings for one input.
///
/// # Errors
/// An input that nests deeper than [`flux_model::limits::VALUE_DEPTH_MAX`]; a key template that
/// fails, or gives more than [`KEY_BYTES_MAX`] bytes.
pub fn terms(plan: &Plan, now: Timestamp, input: &Value) -> Result<Terms, Failure> {
    check_depth("the input", input, ErrorCode::InputInvalid)?;
    let settings = plan.settings();
    let scope = InputScope { plan, now, input };
    let key = |template: &Option<String>, place: &str| evaluate_key(template.as_deref(), place, &scope);
    let concurrency = settings.concurrency.as_ref().map(|one| {
        let key = key(&one.key, "settings.concurrency.key")?;
        Ok::<_, Failure>(ConcurrencyRule { key, limit: one.limit, overflow: one.overflow })
    });
    let rate = settings.rate_limit.as_ref().map(|one| {
        let key = key(&one.key, "settings.rate_limit.key")?;
        let burst = one.burst.unwrap_or(one.limit);
        Ok::<_, Failure>(RateRule {
            key,
            limit: one.limit,
            period: Duration::from_millis(one.period_ms),
            burst,
        })
    });
    let debounce = settings.debounce.as_ref().map(|one| {
        let key = key(&one.key, "settings.debounce.key")?;
        let (period, longest) = (Duration::from_millis(one.period_ms), one.max_ms.map(Duration::from_millis));
        Ok::<_, Failure>(DebounceRule { key, period, longest })
    });
    Ok(Terms {
        concurrency: concurrency.transpose()?,
        rate: rate.transpose()?,
        debounce: debounce.transpose()?,
        priority: settings.priority,
    })
}

fn evaluate_key(template: Option<&str>, place: &str, scope: &InputScope<'_>) -> Result<String, Failure> {
    let Some(template) = template else { return Ok(String::new()) };
    let failed = |error: TemplateError| Failure::from(error.at_field(place));
    let compiled = Template::compile(template).map_err(failed)?;
    let value = compiled.evaluate(scope, &mut Warnings::new()).map_err(failed)?;
    let key = value.as_str().map_or_else(|| value.to_json(), str::to_owned);
    if key.len() > KEY_BYTES_MAX {
        let message = format!("{place} gives {} bytes, at most {KEY_BYTES_MAX} are allowed", key.len());
        return Err(Failure::permanent(ErrorCode::InputInvalid, message));
    }
    Ok(key)
}

/// Before an execution exists, templates see its input and the flow's constants.
struct InputScope<'a> {
    plan: &'a Plan,
    now: Timestamp,
    input: &'a Value,
}

impl Scope for InputScope<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        match name {
            "trigger" | "input" => Some(self.input.clone()),
            "vars" => Some(Value::object(
                self.plan.settings().vars.iter().map(|(name, value)| (name, value.clone())),
            )),
            key => (self.plan.trigger().key == key).then(|| self.input.clone()),
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
