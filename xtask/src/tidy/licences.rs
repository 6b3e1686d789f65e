//! Every crate that is linked may be used under a licence of [`ALLOWED`].

use super::{Finding, Repository, spdx};

/// Permissive licences, and MPL-2.0, which binds only its own files.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repository.packages {
        let message =
            match package.license.as_deref().map(|expression| spdx::is_satisfied(expression, ALLOWED)) {
                Some(Ok(true)) => continue,
                Some(Ok(false)) => {
                    format!("its licence is not allowed: {}", package.license.as_deref().unwrap_or(""))
                }
                Some(Err(error)) => format!("its licence expression is not readable: {error}"),
                None => "its manifest names no licence".to_owned(),
            };
        findings.push(Finding::about(format!("{} {}", package.name, package.version), message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::{Package, invented};

    #[test]
    fn other_licences_unreadable_ones_and_none_are_found() {
        let licensed = |name: &str, license: Option<&str>| Package {
            license: license.map(str::to_owned),
            ..invented(name, "1.0.0", &[])
        };
        let packages = vec![
            licensed("good", Some("MIT OR GPL-3.0-only")),
            licensed("bound", Some("AGPL-3.0-only")),
            licensed("torn", Some("MIT OR")),
            licensed("silent", None),
        ];
        let found = super::super::said(&check(&Repository { packages, ..Repository::default() }));
        let expected = [
            "bound 1.0.0: its licence is not allowed: AGPL-3.0-only",
            "torn 1.0.0: its licence expression is not readable: a licence is missing at the end",
            "silent 1.0.0: its manifest names no licence",
        ];
        assert_eq!(found, expected);
    }
}
