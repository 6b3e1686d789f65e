//! A text taken apart into literal pieces and expressions, and put together again.

use std::sync::Arc;

use flux_model::limits;
use flux_model::value::{SecretPart, Value};
use indexmap::IndexSet;

use super::error::TemplateError;
use super::evaluate::Evaluation;
use super::expression::{Expr, Node};
use super::lexer::lex;
use super::meter::TextBuilder;
use super::parser::parse;
use super::path::Path;
use super::scope::{Scope, Warnings};

/// What a text turned out to be.
#[derive(Debug)]
pub(crate) enum Body {
    /// No expression in it.
    Literal(Value),
    /// One expression and nothing else: the result keeps its type.
    Whole(Node),
    /// Expressions within text: the result is text.
    Text(Vec<Part>),
}

#[derive(Debug)]
pub(crate) enum Part {
    Literal(Arc<str>),
    Expression(Node),
}

/// Takes `source` apart. Gives the paths it names beside, secrets among them.
pub(crate) fn compile(source: &str) -> Result<(Body, Vec<Path>), TemplateError> {
    let max = limits::TEMPLATE_SOURCE_BYTES_MAX;
    let mut parts = Vec::new();
    let mut references = IndexSet::new();
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
        references.extend(parsed.paths);
        parts.push(Part::Expression(parsed.root));
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
    Ok((body, references.into_iter().collect()))
}

impl Body {
    pub(crate) fn evaluate(
        &self,
        scope: &dyn Scope,
        warnings: &mut Warnings,
    ) -> Result<Value, TemplateError> {
        // A path alone is by far the commonest, and where it leads somewhere it needs no more than this.
        if let Self::Whole(Node { kind: Expr::Path(path, _), .. }) = self
            && let Some(root) = scope.root(&path.root)
            && let Ok(value) = path.follow(&root)
        {
            return Ok(value.clone());
        }
        let evaluation = Evaluation::new(scope);
        let result = match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => evaluation.value(expression),
            Self::Text(parts) => text(parts, &evaluation),
        };
        evaluation.run.report(warnings);
        result
    }
}

/// The parts as one text. Where a secret is among them, the result is a secret with text around.
fn text<'a>(parts: &'a [Part], evaluation: &Evaluation<'a>) -> Result<Value, TemplateError> {
    let mut text = TextBuilder::new(&evaluation.run.meter);
    let mut secret: Vec<SecretPart> = Vec::new();
    for part in parts {
        match part {
            Part::Literal(literal) => text.push(literal)?,
            Part::Expression(expression) => match evaluation.value(expression)? {
                Value::Secret(pieces) => {
                    close(&mut text, &mut secret)?;
                    secret.extend_from_slice(&pieces);
                }
                value @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Text(_)
                | Value::Array(_)
                | Value::Object(_)) => text.push_value(&value)?,
            },
        }
    }
    if secret.is_empty() {
        return Ok(text.value());
    }
    close(&mut text, &mut secret)?;
    Ok(Value::Secret(Arc::new(secret)))
}

/// Moves the text so far in front of the next secret.
fn close(text: &mut TextBuilder<'_>, secret: &mut Vec<SecretPart>) -> Result<(), TemplateError> {
    if !text.is_empty() {
        secret.push(SecretPart::Text(Arc::from(text.take()?)));
    }
    Ok(())
}
