//! What is wrong with a flow, said so that a person can mend it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ErrorCode;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The flow can run, but probably not as meant.
    Warning,
    /// The flow cannot run.
    Error,
}

/// One finding about a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// The stable code.
    pub code: ErrorCode,
    /// How bad it is.
    pub severity: Severity,
    /// The key of the node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The place within the node or flow, as a dotted path: `config.url`, `settings.concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, with the value.
    pub message: String,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// An error about the flow as a whole.
    pub fn error(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            node: None,
            field: None,
            message: message.into(),
            suggestion: None,
        }
    }

    /// A warning about the flow as a whole.
    pub fn warning(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same finding, about this node.
    #[must_use]
    pub fn at_node(mut self, key: impl Into<String>) -> Self {
        self.node = Some(key.into());
        self
    }

    /// The same finding, about this place.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same finding, with a way out.
    #[must_use]
    pub fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion.or(self.suggestion);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, &self.field) {
            (Some(node), Some(field)) => write!(out, "{node}.{field}: ")?,
            (Some(place), None) | (None, Some(place)) => write!(out, "{place}: ")?,
            (None, None) => {}
        }
        out.write_str(&self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(out, " ({suggestion})")?;
        }
        Ok(())
    }
}

/// Letters of a name that are compared.
const NAME_CHARS_MAX: usize = 128;

/// The known name nearest to `given`, for "did you mean": at most a third of its letters differ.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let budget = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (edit_distance(given, name), name))
        .filter(|(distance, _)| *distance <= budget)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(NAME_CHARS_MAX).collect();
    let right: Vec<char> = right.chars().take(NAME_CHARS_MAX).collect();
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let same = left[i - 1] == right[j - 1];
            let substituted = rows[i - 1][j - 1] + usize::from(!same);
            row[j] = substituted.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_only_when_near() {
        let known = ["http.request", "logic.if", "logic.switch"];
        assert_eq!(nearest("http.reqest", known), Some("http.request"));
        assert_eq!(nearest("logic.swich", known), Some("logic.switch"));
        assert_eq!(nearest("logic.fi", known), Some("logic.if"), "swapped letters count once");
        assert_eq!(nearest("slack.post", known), None);
    }
}
