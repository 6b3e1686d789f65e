//! A text taken apart into literal pieces and expressions, and put together again.

use std::sync::Arc;

use flux_model::limits;
use flux_model::value::{SecretPart, Value};

use super::error::TemplateError;
use super::lexer::lex;
use super::meter::TextBuilder;
use super::parser::{Expr, Missing, Parsed, Use, parse};
use super::path::Path;
use super::run::{Run, report};
use super::scope::{Scope, Warnings};
use super::vm::{Program, follow};

/// What a text turned out to be.
#[derive(Debug)]
pub(crate) enum Body {
    /// No expression in it.
    Literal(Value),
    /// One expression and nothing else: the result keeps its type.
    Whole(Expression),
    /// Expressions within text: the result is text.
    Text(Vec<Part>),
}

#[derive(Debug)]
pub(crate) enum Part {
    Literal(Arc<str>),
    Expression(Expression),
}

/// One `{{ … }}`, as simple as it can be.
#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Value),
    Path(Path),
    Program(Arc<Program>),
}

/// Takes `source` apart. Gives the paths it names beside, secrets among them.
pub(crate) fn compile(source: &str) -> Result<(Body, Vec<Path>), TemplateError> {
    let max = limits::TEMPLATE_SOURCE_BYTES_MAX;
    let mut parts = Vec::new();
    let mut references = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find("{{").map(|offset| at + offset) {
        if source.len() > max {
            let message = format!(
                "the template has {} bytes; {max} are allowed (TEMPLATE_SOURCE_BYTES_MAX)",
                source.len()
            );
            return Err(TemplateError::budget(message));
        }
        if open > at {
            parts.push(Part::Literal(Arc::from(&source[at..open])));
        }
        let (tokens, end) = lex(source, open + 2)?;
        let parsed = parse(source, tokens, end - 2)?;
        note(&mut references, &parsed);
        parts.push(Part::Expression(expression(parsed)?));
        at = end;
    }
    if at < source.len() {
        parts.push(Part::Literal(Arc::from(&source[at..])));
    }
    let body = match parts.pop() {
        None => Body::Literal(Value::text("")),
        Some(Part::Literal(text)) if parts.is_empty() => Body::Literal(Value::Text(text)),
        Some(Part::Expression(expression)) if parts.is_empty() => Body::Whole(expression),
        Some(last) => {
            parts.push(last);
            Body::Text(parts)
        }
    };
    Ok((body, references))
}

fn note(references: &mut Vec<Path>, parsed: &Parsed) {
    for path in parsed.paths.iter().map(|used| &used.path).chain(&parsed.secrets) {
        if !references.contains(path) {
            references.push(path.clone());
        }
    }
}

fn expression(mut parsed: Parsed) -> Result<Expression, TemplateError> {
    match (&parsed.root.kind, parsed.paths.as_slice()) {
        (Expr::Constant(value), _) => Ok(Expression::Constant(value.clone())),
        (Expr::Path(_), [Use { missing: Missing::Reported, .. }]) => {
            Ok(Expression::Path(parsed.paths.remove(0).path))
        }
        _ => Program::compile(parsed).map(Expression::Program),
    }
}

impl Body {
    pub(crate) fn evaluate(
        &self,
        scope: &dyn Scope,
        warnings: &mut Warnings,
    ) -> Result<Value, TemplateError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => match expression {
                Expression::Program(_) => expression.evaluate(scope, &Arc::new(Run::new(scope)), warnings),
                Expression::Constant(_) | Expression::Path(_) => expression.simple(scope, warnings),
            },
            Self::Text(parts) => text(parts, scope, warnings),
        }
    }
}

impl Expression {
    fn evaluate(
        &self,
        scope: &dyn Scope,
        run: &Arc<Run>,
        warnings: &mut Warnings,
    ) -> Result<Value, TemplateError> {
        match self {
            Self::Program(program) => {
                let value = program.evaluate(scope, run);
                run.drain(warnings);
                value
            }
            Self::Constant(_) | Self::Path(_) => self.simple(scope, warnings),
        }
    }

    /// The value of anything but a program.
    fn simple(&self, scope: &dyn Scope, warnings: &mut Warnings) -> Result<Value, TemplateError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Path(path) => match follow(path, scope) {
                Ok(value) => Ok(value),
                Err(stop) => report(*stop, scope.on_missing(), warnings),
            },
            Self::Program(_) => Ok(Value::Null),
        }
    }
}

/// The parts as one text. Where a secret is among them, the result is a secret with text around.
fn text(parts: &[Part], scope: &dyn Scope, warnings: &mut Warnings) -> Result<Value, TemplateError> {
    let run = Arc::new(Run::new(scope));
    let mut text = TextBuilder::new(&run.meter);
    let mut secret: Vec<SecretPart> = Vec::new();
    for part in parts {
        match part {
            Part::Literal(literal) => text.push(literal)?,
            Part::Expression(expression) => match expression.evaluate(scope, &run, warnings)? {
                Value::Secret(pieces) => {
                    if !text.is_empty() {
                        secret.push(SecretPart::Text(Arc::from(text.take())));
                    }
                    secret.extend_from_slice(&pieces);
                }
                value => text.push_value(&value)?,
            },
        }
    }
    if secret.is_empty() {
        return Ok(text.value());
    }
    if !text.is_empty() {
        secret.push(SecretPart::Text(Arc::from(text.take())));
    }
    Ok(Value::Secret(Arc::new(secret)))
}
