//! Paths such as `input.user.emails[0]`: how they are written, followed and explained.
//!
//! A path that stands alone in a template is followed here, on the values themselves, without the
//! expression machinery.

use std::fmt;
use std::sync::Arc;

use flux_model::diagnostic::nearest;
use flux_model::value::Value;

/// Names of members that a message lists before it says "and n more".
const NAMES_LISTED: usize = 8;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The member of an object: `.name` or `["name"]`.
    Key(Arc<str>),
    /// The element of an array: `[0]`, or `[-1]` for the last.
    Index(i64),
}

/// A root and the steps from there that are known without evaluating anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// The root: a node key, `input`, `vars`, `secrets` and so on.
    pub root: Arc<str>,
    /// The steps, outermost first.
    pub segments: Vec<Segment>,
}

/// Where a path stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The whole path as it is written.
    pub(crate) path: String,
    /// Where it stopped and what is there.
    pub(crate) message: String,
    /// What was probably meant.
    pub(crate) suggestion: Option<String>,
}

impl Path {
    /// Follows the path from the value of its root. The boxed error keeps the common case small.
    pub(crate) fn follow(&self, root: &Value) -> Result<Value, Box<Stop>> {
        let mut value = root;
        for (depth, segment) in self.segments.iter().enumerate() {
            value = match step(value, segment) {
                Some(next) => next,
                None => return Err(Box::new(self.stop(value, depth))),
            };
        }
        Ok(value.clone())
    }

    /// The explanation that there is no such root.
    pub(crate) fn unknown_root(&self, known: &[String]) -> Stop {
        let near = nearest(&self.root, known.iter().map(String::as_str));
        Stop {
            path: self.to_string(),
            message: format!(
                "there is no `{}` here; there is {}",
                self.root,
                list(known.iter().map(|n| &**n))
            ),
            suggestion: near.map(|name| format!("did you mean `{name}`?")),
        }
    }

    /// The first `length` steps.
    pub fn prefix(&self, length: usize) -> Self {
        Self { root: self.root.clone(), segments: self.segments[..length.min(self.segments.len())].to_vec() }
    }

    fn stop(&self, reached: &Value, depth: usize) -> Stop {
        let (problem, suggestion) = explain(reached, &self.segments[depth]);
        Stop {
            path: self.to_string(),
            message: format!("`{self}` does not exist: `{}` {problem}", self.prefix(depth)),
            suggestion,
        }
    }
}

/// The part of `value` that `segment` names.
pub(crate) fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match segment {
        Segment::Key(name) => value.get(name),
        Segment::Index(index) => {
            let items = value.as_array()?;
            let index =
                if *index < 0 { index.checked_add(i64::try_from(items.len()).ok()?)? } else { *index };
            items.get(usize::try_from(index).ok()?)
        }
    }
}

/// Why `value` has no part `segment`, as the end of a sentence, and what to write instead.
pub(crate) fn explain(value: &Value, segment: &Segment) -> (String, Option<String>) {
    match (value, segment) {
        (Value::Object(members), Segment::Key(name)) => {
            let names = || members.keys().map(|name| &**name);
            let near = nearest(name, names()).map(|name| format!("did you mean `{name}`?"));
            (format!("has no member `{name}`; it has {}", list(names())), near)
        }
        (Value::Array(items), Segment::Index(index)) => {
            (format!("has no element {index}; its length is {}", items.len()), None)
        }
        (Value::Array(_), Segment::Key(name)) => (
            format!("is an array and has no member `{name}`"),
            Some("name an element with `[0]`, or use `map(items, \"field\")`, `len(items)`".to_owned()),
        ),
        (Value::Object(_), Segment::Index(index)) => {
            (format!("is an object and has no element {index}"), None)
        }
        (Value::Null, _) => ("is null".to_owned(), None),
        (
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_),
            Segment::Key(_) | Segment::Index(_),
        ) => (format!("is a {} and has no parts", value.type_name()), None),
    }
}

/// Names as a message lists them.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut more = 0_usize;
    for (number, name) in names.enumerate() {
        if number >= NAMES_LISTED {
            more += 1;
            continue;
        }
        if number > 0 {
            text.push_str(", ");
        }
        text.push('`');
        text.extend(name.chars().take(64));
        text.push('`');
    }
    match (text.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => text,
        (false, more) => format!("{text} and {more} more"),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.root)?;
        for segment in &self.segments {
            match segment {
                Segment::Key(name) if is_name(name) => write!(out, ".{name}")?,
                Segment::Key(name) => write!(out, "[{}]", Value::Text(name.clone()))?,
                Segment::Index(index) => write!(out, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether `text` can be written after a dot: a letter or `_`, then letters, digits, `_`.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The steps of a path that is given as text, such as `user.emails[0]`.
pub(crate) fn parse_segments(text: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    for (number, name) in text.split('.').enumerate() {
        let (name, indices) = match name.find('[') {
            Some(bracket) => name.split_at(bracket),
            None => (name, ""),
        };
        if !name.is_empty() {
            segments.push(Segment::Key(Arc::from(name)));
        } else if number > 0 || indices.is_empty() {
            return None;
        }
        if !indices.is_empty() {
            let indices = indices.strip_prefix('[')?.strip_suffix(']')?;
            for index in indices.split("][") {
                segments.push(Segment::Index(index.parse().ok()?));
            }
        }
    }
    Some(segments)
}
