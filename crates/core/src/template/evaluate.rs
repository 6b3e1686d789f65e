//! From the tree of an expression to its value.
//!
//! Recursion goes no deeper than the tree, and the parser bounds that by
//! [`flux_model::limits::TEMPLATE_DEPTH_MAX`]. Every node that is reached costs a step; what lies
//! behind an `and`, `or` or `if` that decides otherwise costs nothing and can neither fail nor warn.
//! Values are passed on by reference count.

use std::cell::RefCell;
use std::collections::BTreeMap;

use flux_model::value::Value;

use super::error::TemplateError;
use super::expression::{Expr, Missing, Node};
use super::meter::check_value;
use super::path::Path;
use super::run::Run;
use super::scope::Scope;

/// One evaluation of a template, whose expressions share budget and roots.
pub(crate) struct Evaluation<'a> {
    pub(crate) run: Run,
    scope: &'a dyn Scope,
    /// What the scope said of each root that was reached.
    roots: RefCell<BTreeMap<&'a str, Option<Value>>>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(scope: &'a dyn Scope) -> Self {
        Self { run: Run::new(scope), scope, roots: RefCell::default() }
    }

    /// The value of a whole expression. What it made must be small enough to be kept; what it only
    /// found is kept already.
    pub(crate) fn value(&self, expression: &'a Node) -> Result<Value, TemplateError> {
        let value = self.node(expression)?;
        match expression.kind {
            Expr::Constant(_) | Expr::Path(..) => {}
            Expr::Not(_) | Expr::And(..) | Expr::Or(..) | Expr::If { .. } | Expr::Call(..) => {
                check_value(&value)?;
            }
        }
        Ok(value)
    }

    fn node(&self, node: &'a Node) -> Result<Value, TemplateError> {
        self.run.meter.steps(1)?;
        match &node.kind {
            Expr::Constant(value) => Ok(value.clone()),
            Expr::Path(path, missing) => self.path(path, *missing),
            Expr::Not(operand) => Ok(Value::Bool(!self.node(operand)?.is_true())),
            Expr::And(left, right) => {
                let left = self.node(left)?;
                if left.is_true() { self.node(right) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.node(left)?;
                if left.is_true() { Ok(left) } else { self.node(right) }
            }
            Expr::If { condition, then, otherwise } => {
                let holds = self.node(condition)?.is_true();
                self.node(if holds { then } else { otherwise })
            }
            Expr::Call(function, args) => {
                let args: Vec<Value> = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
                function.call(&args, &self.run)
            }
        }
    }

    /// Where a path leads. The scope is asked for a root once, and only when it is reached.
    fn path(&self, path: &'a Path, missing: Missing) -> Result<Value, TemplateError> {
        let mut roots = self.roots.borrow_mut();
        let root = roots.entry(&path.root).or_insert_with(|| self.scope.root(&path.root));
        let found = root.as_ref().map(|root| path.follow(root));
        match (found, missing) {
            (Some(Ok(value)), _) => Ok(value.clone()),
            (Some(Err(_)) | None, Missing::Foreseen) => Ok(Value::Null),
            (Some(Err((reached, depth))), Missing::Reported) => self.run.missing(path.stop(reached, depth)),
            (None, Missing::Reported) => self.run.missing(path.unknown_root(&self.scope.root_names())),
        }
    }
}
