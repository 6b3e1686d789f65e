//! What style.md asks for and a machine can see. One module per check; a check reads the picture
//! of the repository and returns what it found.

mod adr;
mod changelog;
mod duplicates;
mod edges;
mod environment;
mod error_pages;
mod examples;
mod header;
mod length;
mod licences;
mod links;
mod named_tests;
mod names;
mod required;
mod spdx;
mod sql;
mod width;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::ensure;

use crate::packages::{self, Package};
use crate::tree::Tree;

/// Everything a check may look at.
#[derive(Default)]
pub(crate) struct Repository {
    pub(crate) tree: Tree,
    pub(crate) packages: Vec<Package>,
}

/// One thing to mend.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: Option<usize>,
    message: String,
}

type Check = fn(&Repository) -> Vec<Finding>;

const CHECKS: &[(&str, Check)] = &[
    ("required", required::check),
    ("header", header::check),
    ("length", length::check),
    ("width", width::check),
    ("names", names::check),
    ("edges", edges::check),
    ("words", words::check),
    ("sql", sql::check),
    ("environment", environment::check),
    ("error pages", error_pages::check),
    ("adr", adr::check),
    ("changelog", changelog::check),
    ("examples", examples::check),
    ("links", links::check),
    ("named tests", named_tests::check),
    ("licences", licences::check),
    ("duplicates", duplicates::check),
];

/// Runs every check and prints what they found.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let repository = Repository::read(root)?;
    let mut count = 0;
    for (name, check) in CHECKS {
        for finding in check(&repository) {
            println!("{finding} [{name}]");
            count += 1;
        }
    }
    ensure!(count == 0, "tidy found {count} things to mend");
    println!("tidy: {} checks, {} files, nothing to mend", CHECKS.len(), repository.tree.files().count());
    Ok(())
}

impl Repository {
    fn read(root: &Path) -> anyhow::Result<Self> {
        Ok(Self { tree: Tree::read(root)?, packages: packages::read(root)? })
    }

    /// A repository of these files and no packages.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self { tree: Tree::of(files), packages: Vec::new() }
    }
}

impl Finding {
    /// About a file as a whole, or about something that is missing.
    pub(crate) fn about(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, message: message.into() }
    }

    /// About one line, counted from 1.
    pub(crate) fn at(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.path, self.message),
            None => write!(out, "{}: {}", self.path, self.message),
        }
    }
}

/// What a check said, one text per finding: for tests.
#[cfg(test)]
fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        run(crate::root()).unwrap();
    }
}
