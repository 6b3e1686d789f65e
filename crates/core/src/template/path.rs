//! Paths such as `input.user.emails[0]`: how they are written, followed and explained.
//!
//! Following a path looks at the values where they are; only what it leads to is shared with the
//! caller.

use std::fmt;
use std::sync::Arc;

use flux_model::diagnostic::nearest;
use flux_model::value::Value;

/// Names of members that a message lists before it says "and n more".
const NAMES_LISTED: usize = 8;
/// Characters of a name, path or text that a message shows.
const CHARS_SHOWN: usize = 100;
/// Names that a misspelt one is compared with.
const NAMES_COMPARED: usize = 500;
/// What to write where an array was taken for an object.
pub(crate) const ARRAY_MEMBER: &str =
    "name an element with `[0]`, or use `map(items, \"field\")`, `len(items)`";

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
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stop {
    /// The whole path as it is written.
    pub(crate) path: String,
    /// Where it stopped and what is there.
    pub(crate) message: String,
    /// What to look for a near name in.
    pub(crate) near: Near,
}

/// Where the name that was probably meant may be found. Looked for only when it is shown, since
/// data decides how many names there are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Near {
    /// Among the parts of this value.
    Part(Value, Segment),
    /// Among the roots.
    Root(Arc<str>, Vec<String>),
}

impl Path {
    /// Follows the path from the value of its root. Where it leads nowhere, gives the value at which
    /// it stopped and the number of the step that was not there.
    pub(crate) fn follow<'v>(&self, root: &'v Value) -> Result<&'v Value, (&'v Value, usize)> {
        let mut value = root;
        for (depth, segment) in self.segments.iter().enumerate() {
            value = step(value, segment).ok_or((value, depth))?;
        }
        Ok(value)
    }

    /// The explanation that there is no such root.
    pub(crate) fn unknown_root(&self, known: &[String]) -> Stop {
        let names = list(known.iter().map(String::as_str));
        Stop {
            path: self.shown(),
            message: format!("there is no `{}` here; there is {names}", shorten(&self.root)),
            near: Near::Root(self.root.clone(), known.to_vec()),
        }
    }

    /// The first `length` steps.
    pub fn prefix(&self, length: usize) -> Self {
        Self { root: self.root.clone(), segments: self.segments[..length.min(self.segments.len())].to_vec() }
    }

    /// The path as messages and warnings have it.
    fn shown(&self) -> String {
        shorten(&self.to_string())
    }

    /// The explanation that the value `reached` has no part that step number `depth` names.
    pub(crate) fn stop(&self, reached: &Value, depth: usize) -> Stop {
        let segment = &self.segments[depth];
        let problem = explain(reached, segment);
        Stop {
            path: self.shown(),
            message: format!("`{}` does not exist: `{}` {problem}", self.shown(), self.prefix(depth).shown()),
            near: Near::Part(reached.clone(), segment.clone()),
        }
    }
}

impl Near {
    /// What to write instead.
    pub(crate) fn suggestion(&self) -> Option<String> {
        let near = match self {
            Self::Part(Value::Object(members), Segment::Key(name)) => {
                nearest(name, members.keys().take(NAMES_COMPARED).map(|name| &**name))
            }
            Self::Part(Value::Array(_), Segment::Key(_)) => return Some(ARRAY_MEMBER.to_owned()),
            Self::Part(_, _) => None,
            Self::Root(root, known) => nearest(root, known.iter().map(String::as_str)),
        };
        near.map(|name| format!("did you mean `{name}`?"))
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

/// Why `value` has no part `segment`, as the end of a sentence.
pub(crate) fn explain(value: &Value, segment: &Segment) -> String {
    match (value, segment) {
        (Value::Object(members), Segment::Key(name)) => {
            let names = list(members.keys().map(|name| &**name));
            format!("has no member `{}`; it has {names}", shorten(name))
        }
        (Value::Array(items), Segment::Index(index)) => {
            format!("has no element {index}; its length is {}", items.len())
        }
        (Value::Array(_), Segment::Key(name)) => format!("is an array and has no member `{}`", shorten(name)),
        (Value::Object(_), Segment::Index(index)) => format!("is an object and has no element {index}"),
        (Value::Null, Segment::Key(_) | Segment::Index(_)) => "is null".to_owned(),
        (
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_),
            Segment::Key(_) | Segment::Index(_),
        ) => format!("is a {} and has no parts", value.type_name()),
    }
}

/// The start of a name, path or text, as a message shows it.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(CHARS_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Names as a message lists them.
pub(crate) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_LISTED);
    let names: Vec<String> = names.take(NAMES_LISTED).map(|name| format!("`{}`", shorten(name))).collect();
    match (names.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
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
