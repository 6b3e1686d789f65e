//! What cargo knows of the workspace and everything it is built from.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The platform whose dependencies are looked at: the one that is released. Naming it makes the
/// checks say the same on every machine.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// One version of one crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of its manifest.
    pub(crate) license: Option<String>,
    /// Where it comes from; nowhere if it is part of this workspace.
    pub(crate) source: Option<String>,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; nothing for an ordinary one.
    pub(crate) kind: Option<String>,
}

impl Package {
    /// Whether it is part of this workspace.
    pub(crate) fn is_ours(&self) -> bool {
        self.source.is_none()
    }
}

impl Dependency {
    /// Whether only tests need it.
    pub(crate) fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Asks cargo. Needs no network once the dependencies were fetched.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let answer = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM])
        .current_dir(root)
        .output()
        .context("cargo metadata does not run")?;
    ensure!(answer.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&answer.stderr).trim());
    let metadata: Metadata = serde_json::from_slice(&answer.stdout).context("cargo metadata")?;
    Ok(metadata.packages)
}

/// An invented package of this workspace with these ordinary dependencies.
#[cfg(test)]
pub(crate) fn invented(name: &str, version: &str, dependencies: &[&str]) -> Package {
    let dependency = |name: &&str| Dependency { name: (*name).to_owned(), kind: None };
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        license: Some("Apache-2.0".to_owned()),
        source: None,
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}
