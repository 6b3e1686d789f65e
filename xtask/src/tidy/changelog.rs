//! CHANGELOG.md has an Unreleased section with at least one line, in the groups of the project.

use super::{Finding, Repository};

const PATH: &str = "CHANGELOG.md";
const GROUPS: &[&str] = &["Safety and performance", "Features", "Internals"];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let text = repository.tree.text(PATH).unwrap_or_default();
    let mut findings: Vec<Finding> = text
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((line.strip_prefix("### ")?, number)))
        .filter(|(group, _)| !GROUPS.contains(group))
        .map(|(group, number)| Finding::at(PATH, number, format!("`{group}` is not one of {GROUPS:?}")))
        .collect();
    let unreleased = text.split("\n## ").find(|section| section.starts_with("Unreleased\n"));
    if !unreleased.is_some_and(|section| section.lines().any(|line| line.starts_with("- "))) {
        findings.push(Finding::about(PATH, "has no section `## Unreleased` with a line about this change"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, found: usize) {
        assert_eq!(check(&Repository::of(&[(PATH, text)])).len(), found, "{text}");
    }

    #[test]
    fn the_unreleased_section_and_its_groups_are_required() {
        check_text("# Changelog\n\n## Unreleased\n\n### Features\n\n- a\n", 0);
        check_text("# Changelog\n\n## Unreleased\n\n## 0.1.0\n\n### Features\n\n- a\n", 1);
        check_text("# Changelog\n", 1);
        check_text("# Changelog\n\n## Unreleased\n\n### Added\n\n- a\n", 1);
    }
}
