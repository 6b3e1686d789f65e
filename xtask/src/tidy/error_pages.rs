//! Every public error code has a page `docs/errors/<code>.md`, and every page a code.

use std::collections::BTreeSet;

use flux_model::ErrorCode;

use super::{Finding, Repository};

const FOLDER: &str = "docs/errors/";
/// Lines a page needs to say what happened, when, and what to do.
const LINES_MIN: usize = 6;

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    check_codes(repository, &codes)
}

fn check_codes(repository: &Repository, codes: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing: BTreeSet<&str> = codes.iter().copied().collect();
    for (path, text) in repository.tree.under(FOLDER) {
        let name = path[FOLDER.len()..].trim_end_matches(".md");
        if name == "README" {
            continue;
        }
        if !missing.remove(name) {
            findings.push(Finding::about(path, "belongs to no code of crates/model/src/error.rs"));
        }
        if text.lines().next() != Some(&format!("# `{name}`")) {
            findings.push(Finding::at(path, 1, format!("does not begin with the heading # `{name}`")));
        }
        if text.lines().count() < LINES_MIN {
            findings
                .push(Finding::about(path, "is too short to help: say what it means, when, and what to do"));
        }
    }
    let absent = missing.into_iter().map(|code| Finding::about(format!("{FOLDER}{code}.md"), "is missing"));
    findings.extend(absent);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_pages_are_paired() {
        let repository = Repository::of(&[
            ("docs/errors/README.md", ""),
            ("docs/errors/good.md", "# `good`\n\n\n\n\n\n"),
            ("docs/errors/short.md", "# short\n"),
            ("docs/errors/stale.md", "# `stale`\n\n\n\n\n\n"),
        ]);
        let found = super::super::said(&check_codes(&repository, &["good", "short", "absent"]));
        let expected = [
            "docs/errors/short.md:1: does not begin with the heading # `short`",
            "docs/errors/short.md: is too short to help: say what it means, when, and what to do",
            "docs/errors/stale.md: belongs to no code of crates/model/src/error.rs",
            "docs/errors/absent.md: is missing",
        ];
        assert_eq!(found, expected);
    }
}
