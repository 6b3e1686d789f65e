//! A crate is linked once. Where two incompatible versions cannot be avoided, [`LIST`] says which and
//! why; a new one is a finding, and so is a line that is no longer true.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Finding, Repository};

const LIST: &str = "xtask/duplicates.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    versions: BTreeSet<String>,
    reason: String,
}

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let text = repository.tree.text(LIST).unwrap_or_default();
    let mut allowed: BTreeMap<String, Allowed> = match toml::from_str(text) {
        Ok(allowed) => allowed,
        Err(error) => return vec![Finding::about(LIST, error.to_string())],
    };
    let mut findings = Vec::new();
    for (name, versions) in duplicates(repository) {
        match allowed.remove(name) {
            None => {
                findings.push(Finding::about(LIST, format!("{name} is linked as {versions:?}: agree on one")))
            }
            Some(entry) if entry.versions != versions => {
                let message = format!("{name} is linked as {versions:?}, the list says {:?}", entry.versions);
                findings.push(Finding::about(LIST, message));
            }
            Some(entry) if entry.reason.is_empty() => {
                findings.push(Finding::about(LIST, format!("{name} has no reason")));
            }
            Some(_) => {}
        }
    }
    let stale =
        allowed.into_keys().map(|name| Finding::about(LIST, format!("{name} is linked once: remove it")));
    findings.extend(stale);
    findings
}

/// Crates in several versions, each version cut to the part that decides compatibility.
fn duplicates(repository: &Repository) -> BTreeMap<&str, BTreeSet<String>> {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &repository.packages {
        versions.entry(&package.name).or_default().insert(compatible(&package.version));
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

/// `1.4.2` is compatible as `1`, `0.4.2` as `0.4`, `0.0.2` as `0.0.2`.
fn compatible(version: &str) -> String {
    let parts: Vec<&str> = version.split(['.', '+', '-']).take(3).collect();
    let significant = parts.iter().take_while(|part| **part == "0").count() + 1;
    parts[..significant.min(parts.len())].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::invented;

    fn check_list(list: &str, expected: &str) {
        let packages = ["0.21.7", "0.22.1"].map(|version| invented("base64", version, &[])).into();
        let repository = Repository { packages, ..Repository::of(&[(LIST, list)]) };
        let found = super::super::said(&check(&repository)).join("\n");
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{list}: {found}");
    }

    #[test]
    fn new_and_stale_duplicates_are_found() {
        let good = "base64 = { versions = [\"0.21\", \"0.22\"], reason = \"a stays behind\" }\n";
        check_list(good, "");
        check_list("", r#"base64 is linked as {"0.21", "0.22"}: agree on one"#);
        check_list(&good.replace("0.21", "0.20"), r#"the list says {"0.20", "0.22"}"#);
        check_list(&good.replace("a stays behind", ""), "base64 has no reason");
        check_list(&format!("{good}{}", good.replace("base64", "syn")), "syn is linked once: remove it");
        check_list("base64 = 1", "TOML parse error");
    }

    #[test]
    fn versions_are_cut_where_compatibility_ends() {
        for (version, expected) in
            [("1.4.2", "1"), ("0.4.2", "0.4"), ("0.0.2", "0.0.2"), ("0.38.0+x", "0.38")]
        {
            assert_eq!(compatible(version), expected);
        }
    }
}
