//! Every Rust file opens with `//!`: what it owns and what it refuses to do.

use super::{Finding, Repository};

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let bare = repository.tree.rust().filter(|(_, text)| !text.starts_with("//! "));
    bare.map(|(path, _)| Finding::at(path, 1, "does not open with `//!` and what the file owns")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_is_found() {
        let repository = Repository::of(&[
            ("crates/a/src/lib.rs", "//! Owns a.\n"),
            ("crates/a/src/b.rs", "use c;\n//! Late.\n"),
            ("crates/a/tests/it/main.rs", ""),
            ("README.md", "text"),
        ]);
        let found = super::super::said(&check(&repository));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/b.rs:1:"), "{found:?}");
    }
}
