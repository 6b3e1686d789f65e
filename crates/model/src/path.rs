//! Where in an execution something happened: `notify`, `enrich[3]`, `loop[3].send`.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The address of one run of a node: node keys joined by dots, each with an element index where
/// it runs once per element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodePath(#[schemars(with = "String")] Arc<str>);

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The node's key.
    pub key: &'a str,
    /// Which element, if the node runs once per element.
    pub index: Option<u32>,
}

impl NodePath {
    /// The path of a node at the top of its flow.
    pub fn root(key: &str) -> Self {
        Self(Arc::from(key))
    }

    /// The run of this node for element `index`.
    pub fn element(&self, index: u32) -> Self {
        Self(Arc::from(format!("{}[{index}]", self.0)))
    }

    /// The node `key` inside this iteration.
    pub fn child(&self, key: &str) -> Self {
        Self(Arc::from(format!("{}.{key}", self.0)))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The steps from the outermost to the innermost; a malformed index ends the walk.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.0.split('.').map(|part| match part.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            Some((key, index)) => Segment { key, index: index.parse().ok() },
            None => Segment { key: part, index: None },
        })
    }

    /// The key of the node itself.
    pub fn key(&self) -> &str {
        self.segments().last().map_or("", |segment| segment.key)
    }
}

impl From<&str> for NodePath {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl Borrow<str> for NodePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_read_back_what_was_built() {
        let path = NodePath::root("loop").element(3).child("send").element(0);
        assert_eq!(path.as_str(), "loop[3].send[0]");
        let segments: Vec<_> = path.segments().collect();
        assert_eq!(segments[0], Segment { key: "loop", index: Some(3) });
        assert_eq!(segments[1], Segment { key: "send", index: Some(0) });
        assert_eq!(path.key(), "send");
    }
}
