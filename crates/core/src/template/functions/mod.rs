//! The functions of the template language, in one table that the documentation and the tests read
//! as well.
//!
//! A function is pure: its result depends on its arguments and, for `now`, on the time of the
//! scope. It never sees a secret, and it pays for what it reads and makes.

mod array;
mod check;
mod date;
mod encode;
mod moment;
mod number;
mod object;
mod operators;
mod text;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use flux_model::value::{Object, Value};

use super::error::TemplateError;
use super::meter::{ELEMENT_BYTES, MEMBER_BYTES, Meter, TextBuilder, check_output, number_text};
use super::path::shorten;
use super::run::Run;

pub(crate) use number::negative;
pub(crate) use operators::operator;

/// A function of the template language, usable as `name(a, b)` and as `a | name(b)`.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters: `?` marks one that may be left out, `…` any number more.
    pub parameters: &'static str,
    /// What it does, by word and example.
    pub doc: Doc,
    manner: Manner,
    body: Body,
}

/// What a function does in a sentence, an expression that uses it, and what that gives, as JSON.
pub struct Doc(pub &'static str, pub &'static str, pub &'static str);

type Body = fn(&Call<'_>) -> Result<Value, TemplateError>;

/// How a function takes its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// If the first argument is null, so is the result.
    Ordinary,
    /// Null is an argument like any other.
    Total,
    /// As `Total`, and a first argument that leads nowhere is not reported.
    Foreseeing,
    /// Arguments become parts of the result as they are, so that even secrets may be among them.
    Placing,
}

/// The groups of the table, in the order of the documentation.
const GROUPS: [(&str, &[Function]); 7] = [
    ("Text", text::TABLE),
    ("Numbers", number::TABLE),
    ("Arrays", array::TABLE),
    ("Objects and values", object::TABLE),
    ("Dates", date::TABLE),
    ("Encoding", encode::TABLE),
    ("Checks", check::TABLE),
];

/// Every function, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Function> {
    GROUPS.iter().flat_map(|(_, table)| table.iter())
}

/// The function table as `docs/concepts/templates.md` has it.
pub fn markdown() -> String {
    let mut text = String::new();
    for (group, table) in GROUPS {
        let _ = write!(text, "### {group}\n\n| Function | Does | Example | Result |\n|---|---|---|---|\n");
        for function in table {
            let Doc(summary, example, result) = function.doc;
            let _ = writeln!(
                text,
                "| `{}` | {} | `{{{{ {} }}}}` | `{}` |",
                function.signature(),
                summary,
                example.replace('|', "\\|"),
                result.replace('|', "\\|"),
            );
        }
        text.push('\n');
    }
    text
}

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

impl Function {
    const fn new(name: &'static str, parameters: &'static str, doc: Doc, body: Body) -> Self {
        Self { name, parameters, doc, manner: Manner::Ordinary, body }
    }

    const fn treating(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }

    /// `name(parameters)`.
    pub fn signature(&self) -> String {
        format!("{}({})", self.name, self.parameters)
    }

    /// Refuses a number of arguments that the parameters do not allow.
    pub(crate) fn check_count(&self, given: usize) -> Result<(), String> {
        let parameters = || self.parameters.split(", ").filter(|parameter| !parameter.is_empty());
        let least = parameters().filter(|parameter| !parameter.ends_with(['?', '…'])).count();
        let most = if self.parameters.ends_with('…') { usize::MAX } else { parameters().count() };
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let (verb, count) = if given < least { ("needs", least) } else { ("takes at most", most) };
        let plural = if count == 1 { "" } else { "s" };
        Err(format!("`{}` {verb} {count} argument{plural} and is given {given}", self.signature()))
    }

    pub(crate) fn foresees_missing(&self) -> bool {
        self.manner == Manner::Foreseeing
    }

    pub(crate) fn places_arguments(&self) -> bool {
        self.manner == Manner::Placing
    }

    /// Calls it.
    pub(crate) fn call(&'static self, args: &[Value], run: &Run) -> Result<Value, TemplateError> {
        if self.manner == Manner::Ordinary && args.first().is_some_and(Value::is_null) {
            return Ok(Value::Null);
        }
        if self.manner != Manner::Placing && args.iter().any(|arg| matches!(arg, Value::Secret(_))) {
            return Err(TemplateError::failed(format!(
                "`{}` was given a secret; a secret can only be placed whole, into a field or into text",
                self.name
            )));
        }
        for arg in args {
            run.meter.read(surface(arg))?;
        }
        let result = (self.body)(&Call { function: self, args, run })?;
        if let Value::Text(text) = &result
            && is_new(&result)
        {
            check_output(text.len())?;
        }
        run.meter.made(if is_new(&result) { surface(&result) } else { 0 })?;
        Ok(result)
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name)
    }
}

/// What a value weighs without what its elements hold.
fn surface(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Secret(_) => 8,
        Value::Text(text) => text.len(),
        Value::Array(items) => ELEMENT_BYTES * items.len(),
        Value::Object(members) => MEMBER_BYTES * members.len(),
    }
}

/// Whether a result was made rather than passed on: what is passed on is held by an argument too.
fn is_new(result: &Value) -> bool {
    match result {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Secret(_) => false,
        Value::Text(text) => Arc::strong_count(text) == 1,
        Value::Array(items) => Arc::strong_count(items) == 1,
        Value::Object(members) => Arc::strong_count(members) == 1,
    }
}

