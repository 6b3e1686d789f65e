//! The files of the repository, read once: what git tracks and what it would track.
//!
//! Checks work on this picture and never on the disk, so that a test of a check is a few lines of
//! invented files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// The tracked files by their path from the root, with `/` between folders.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the repository at `root`. Files that are not UTF-8 are there, with an empty text.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("tidy asks git which files belong to the repository, and git does not run")?;
        ensure!(
            listing.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        );
        let names = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split('\0').filter(|name| root.join(name).is_file()) {
            let bytes = std::fs::read(root.join(name)).with_context(|| format!("cannot read {name}"))?;
            files.insert(name.to_owned(), String::from_utf8(bytes).unwrap_or_default());
        }
        Ok(Self { files })
    }

    /// A tree of these files: path and text.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { files: files.collect() }
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is such a file or folder.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains_key(path) || self.under(&format!("{path}/")).next().is_some()
    }

    /// Every file: path and text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files whose path begins with `prefix`.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let from = self.files.range(prefix.to_owned()..);
        from.map(|(path, text)| (path.as_str(), text.as_str()))
            .take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// The Rust source files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }
}

/// The lines of a Rust file before its test module, numbered from 1.
pub(crate) fn lines_before_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests].lines().zip(1..).map(|(line, number)| (number, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_when_a_file_lies_in_it() {
        let tree = Tree::of(&[("docs/adr/0001-a.md", ""), ("docs/a.md", ""), ("docsx", "")]);
        for there in ["", "docs", "docs/adr", "docs/a.md"] {
            assert!(tree.holds(there), "{there}");
        }
        assert!(!tree.holds("doc") && !tree.holds("docs/b.md"));
        assert_eq!(tree.under("docs/").count(), 2);
    }

    #[test]
    fn only_a_test_module_at_the_end_is_left_out() {
        let text = "//! a\n#[cfg(test)]\nuse b;\nfn c() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(lines_before_tests(text).last(), Some((4, "fn c() {}")));
    }
}
