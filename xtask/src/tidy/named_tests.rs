//! A test that a page names as `path.rs::test` is in a file that ends so: what a page says is held
//! by a test must not become untrue when the test is renamed.

use super::{Finding, Repository};

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (line, number) in text.lines().zip(1..) {
            for span in line.split('`').skip(1).step_by(2) {
                let Some((file, test)) = span.split_once(".rs::") else { continue };
                if !is_there(repository, file, test) {
                    findings.push(Finding::at(path, number, format!("there is no test `{span}`")));
                }
            }
        }
    }
    findings
}

fn is_there(repository: &Repository, file: &str, test: &str) -> bool {
    let end = format!("/{file}.rs");
    let head = format!("fn {test}(");
    repository.tree.files().any(|(path, text)| path.ends_with(&end) && text.contains(&head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn tests_that_are_not_there_are_found() {
        let page =
            "`a/src/x.rs::it_holds` and `x.rs::it_holds`\n`y.rs::it_holds`, `x.rs::it_holds_not`, `x.rs`";
        let files = [("docs/a.md", page), ("crates/a/src/x.rs", "fn it_holds() {}")];
        assert_eq!(
            said(&check(&Repository::of(&files))),
            [
                "docs/a.md:2: there is no test `y.rs::it_holds`",
                "docs/a.md:2: there is no test `x.rs::it_holds_not`"
            ]
        );
    }
}
