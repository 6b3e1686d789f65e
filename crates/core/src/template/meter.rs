//! The budget of one evaluation, and texts that are built within it.
//!
//! The expression machinery bounds its own steps; this bounds what the functions and operators
//! between two steps may read and make, so that neither time nor memory depends on good will.

use std::sync::atomic::{AtomicUsize, Ordering};

use flux_model::limits;
use flux_model::value::Value;
use serde_json::Number;

use super::error::TemplateError;

/// What one element of an array or one member of an object counts, in bytes.
pub(crate) const ELEMENT_BYTES: usize = 48;

/// What an evaluation may still read and make.
#[derive(Debug)]
pub(crate) struct Meter {
    read_left: AtomicUsize,
    made_left: AtomicUsize,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            read_left: AtomicUsize::new(limits::TEMPLATE_READ_BYTES_MAX),
            made_left: AtomicUsize::new(limits::TEMPLATE_MADE_BYTES_MAX),
        }
    }

    /// Notes that `bytes` are about to be looked at.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), TemplateError> {
        spend(&self.read_left, bytes, || {
            format!(
                "the template reads more than {} bytes (TEMPLATE_READ_BYTES_MAX)",
                limits::TEMPLATE_READ_BYTES_MAX
            )
        })
    }

    /// Notes that `bytes` are about to be made.
    pub(crate) fn made(&self, bytes: usize) -> Result<(), TemplateError> {
        spend(&self.made_left, bytes, || {
            format!(
                "the template makes more than {} bytes in all, intermediate values included \
                 (TEMPLATE_MADE_BYTES_MAX)",
                limits::TEMPLATE_MADE_BYTES_MAX
            )
        })
    }
}

fn spend(left: &AtomicUsize, bytes: usize, message: impl Fn() -> String) -> Result<(), TemplateError> {
    // An evaluation runs on one thread; the atomic only satisfies `Sync`.
    match left.load(Ordering::Relaxed).checked_sub(bytes) {
        Some(rest) => {
            left.store(rest, Ordering::Relaxed);
            Ok(())
        }
        None => Err(TemplateError::budget(message())),
    }
}

/// A text that refuses to grow beyond [`limits::TEMPLATE_OUTPUT_BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct TextBuilder<'a> {
    text: String,
    meter: &'a Meter,
}

impl<'a> TextBuilder<'a> {
    pub(crate) fn new(meter: &'a Meter) -> Self {
        Self { text: String::new(), meter }
    }

    pub(crate) fn push(&mut self, piece: &str) -> Result<(), TemplateError> {
        check_output(self.text.len().saturating_add(piece.len()))?;
        self.meter.made(piece.len())?;
        self.text.push_str(piece);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    pub(crate) fn value(self) -> Value {
        Value::text(self.text)
    }

    /// Adds `value` as text shows it: null as nothing, arrays and objects as JSON.
    pub(crate) fn push_value(&mut self, value: &Value) -> Result<(), TemplateError> {
        match value {
            Value::Null => Ok(()),
            Value::Bool(true) => self.push("true"),
            Value::Bool(false) => self.push("false"),
            Value::Number(number) => self.push(&number_text(number)),
            Value::Text(text) => self.push(text),
            Value::Array(_) | Value::Object(_) => self.push_json(value),
            Value::Secret(_) => Err(secret_in_text()),
        }
    }

    /// Adds `value` as JSON.
    pub(crate) fn push_json(&mut self, value: &Value) -> Result<(), TemplateError> {
        match value {
            Value::Null => self.push("null"),
            Value::Bool(true) => self.push("true"),
            Value::Bool(false) => self.push("false"),
            Value::Number(number) => self.push(&number.to_string()),
            Value::Text(text) => self.push_json_text(text),
            Value::Array(items) => {
                self.push("[")?;
                for (number, item) in items.iter().enumerate() {
                    self.push(if number == 0 { "" } else { "," })?;
                    self.push_json(item)?;
                }
                self.push("]")
            }
            Value::Object(members) => {
                self.push("{")?;
                for (number, (name, member)) in members.iter().enumerate() {
                    self.push(if number == 0 { "" } else { "," })?;
                    self.push_json_text(name)?;
                    self.push(":")?;
                    self.push_json(member)?;
                }
                self.push("}")
            }
            Value::Secret(_) => Err(secret_in_text()),
        }
    }

    fn push_json_text(&mut self, text: &str) -> Result<(), TemplateError> {
        // Checked before the escaped copy is made.
        check_output(self.text.len().saturating_add(text.len()))?;
        let escaped = serde_json::to_string(text).expect("a text always serialises");
        self.push(&escaped)
    }
}

/// Refuses a text of `bytes` that is larger than a template may produce.
pub(crate) fn check_output(bytes: usize) -> Result<(), TemplateError> {
    let max = limits::TEMPLATE_OUTPUT_BYTES_MAX;
    if bytes <= max {
        return Ok(());
    }
    Err(TemplateError::budget(format!(
        "the template makes a text of at least {bytes} bytes; {max} are allowed (TEMPLATE_OUTPUT_BYTES_MAX)"
    )))
}

fn secret_in_text() -> TemplateError {
    TemplateError::failed("a secret inside an array or object cannot become text")
        .suggest("name the secret by itself: `{{ secrets.NAME }}`")
}

/// A number as text shows it: `2` and not `2.0`.
pub(crate) fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < 1e15 => {
            format!("{double:.0}")
        }
        Some(_) | None => number.to_string(),
    }
}
