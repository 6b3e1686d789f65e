//! What to write instead, for people who know another language.

use flux_model::diagnostic::nearest;

use super::functions;

/// What people call functions elsewhere, and their names here.
const FOREIGN: [(&str, &str); 20] = [
    ("length", "len"),
    ("size", "len"),
    ("count", "len"),
    ("toUpperCase", "upper"),
    ("toUpper", "upper"),
    ("toLowerCase", "lower"),
    ("toLower", "lower"),
    ("toString", "string"),
    ("str", "string"),
    ("parseInt", "int"),
    ("parseFloat", "number"),
    ("float", "number"),
    ("tojson", "json"),
    ("stringify", "json"),
    ("substring", "slice"),
    ("includes", "contains"),
    ("startsWith", "starts_with"),
    ("endsWith", "ends_with"),
    ("encodeURIComponent", "url_encode"),
    ("date", "format_date"),
];

/// The function that was probably meant by `name`.
pub(crate) fn function_for(name: &str) -> Option<&'static str> {
    let foreign = FOREIGN.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    foreign.or_else(|| nearest(name, functions::all().map(|function| function.name)))
}

/// How to write what was written as method `name` of a value.
pub(crate) fn instead_of_method(name: &str) -> String {
    let function = function_for(name).unwrap_or("upper");
    format!("write `value | {function}` or `{function}(value)`")
}
