//! Only the binary, xtask, tests and examples read the environment; everything else is told.

use super::{Finding, Repository};
use crate::tree::lines_before_tests;

const ALLOWED: &[&str] = &["crates/flux/", "xtask/", "examples/", "benchmarks/"];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let told = repository.tree.rust().filter(|(path, _)| !may_read(path));
    for (path, text) in told {
        for (number, _) in lines_before_tests(text).filter(|(_, line)| line.contains("env::var")) {
            let message = "reads the environment: take the value as a parameter, the binary reads it";
            findings.push(Finding::at(path, number, message));
        }
    }
    findings
}

fn may_read(path: &str) -> bool {
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    is_test || ALLOWED.iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_the_environment_outside_the_binary_is_found() {
        let reads = "//! a\nlet a = std::env::var_os(\"A\");\n";
        let in_tests = format!("//! a\n\n#[cfg(test)]\nmod tests {{\n{reads}}}\n");
        let repository = Repository::of(&[
            ("crates/engine/src/a.rs", reads),
            ("crates/engine/src/b.rs", &in_tests),
            ("crates/engine/src/b/tests.rs", reads),
            ("crates/engine/tests/it/main.rs", reads),
            ("crates/flux/src/main.rs", reads),
            ("examples/a/check.rs", reads),
        ]);
        let found = super::super::said(&check(&repository));
        assert!(found.len() == 1 && found[0].starts_with("crates/engine/src/a.rs:2:"), "{found:?}");
    }
}
