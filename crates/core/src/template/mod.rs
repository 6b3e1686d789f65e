//! The template language: texts with `{{ expressions }}`, evaluated over shared values.
//!
//! A text is one of four things: a literal, a path alone, an expression alone, both of which give
//! a value of any type, or text with expressions in it, which gives text. Expressions are checked
//! and bounded in depth when they are compiled, and bounded in steps, reading and output when they
//! run. There are no statements, loops, methods or definitions, nothing that reaches a clock, a file
//! or the network, and nothing that looks into a secret. `docs/concepts/templates.md` is the user's
//! view, ADR 0007 says why the language is this one.
//!
//! ```
//! use flux_core::template::{Scope, Template, Warnings};
//! use flux_model::{Timestamp, Value};
//!
//! struct Input(Value);
//! impl Scope for Input {
//!     fn root(&self, name: &str) -> Option<Value> {
//!         (name == "input").then(|| self.0.clone())
//!     }
//!     fn now(&self) -> Timestamp {
//!         Timestamp::default()
//!     }
//! }
//!
//! let scope = Input(Value::object([("name", Value::text("Ada"))]));
//! let template = Template::compile("Hello {{ input.name | upper }}!")?;
//! let mut warnings = Warnings::new();
//! assert_eq!(template.evaluate(&scope, &mut warnings)?, Value::text("Hello ADA!"));
//! # Ok::<(), flux_core::template::TemplateError>(())
//! ```

mod error;
mod evaluate;
mod expression;
pub mod functions;
mod hints;
mod lexer;
mod meter;
mod parser;
mod parts;
mod path;
mod references;
mod run;
mod scope;
mod templated;
#[cfg(test)]
mod test_scope;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use flux_model::Value;
use indexmap::IndexSet;

pub use error::TemplateError;
pub use parser::is_reserved_word;
pub use path::{Path, Segment};
pub use references::{Problem, Reference, check_reference};
pub use scope::{OnMissing, Scope, Warning, Warnings};
pub use templated::Templated;

use parts::Body;

/// A compiled text. Cloning costs a reference count.
#[derive(Debug, Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Arc<str>,
    body: Body,
    references: Vec<Reference>,
}

impl Template {
    /// Compiles `source`.
    ///
    /// # Errors
    /// `template_syntax` where it is wrong, `template_budget` where it is too long.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let (body, references) = parts::compile(source)?;
        Ok(Self { inner: Arc::new(Inner { source: Arc::from(source), body, references }) })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Whether there is no expression in it: it evaluates to its source.
    pub fn is_literal(&self) -> bool {
        matches!(self.inner.body, Body::Literal(_))
    }

    /// The paths it names, secrets included, each once.
    pub fn references(&self) -> &[Reference] {
        &self.inner.references
    }

    /// The roots it names, each once.
    pub fn roots(&self) -> Vec<&str> {
        let roots: IndexSet<&str> = self.inner.references.iter().map(|reference| &*reference.root).collect();
        roots.into_iter().collect()
    }

    /// Its value in `scope`. Paths that lead nowhere are added to `warnings`, unless the scope has
    /// them fail.
    ///
    /// # Errors
    /// `template_failed` where a function cannot do what it is asked, `template_budget` where the
    /// template runs over a bound.
    pub fn evaluate(&self, scope: &dyn Scope, warnings: &mut Warnings) -> Result<Value, TemplateError> {
        self.inner.body.evaluate(scope, warnings)
    }
}
