//! Checks of the paths a template names against what is known of the values before they exist.

use flux_model::Shape;
use flux_model::diagnostic::nearest;

use super::path::{ARRAY_MEMBER, Path, Segment, list};

/// A path that a template names. Only the steps known before evaluation are in it: of
/// `rows[input.n].name` these are `rows` and `input.n`.
pub type Reference = Path;

/// A reference that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// Checks `reference` against the shape of its root; `None` where nothing speaks against it.
///
/// `shape_of_root` says what is known of a root, or `None` if there is no such root; `roots` are
/// the names it knows, for suggestions.
pub fn check_reference(
    reference: &Reference,
    roots: &[&str],
    shape_of_root: impl Fn(&str) -> Option<Shape>,
) -> Option<Problem> {
    let Some(root) = shape_of_root(&reference.root) else {
        return Some(Problem {
            message: format!(
                "`{reference}`: there is no `{}` here; there is {}",
                reference.root,
                list(roots.iter().copied())
            ),
            suggestion: did_you_mean(&reference.root, roots.iter().copied()),
        });
    };
    let mut shape = &root;
    for (depth, segment) in reference.segments.iter().enumerate() {
        match step(shape, segment) {
            Known::Part(next) => shape = next,
            Known::Nothing => return None,
            Known::Wrong { problem, suggestion } => {
                let place = reference.prefix(depth);
                return Some(Problem {
                    message: format!("`{reference}` does not exist: `{place}` {problem}"),
                    suggestion,
                });
            }
        }
    }
    None
}

enum Known<'a> {
    Part(&'a Shape),
    Nothing,
    Wrong { problem: String, suggestion: Option<String> },
}

fn step<'a>(shape: &'a Shape, segment: &Segment) -> Known<'a> {
    match (shape, segment) {
        (Shape::Any, _) => Known::Nothing,
        (Shape::Object { fields, open }, Segment::Key(name)) => match fields.get(&**name) {
            Some(part) => Known::Part(part),
            None if *open => Known::Nothing,
            None => Known::Wrong {
                problem: format!(
                    "has no member `{name}`; it has {}",
                    list(fields.keys().map(String::as_str))
                ),
                suggestion: did_you_mean(name, fields.keys().map(String::as_str)),
            },
        },
        (Shape::Object { .. }, Segment::Index(index)) => {
            wrong(format!("is an object and has no element {index}"), None)
        }
        (Shape::Array { items }, Segment::Index(_)) => Known::Part(items),
        (Shape::Array { .. }, Segment::Key(name)) => {
            wrong(format!("is an array and has no member `{name}`"), Some(ARRAY_MEMBER.to_owned()))
        }
        (Shape::Boolean, _) => wrong("is a boolean and has no parts".to_owned(), None),
        (Shape::Number, _) => wrong("is a number and has no parts".to_owned(), None),
        (Shape::Text, _) => wrong("is a string and has no parts".to_owned(), None),
    }
}

fn wrong<'a>(problem: String, suggestion: Option<String>) -> Known<'a> {
    Known::Wrong { problem, suggestion }
}

fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(given, known).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn shape(root: &str) -> Option<Shape> {
        let user = Shape::object([("login", Shape::Text), ("admin", Shape::Boolean)]);
        match root {
            "fetch" => Some(Shape::object([
                ("status", Shape::Number),
                ("users", Shape::array(user.clone())),
                ("user", user),
                ("body", Shape::Any),
                ("headers", Shape::Object { fields: [("date".to_owned(), Shape::Text)].into(), open: true }),
            ])),
            "vars" => Some(Shape::object([("base_url", Shape::Text)])),
            _ => None,
        }
    }

    fn check(path: &str, expected: Option<(&str, Option<&str>)>) {
        let template = Template::compile(&format!("{{{{ {path} }}}}")).unwrap();
        let problem = check_reference(&template.references()[0], &["fetch", "vars"], shape);
        match (problem, expected) {
            (None, None) => {}
            (Some(problem), Some((message, suggestion))) => {
                assert!(problem.message.contains(message), "{path}: {}", problem.message);
                assert_eq!(problem.suggestion.as_deref(), suggestion, "{path}");
            }
            (problem, expected) => panic!("{path}: {problem:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn only_what_cannot_be_is_a_problem() {
        for fine in [
            "fetch",
            "fetch.status",
            "fetch.body.anything[3].at.all",
            "fetch.headers.date",
            "fetch.headers[\"x-total\"].length",
            "fetch.users[0].login",
            "fetch.users[-1].admin",
            "upper(fetch.user.login)",
        ] {
            check(fine, None);
        }
    }

    #[test]
    fn problems_name_what_is_there_and_what_is_near() {
        check(
            "ftch.status",
            Some(("no `ftch` here; there is `fetch`, `vars`", Some("did you mean `fetch`?"))),
        );
        check("fetch.sttus", Some(("`fetch` has no member `sttus`; it has", Some("did you mean `status`?"))));
        check(
            "fetch.user.nickname",
            Some(("`fetch.user` has no member `nickname`; it has `admin`, `login`", None)),
        );
        check(
            "fetch.users[0].logn",
            Some(("`fetch.users[0]` has no member `logn`", Some("did you mean `login`?"))),
        );
        check("fetch.status.code", Some(("`fetch.status` is a number and has no parts", None)));
        check("fetch.user[0]", Some(("`fetch.user` is an object and has no element 0", None)));
        let array = Some(ARRAY_MEMBER);
        check("fetch.users.length", Some(("`fetch.users` is an array", array)));
        check("fetch.users.login", Some(("`fetch.users` is an array", array)));
    }
}
