//! The packages of a bundle: resolved, locked and fetched by the pinned Deno when the bundle is
//! made, in a folder named by what was asked for. Nothing is fetched afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};

use super::{FORMAT, PACKAGES, Place, files, publish, read_inside};
use crate::error::DeployError;

/// Files that say which packages a project wants, and where from.
const WISHES: &[&str] = &["package.json", "deno.json", "deno.lock", ".npmrc"];
/// Written by Deno: the versions that were chosen.
const LOCK: &str = "deno.lock";

/// Installs the packages, or finds the folder in which the same wishes were installed.
pub(super) async fn install(
    place: &Place,
    root: &Path,
    imported: &BTreeSet<String>,
) -> Result<PathBuf, DeployError> {
    let mut wishes = Vec::new();
    for name in WISHES {
        let path = root.join(name);
        match read_inside(root, &path) {
            Ok(bytes) => wishes.push((*name, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files(&path, &error)),
        }
    }
    let folder = place.packages().join(name_of(&wishes, imported));
    if folder.join(PACKAGES).is_dir() {
        return Ok(folder);
    }
    let staging = place.staging().map_err(|error| files(&place.data, &error))?;
    let part = staging.path().join("packages");
    let entry = part.join("entry.ts");
    let imports: String = imported.iter().map(|specifier| format!("import {specifier:?};\n")).collect();
    fs::create_dir_all(&part)
        .and_then(|()| wishes.iter().try_for_each(|(name, bytes)| fs::write(part.join(name), bytes)))
        .and_then(|()| fs::write(&entry, imports))
        .map_err(|error| files(&part, &error))?;
    run(place, &part, &entry).await?;
    // Without any package Deno makes no folder, and everything that was asked for is a part of Deno.
    fs::create_dir_all(part.join(PACKAGES))
        .and_then(|()| publish(&part, &folder))
        .map_err(|error| files(&folder, &error))?;
    Ok(folder)
}

async fn run(place: &Place, part: &Path, entry: &Path) -> Result<(), DeployError> {
    // Scripts of packages are not run.
    let output = place
        .deno()
        .env_clear()
        .envs(place.settings.environment.iter().map(|(name, value)| (name, value)))
        .args(["install", "--quiet", "--node-modules-dir=auto", "--entrypoint"])
        .arg(entry)
        .current_dir(part)
        .env("DENO_DIR", place.cache())
        .env("DENO_TLS_CA_STORE", "mozilla,system")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| DeployError::Deno(error.to_string()))?;
    if output.status.success() {
        debug_assert!(part.join(LOCK).is_file(), "deno locks what it installs");
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let own = part.display().to_string();
    Err(DeployError::Packages(said.replace(&own, "").trim().trim_start_matches("error: ").to_owned()))
}

fn name_of(wishes: &[(&str, Vec<u8>)], imported: &BTreeSet<String>) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(FORMAT.as_bytes());
    for (name, bytes) in wishes {
        add(name.as_bytes());
        add(bytes);
    }
    for specifier in imported {
        add(specifier.as_bytes());
    }
    hex::encode(hash.finalize())
}
