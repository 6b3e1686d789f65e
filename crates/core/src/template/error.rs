//! Why a template could not be compiled or evaluated.

use flux_model::diagnostic::Diagnostic;
use flux_model::error::{ErrorCode, Failure};

/// A template that does not parse, failed, or ran over a bound.
///
/// The code is [`ErrorCode::TemplateSyntax`], [`ErrorCode::TemplateFailed`] or
/// [`ErrorCode::TemplateBudget`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(.field.as_deref()))]
pub struct TemplateError {
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong, for people; never holds a secret.
    pub message: String,
    /// The config field the template stands in, as a dotted path: `headers.x-id`, `rows[2].name`.
    pub field: Option<String>,
    /// What to write instead, where that is known.
    pub suggestion: Option<String>,
}

fn place(field: Option<&str>) -> String {
    field.map_or_else(String::new, |field| format!("{field}: "))
}

impl TemplateError {
    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TemplateSyntax, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TemplateFailed, message)
    }

    pub(crate) fn budget(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TemplateBudget, message)
    }

    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, suggestion: None }
    }

    /// The same error with a way out.
    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// The same error, in this config field.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        let hint = error.suggestion.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        Self::permanent(error.code, format!("{error}{hint}"))
    }
}

impl From<TemplateError> for Diagnostic {
    fn from(error: TemplateError) -> Self {
        let diagnostic = Self::error(error.code, error.message).suggest(error.suggestion);
        match error.field {
            Some(field) => diagnostic.at_field(field),
            None => diagnostic,
        }
    }
}
