//! Files that everybody who opens the repository looks for.

use super::{Finding, Repository};

const REQUIRED: &[&str] = &[
    ".ci/run",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs/adr/README.md",
    "docs/operating/testing.md",
];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let missing = REQUIRED.iter().filter(|path| repository.tree.text(path).is_none_or(str::is_empty));
    missing.map(|path| Finding::about(*path, "is missing or empty")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_empty_is_found() {
        let files: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "text")).collect();
        assert!(check(&Repository::of(&files)).is_empty());
        let found = check(&Repository::of(&[&files[2..], &[(files[1].0, "")]].concat()));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
