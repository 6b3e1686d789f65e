//! From a checked expression to a minijinja expression that cannot do more.
//!
//! minijinja runs the control flow, counted in fuel. What it gets to see are names that are
//! generated here: `k0` is a constant, `p0` a path, `r` the evaluation. No word of the user's
//! reaches its source text, every operator is a filter that this crate bounds, and every value is
//! an opaque handle, so that none of its own operations applies to one.

use std::fmt::Write as _;

use flux_model::value::Value;

use super::functions::{Function, OPERATORS};
use super::parser::{Expr, Node};

/// The minijinja form of an expression.
#[derive(Debug, Default)]
pub(crate) struct Lowered {
    pub(crate) source: String,
    /// What `k0`, `k1`, … stand for.
    pub(crate) constants: Vec<Value>,
}

pub(crate) fn lower(root: &Node) -> Lowered {
    let mut lowered = Lowered::default();
    lowered.write(root);
    lowered
}

/// The name of the filter that is this function or operator.
pub(crate) fn filter_name(function: &Function) -> String {
    match OPERATORS.iter().position(|operator| operator.name == function.name) {
        Some(number) => format!("o{number}"),
        None => format!("f_{}", function.name),
    }
}

impl Lowered {
    fn write(&mut self, node: &Node) {
        match &node.kind {
            Expr::Constant(value) => {
                let _ = write!(self.source, "k{}", self.constants.len());
                self.constants.push(value.clone());
            }
            Expr::Path(number) => {
                let _ = write!(self.source, "p{number}");
            }
            Expr::Not(operand) => self.group("not ", &[(operand, "")]),
            Expr::And(left, right) => self.group("", &[(left, " and "), (right, "")]),
            Expr::Or(left, right) => self.group("", &[(left, " or "), (right, "")]),
            Expr::If { condition, then, otherwise } => {
                self.group("", &[(then, " if "), (condition, " else "), (otherwise, "")]);
            }
            Expr::Call(function, args) => {
                let _ = write!(self.source, "r|{}(", filter_name(function));
                for (number, arg) in args.iter().enumerate() {
                    self.source.push_str(if number == 0 { "" } else { "," });
                    self.write(arg);
                }
                self.source.push(')');
            }
        }
    }

    fn group(&mut self, before: &str, parts: &[(&Node, &str)]) {
        self.source.push('(');
        self.source.push_str(before);
        for (node, after) in parts {
            self.write(node);
            self.source.push_str(after);
        }
        self.source.push(')');
    }
}