/// The arguments of one call, read by type.
pub(crate) struct Call<'a> {
    function: &'static Function,
    pub(crate) args: &'a [Value],
    pub(crate) run: &'a Run,
}

impl<'a> Call<'a> {
    pub(crate) fn meter(&self) -> &'a Meter {
        &self.run.meter
    }

    /// A text to be built within the budget.
    pub(crate) fn builder(&self) -> TextBuilder<'a> {
        TextBuilder::new(self.meter())
    }

    /// The argument, or null if it is left out.
    pub(crate) fn value(&self, index: usize) -> &'a Value {
        self.args.get(index).unwrap_or(&Value::Null)
    }

    /// Whether the argument is given and not null.
    pub(crate) fn has(&self, index: usize) -> bool {
        !self.value(index).is_null()
    }

    /// The argument as text; numbers and booleans are written out.
    pub(crate) fn text(&self, index: usize) -> Result<Cow<'a, str>, TemplateError> {
        match self.value(index) {
            Value::Text(text) => Ok(Cow::Borrowed(text)),
            Value::Number(number) => Ok(Cow::Owned(number_text(number))),
            Value::Bool(flag) => Ok(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
                Err(self.wrong_type(index, "a string"))
            }
        }
    }

    pub(crate) fn text_or(&self, index: usize, default: &'a str) -> Result<Cow<'a, str>, TemplateError> {
        if self.has(index) { self.text(index) } else { Ok(Cow::Borrowed(default)) }
    }

    pub(crate) fn array(&self, index: usize) -> Result<&'a [Value], TemplateError> {
        self.value(index).as_array().ok_or_else(|| self.wrong_type(index, "an array"))
    }

    /// The elements of an array that the function goes through, each for a step.
    pub(crate) fn elements(&self, index: usize) -> Result<&'a [Value], TemplateError> {
        let items = self.array(index)?;
        self.meter().steps(items.len())?;
        Ok(items)
    }

    /// The members of an object that the function goes through, each for a step.
    pub(crate) fn members(&self, index: usize) -> Result<&'a Object, TemplateError> {
        let members = self.value(index).as_object().ok_or_else(|| self.wrong_type(index, "an object"))?;
        self.meter().steps(members.len())?;
        Ok(members)
    }

    pub(crate) fn number(&self, index: usize) -> Result<f64, TemplateError> {
        self.value(index).as_f64().ok_or_else(|| self.wrong_type(index, "a number"))
    }

    /// The argument as a whole number.
    pub(crate) fn integer(&self, index: usize) -> Result<i64, TemplateError> {
        let value = self.value(index);
        let whole = value.as_i64().or_else(|| number::whole(value.as_f64()?));
        whole.ok_or_else(|| self.wrong_type(index, "a whole number"))
    }

    pub(crate) fn integer_or(&self, index: usize, default: i64) -> Result<i64, TemplateError> {
        if self.has(index) { self.integer(index) } else { Ok(default) }
    }

    /// The argument as a count: a whole number, not negative.
    pub(crate) fn count(&self, index: usize) -> Result<usize, TemplateError> {
        usize::try_from(self.integer(index)?)
            .map_err(|_| self.wrong_type(index, "a number that is not negative"))
    }

    /// An error of this function.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> TemplateError {
        TemplateError::failed(format!("`{}`: {message}", self.function.name))
    }

    pub(crate) fn wrong_type(&self, index: usize, wanted: &str) -> TemplateError {
        let value = self.value(index);
        let shown = match value {
            Value::Number(number) => format!("the number {number}"),
            Value::Text(text) => format!("the string {:?}", shorten(text)),
            Value::Null => "null".to_owned(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
                let article = if matches!(value, Value::Array(_) | Value::Object(_)) { "an" } else { "a" };
                format!("{article} {}", value.type_name())
            }
        };
        let name = self.parameter(index);
        self.error(format!("{name} must be {wanted}, but is {shown}"))
    }

    fn parameter(&self, index: usize) -> String {
        let names = self.function.parameters.split(", ").nth(index);
        match names.map(|name| name.trim_end_matches(['?', '…'])).filter(|name| !name.is_empty()) {
            Some(name) => format!("`{name}`"),
            None => format!("argument {}", index + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::operators::OPERATORS;
    use super::*;
    use crate::template::test_scope::{TestScope, evaluate};

    #[test]
    fn every_example_gives_its_documented_result() {
        for function in all() {
            let Doc(_, example, expected) = function.doc;
            let result = evaluate(&format!("{{{{ {example} }}}}"), "{}");
            let result = result.unwrap_or_else(|error| panic!("{example}: {error}"));
            let expected =
                Value::from_json(expected.as_bytes()).unwrap_or_else(|error| panic!("{expected}: {error}"));
            assert_eq!(result.to_json(), expected.to_json(), "{example}");
        }
    }

    #[test]
    fn names_are_unique_and_examples_use_them() {
        let mut names: Vec<_> = all().chain(OPERATORS).map(|function| function.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for function in all() {
            assert!(function.doc.1.contains(function.name), "{}", function.name);
        }
    }

    #[test]
    fn every_function_refuses_secrets() {
        for function in all() {
            let args = vec![Value::secret("token"); 4];
            let error = function.call(&args, &Run::new(&TestScope::new("{}")));
            let error = error.err().unwrap_or_else(|| panic!("{} took a secret", function.name));
            assert!(error.message.contains("secret"), "{}: {error}", function.name);
        }
    }
}
