//! What a node's output looks like, as far as it is known before the node runs.
//!
//! Shapes exist to catch a wrong reference while the flow is drawn; they never refuse a value at
//! run time. Where nothing is known the shape is [`Shape::Any`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The known structure of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Shape {
    /// Nothing is known: every path below it is accepted.
    #[default]
    Any,
    /// A boolean.
    Boolean,
    /// A number.
    Number,
    /// A text.
    Text,
    /// An array of such elements.
    Array {
        /// What each element looks like.
        items: Box<Shape>,
    },
    /// An object.
    Object {
        /// The members that are known.
        fields: BTreeMap<String, Shape>,
        /// Whether there may be members beyond those.
        open: bool,
    },
}

impl Shape {
    /// An object with exactly these members.
    pub fn object<K: Into<String>>(fields: impl IntoIterator<Item = (K, Self)>) -> Self {
        let fields = fields.into_iter().map(|(name, shape)| (name.into(), shape)).collect();
        Self::Object { fields, open: false }
    }

    /// An array of `items`.
    pub fn array(items: Self) -> Self {
        Self::Array { items: Box::new(items) }
    }
}
