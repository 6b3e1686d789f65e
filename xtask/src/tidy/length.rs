//! A Rust file has at most [`LINES_MAX`] lines before its test module.
//!
//! Files that are longer stand in [`EXCEPTIONS`] with the length they have; the list may only
//! shrink, so a number that is larger than needed is a finding too.

use std::collections::BTreeMap;

use super::{Finding, Repository};
use crate::tree::lines_before_tests;

const LINES_MAX: usize = 500;
const EXCEPTIONS: &str = "xtask/tidy-exceptions.toml";

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut exceptions = match read(repository) {
        Ok(exceptions) => exceptions,
        Err(error) => return vec![Finding::about(EXCEPTIONS, error)],
    };
    let mut findings = Vec::new();
    for (path, text) in repository.tree.rust() {
        let lines = lines_before_tests(text).count();
        match exceptions.remove(path) {
            None if lines > LINES_MAX => {
                let message =
                    format!("{lines} lines before the tests, at most {LINES_MAX}: divide it by subject");
                findings.push(Finding::about(path, message));
            }
            Some(allowed) if lines > allowed => {
                findings
                    .push(Finding::about(path, format!("grew from {allowed} to {lines} lines: divide it")));
            }
            Some(allowed) if lines <= LINES_MAX || lines < allowed => {
                let way_out = if lines <= LINES_MAX { "remove its line" } else { "lower it" };
                let message = format!("{path} has {lines} lines now, not {allowed}: {way_out}");
                findings.push(Finding::about(EXCEPTIONS, message));
            }
            None | Some(_) => {}
        }
    }
    let gone =
        exceptions.into_keys().map(|path| Finding::about(EXCEPTIONS, format!("{path} does not exist")));
    findings.extend(gone);
    findings
}

fn read(repository: &Repository) -> Result<BTreeMap<String, usize>, String> {
    toml::from_str(repository.tree.text(EXCEPTIONS).unwrap_or_default()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(lines: usize, exceptions: &str, expected: &str) {
        let text =
            format!("{}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "//! a\n".repeat(lines), "\n".repeat(600));
        let repository = Repository::of(&[("a.rs", text.as_str()), (EXCEPTIONS, exceptions)]);
        let found = super::super::said(&check(&repository)).join("\n");
        assert!(found.contains(expected), "{lines} lines, {exceptions}: {found}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{lines} lines, {exceptions}: {found}");
    }

    #[test]
    fn tests_do_not_count_and_the_bound_holds() {
        check_file(500, "", "");
        check_file(501, "", "501 lines before the tests, at most 500");
    }

    #[test]
    fn exceptions_only_shrink() {
        check_file(520, "\"a.rs\" = 520", "");
        check_file(521, "\"a.rs\" = 520", "grew from 520 to 521");
        check_file(519, "\"a.rs\" = 520", "lower it");
        check_file(499, "\"a.rs\" = 520", "remove its line");
        check_file(10, "\"b.rs\" = 520", "b.rs does not exist");
        check_file(10, "nonsense", "TOML parse error");
    }
}
