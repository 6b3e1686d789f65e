//! The budget of one evaluation, and texts that are built within it.
//!
//! Steps bound how much is looked at one by one, whether by the evaluator or by a function; bytes
//! read and made bound what a single step may do. Neither time nor memory depends on good will.

use std::cell::Cell;

use flux_model::limits;
use flux_model::value::Value;
use serde_json::Number;

use super::error::TemplateError;

/// What one element of an array counts, in bytes: the handle of its value.
pub(crate) const ELEMENT_BYTES: usize = size_of::<Value>();
/// What one member of an object, or a value made anew, counts, in bytes.
pub(crate) const MEMBER_BYTES: usize = 64;

/// What an evaluation may still do.
#[derive(Debug)]
pub(crate) struct Meter {
    steps_left: Cell<u64>,
    read_left: Cell<u64>,
    made_left: Cell<u64>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            steps_left: Cell::new(limits::TEMPLATE_FUEL_MAX),
            read_left: Cell::new(limits::TEMPLATE_READ_BYTES_MAX as u64),
            made_left: Cell::new(limits::TEMPLATE_MADE_BYTES_MAX as u64),
        }
    }

    /// Notes that so many nodes of an expression, elements or members are about to be looked at.
    pub(crate) fn steps(&self, count: usize) -> Result<(), TemplateError> {
        spend(&self.steps_left, count, || {
            format!("the template takes more than {} steps (TEMPLATE_FUEL_MAX)", limits::TEMPLATE_FUEL_MAX)
        })
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

fn spend(left: &Cell<u64>, amount: usize, message: impl Fn() -> String) -> Result<(), TemplateError> {
    let rest = left.get().checked_sub(amount as u64).ok_or_else(|| TemplateError::budget(message()))?;
    left.set(rest);
    Ok(())
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
        self.text.push_str(piece);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text so far, paid for; the builder starts again.
    pub(crate) fn take(&mut self) -> Result<String, TemplateError> {
        self.meter.made(self.text.len())?;
        Ok(std::mem::take(&mut self.text))
    }

    /// The text as a value. As the result of a function it is paid for there.
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

    /// Adds `value` as JSON, each part of it for a step.
    pub(crate) fn push_json(&mut self, value: &Value) -> Result<(), TemplateError> {
        self.meter.steps(1)?;
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

/// Refuses a value that is too large or too deep to be kept. Parts that are shared count wherever
/// they appear, since they are written out wherever they appear.
pub(crate) fn check_value(value: &Value) -> Result<(), TemplateError> {
    let mut bytes = 0;
    walk(value, 0, &mut bytes)
}

fn walk(value: &Value, depth: usize, bytes: &mut usize) -> Result<(), TemplateError> {
    *bytes += match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
        Value::Text(text) => text.len() + 2,
        Value::Array(_) | Value::Object(_) => 2,
        Value::Secret(parts) => 16 * parts.len(),
    };
    let max = limits::VALUE_BYTES_MAX;
    if *bytes > max {
        return Err(TemplateError::budget(format!(
            "the template gives a value of more than {max} bytes (VALUE_BYTES_MAX)"
        )));
    }
    match value {
        Value::Array(_) | Value::Object(_) if depth >= limits::VALUE_DEPTH_MAX => {
            Err(TemplateError::budget(format!(
                "the template gives a value that nests deeper than {} levels (VALUE_DEPTH_MAX)",
                limits::VALUE_DEPTH_MAX
            )))
        }
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, depth + 1, bytes)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            *bytes += name.len() + 4;
            walk(member, depth + 1, bytes)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) => Ok(()),
    }
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
