//! Modules are nouns of the domain. A name that says nothing collects everything.

use super::{Finding, Repository};

const BANNED: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.tree.rust() {
        for part in
            path.split('/').map(|part| part.trim_end_matches(".rs")).filter(|part| BANNED.contains(part))
        {
            findings.push(Finding::about(path, refusal(part)));
        }
        for (line, number) in text.lines().zip(1..) {
            if let Some(name) = inline_module(line).filter(|name| BANNED.contains(name)) {
                findings.push(Finding::at(path, number, refusal(name)));
            }
        }
    }
    findings
}

fn refusal(name: &str) -> String {
    format!("`{name}` is not a subject: name the module after what it is about")
}

/// The name in `mod name {`, whatever its visibility. `mod name;` is found by its file.
fn inline_module(line: &str) -> Option<&str> {
    let (before, name) = line.trim().strip_suffix(" {")?.rsplit_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_names_are_found_in_paths_and_inline() {
        let repository = Repository::of(&[
            ("crates/a/src/utils.rs", "//! a"),
            ("crates/a/src/common/b.rs", "//! a"),
            ("crates/a/src/c.rs", "//! a\npub(crate) mod helpers {\n}\n// about mod utils {\nmod tests {\n"),
            ("docs/common/d.md", ""),
        ]);
        let found = super::super::said(&check(&repository));
        let places: Vec<&str> = found.iter().filter_map(|text| text.split(": ").next()).collect();
        let expected = ["crates/a/src/c.rs:2", "crates/a/src/common/b.rs", "crates/a/src/utils.rs"];
        assert_eq!(places, expected);
    }
}
