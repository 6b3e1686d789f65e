//! The tree of an expression, and the rule that nothing is computed from a secret.
//!
//! Says nothing about how it is written (`parser`) or what it gives (`evaluate`).

use flux_model::value::Value;

use super::error::TemplateError;
use super::functions::Function;
use super::path::Path;

/// An expression and how deep it nests.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Expr,
    pub(crate) depth: usize,
}

impl Node {
    pub(crate) fn new(kind: Expr) -> Self {
        let below = match &kind {
            Expr::Constant(_) | Expr::Path(..) => 0,
            Expr::Not(operand) => operand.depth,
            Expr::And(left, right) | Expr::Or(left, right) => left.depth.max(right.depth),
            Expr::If { condition, then, otherwise } => condition.depth.max(then.depth).max(otherwise.depth),
            Expr::Call(_, args) => args.iter().map(|arg| arg.depth).max().unwrap_or(0),
        };
        Self { kind, depth: below + 1 }
    }

    pub(crate) fn constant(value: Value) -> Self {
        Self::new(Expr::Constant(value))
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Constant(Value),
    Path(Path, Missing),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    /// A function or an operator.
    Call(&'static Function, Vec<Node>),
}

/// What becomes of a path that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is reported.
    Reported,
    /// It is foreseen: `default(path, …)`, `exists(path)`, `is_empty(path)`, `path or …`.
    Foreseen,
}

/// Whether a secret may stand here.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Its value becomes the value of the expression, or a member of it.
    Whole,
    /// Something would be computed from it.
    Operand,
}

/// Refuses every use of a secret other than putting it whole where it is needed.
pub(crate) fn check_secrets(root: &Node) -> Result<(), TemplateError> {
    check_within(root, Place::Whole)
}

fn check_within(node: &Node, place: Place) -> Result<(), TemplateError> {
    match &node.kind {
        Expr::Constant(Value::Secret(_)) if place == Place::Operand => Err(TemplateError::syntax(
            "a secret can only be placed whole, into a field or into text; nothing can be computed from it",
        )
        .suggest("write `{{ secrets.NAME }}` by itself: `Bearer {{ secrets.NAME }}`")),
        Expr::Constant(_) | Expr::Path(..) => Ok(()),
        Expr::Not(operand) => check_within(operand, Place::Operand),
        Expr::And(left, right) | Expr::Or(left, right) => {
            check_within(left, Place::Operand)?;
            check_within(right, place)
        }
        Expr::If { condition, then, otherwise } => {
            check_within(condition, Place::Operand)?;
            check_within(then, place)?;
            check_within(otherwise, place)
        }
        Expr::Call(function, args) => {
            let place = if function.places_arguments() { place } else { Place::Operand };
            args.iter().try_for_each(|arg| check_within(arg, place))
        }
    }
}
