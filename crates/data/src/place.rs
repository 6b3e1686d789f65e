//! Places in a query object or policy file, as errors name them. Costs nothing until it is shown.

use std::fmt;

/// A member or element, and what it is inside of.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root(&'a str),
    Member(&'a str),
    Element(usize),
}

impl<'a> Place<'a> {
    /// The outermost place; an empty name is shown as `query` and left out of longer places.
    pub(crate) const fn root(name: &'a str) -> Self {
        Self { parent: None, step: Step::Root(name) }
    }

    pub(crate) const fn member(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Member(name) }
    }

    pub(crate) const fn element(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Element(index) }
    }

    fn is_unnamed(&self) -> bool {
        matches!(self.step, Step::Root(""))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|parent| !parent.is_unnamed()) {
            parent.fmt(out)?;
            if matches!(self.step, Step::Member(_)) {
                out.write_str(".")?;
            }
        }
        match self.step {
            Step::Root("") => out.write_str("query"),
            // Names come from outside: one error line must stay one short line.
            Step::Root(name) | Step::Member(name) => {
                name.chars().take(64).try_for_each(|letter| write!(out, "{}", letter.escape_debug()))
            }
            Step::Element(index) => write!(out, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_like_paths() {
        let root = Place::root("");
        let (place, values) = (root.member("where"), root.member("values"));
        assert_eq!(root.to_string(), "query");
        assert_eq!(place.member("total").member("gtt").to_string(), "where.total.gtt");
        assert_eq!(values.element(2).member("name").to_string(), "values[2].name");
        assert_eq!(place.member("a\nb").to_string(), "where.a\\nb");
        assert_eq!(Place::root("policies.json").member("roles").to_string(), "policies.json.roles");
    }
}
