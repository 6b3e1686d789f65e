//! Words that must not be committed: marks of unfinished work, tests that do not run, paths of one
//! machine, hosts of package registries. This file lists them and is the only one that may.

use super::{Finding, Repository};

const FORBIDDEN: &[(&str, &str)] = &[
    ("TODO", "unfinished: do it or leave it out"),
    ("FIXME", "unfinished: mend it or leave it out"),
    ("unimplemented!", "unfinished: do it or leave it out"),
    ("todo!(", "unfinished: do it or leave it out"),
    ("#[ignore", "a test that does not run proves nothing"),
    ("/work/", "the path of one machine"),
    ("crates.io", "the host of a package registry"),
    ("npmjs.org", "the host of a package registry"),
    ("npmjs.com", "the host of a package registry"),
    ("pypi.org", "the host of a package registry"),
    ("docker.io", "the host of a package registry"),
    ("ghcr.io", "the host of a package registry"),
];

/// Written by package tools, which name their registries, and this file.
const EXEMPT: &[&str] = &["Cargo.lock", "package-lock.json", "deno.lock", "xtask/src/tidy/words.rs"];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.tree.files().filter(|(path, _)| !is_exempt(path)) {
        for (line, number) in text.lines().zip(1..) {
            for (word, reason) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
                findings.push(Finding::at(path, number, format!("`{word}`: {reason}")));
            }
        }
    }
    findings
}

fn is_exempt(path: &str) -> bool {
    EXEMPT.iter().any(|exempt| path == *exempt || path.ends_with(&format!("/{exempt}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_forbidden_word_is_found_in_every_kind_of_file() {
        for (word, _) in FORBIDDEN {
            for path in ["a.rs", "docs/a.md", "web/a.ts", "b/Cargo.lock.md"] {
                let repository = Repository::of(&[(path, &format!("x\nx {word}x\n"))]);
                let found = super::super::said(&check(&repository));
                assert!(
                    found.len() == 1 && found[0].starts_with(&format!("{path}:2: `{word}`")),
                    "{found:?}"
                );
            }
        }
    }

    #[test]
    fn lock_files_may_name_registries() {
        let text = "registry+https://github.com/rust-lang/crates.io-index\n";
        assert!(check(&Repository::of(&[("Cargo.lock", text), ("web/package-lock.json", text)])).is_empty());
    }
}
