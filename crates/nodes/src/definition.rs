//! What a node type is: the trait that every file under `types` implements.

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Diagnostic, Purity, Shape, Value};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::attempt::Attempt;

/// A node type. A type that leaves one of these out, or whose kind, purity and executor do not
/// belong together, does not compile.
pub trait NodeDefinition {
    /// `http.request`
    const NAME: &'static str;
    /// Raised when the meaning of config or output changes.
    const VERSION: u32;
    /// One line for people.
    const SUMMARY: &'static str;
    /// Who does the work.
    const KIND: NodeKind;
    /// What must be durable around it.
    const PURITY: Purity;
    /// How the work is done.
    const EXECUTOR: Executor<Self::Config>;
    /// Config fields whose templates may name secrets: dotted paths, `*` for one member, `**` for
    /// everything below.
    const SECRET_FIELDS: &'static [&'static str] = &[];
    /// Config fields that are evaluated once per element and may name `item` and `index`.
    const PER_ELEMENT_FIELDS: &'static [&'static str] = &[];

    /// The config with its templates evaluated. Its doc comments become the descriptions that
    /// people see.
    type Config: JsonSchema + DeserializeOwned + 'static;

    /// The output ports, without `error`.
    fn ports() -> Ports;

    /// What the output looks like.
    fn output() -> Shape;
}

/// The work of an effect: it may ask the outside, through the attempt.
pub type Effect<C> = for<'a> fn(C, &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>>;

/// How a node's work is done.
pub enum Executor<C> {
    /// A trigger adapter does it; this is how the adapter checks a config.
    Trigger(fn(&Value) -> Result<(), Vec<Diagnostic>>),
    /// The core does it, inside a step.
    Core,
    /// A function of the config alone.
    Pure(fn(C) -> Result<TaskOutput, Failure>),
    /// A conversation with the outside.
    Effect(Effect<C>),
}

/// Whether kind, purity and executor of a definition belong together. Evaluated by the compiler.
pub(crate) const fn is_consistent<D: NodeDefinition>() -> bool {
    match (&D::EXECUTOR, D::KIND, D::PURITY) {
        (Executor::Trigger(_), NodeKind::Trigger, Purity::Pure) => true,
        (Executor::Pure(_), NodeKind::Task, Purity::Pure) => true,
        (Executor::Effect(_), NodeKind::Task, Purity::Effect) => true,
        (Executor::Core, kind, purity) => matches!(
            (kind, purity),
            (
                NodeKind::If
                    | NodeKind::Switch
                    | NodeKind::Filter
                    | NodeKind::Merge
                    | NodeKind::Loop
                    | NodeKind::Set
                    | NodeKind::Transform
                    | NodeKind::Respond,
                Purity::Pure
            ) | (NodeKind::Delay | NodeKind::Call | NodeKind::Signal | NodeKind::Review, Purity::Wait)
        ),
        (Executor::Trigger(_) | Executor::Pure(_) | Executor::Effect(_), _, _) => false,
    }
}
