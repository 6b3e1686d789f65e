//! Which crate may see which: the direction of dependencies drawn in ARCHITECTURE.md. A new arrow is
//! a decision and gets an ADR. For the pure crates the list of outside crates is exact as well.

use std::collections::BTreeSet;

use super::{Finding, Repository};
use crate::packages::Package;

/// What one crate of the workspace may depend on within the workspace.
struct Room {
    name: &'static str,
    sees: &'static [&'static str],
    /// What its tests may see beyond that.
    tests_see: &'static [&'static str],
}

const fn room(name: &'static str, sees: &'static [&'static str]) -> Room {
    Room { name, sees, tests_see: &[] }
}

const ROOMS: &[Room] = &[
    room("flux-model", &[]),
    room("flux-core", &["flux-model"]),
    room("flux-store", &["flux-model"]),
    room("flux-store-sqlite", &["flux-model", "flux-store"]),
    room("flux-objects", &["flux-model"]),
    room("flux-egress", &["flux-model"]),
    room("flux-data", &["flux-model"]),
    room("flux-functions", &["flux-model"]),
    room("flux-triggers", &["flux-model"]),
    Room {
        name: "flux-nodes",
        sees: &["flux-egress", "flux-model", "flux-triggers"],
        tests_see: &["flux-core"],
    },
    Room {
        name: "flux-engine",
        sees: &[
            "flux-core",
            "flux-data",
            "flux-egress",
            "flux-functions",
            "flux-model",
            "flux-nodes",
            "flux-objects",
            "flux-store",
            "flux-triggers",
        ],
        tests_see: &["flux-store-sqlite"],
    },
    Room {
        name: "flux-http",
        sees: &[
            "flux-core",
            "flux-egress",
            "flux-engine",
            "flux-model",
            "flux-nodes",
            "flux-store",
            "flux-triggers",
        ],
        tests_see: &["flux-objects"],
    },
    room(
        "flux",
        &[
            "flux-core",
            "flux-data",
            "flux-egress",
            "flux-engine",
            "flux-functions",
            "flux-http",
            "flux-model",
            "flux-nodes",
            "flux-objects",
            "flux-store",
            "flux-store-sqlite",
        ],
    ),
    room("flux-sim", &["flux-core", "flux-model", "flux-store"]),
    room("flux-bench", &["flux-model", "flux-store", "flux-store-sqlite"]),
    room("xtask", &["flux-model"]),
];

/// The outside crates of the pure crates: none of them does I/O or has an async runtime.
const PURE: &[(&str, &[&str])] = &[
    (
        "flux-model",
        &[
            "chrono",
            "hex",
            "indexmap",
            "schemars",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "sha2",
            "thiserror",
        ],
    ),
    (
        "flux-core",
        &[
            "base64",
            "chrono",
            "chrono-tz",
            "hex",
            "indexmap",
            "percent-encoding",
            "schemars",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ],
    ),
];

pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let ours: Vec<&Package> = repository.packages.iter().filter(|package| package.is_ours()).collect();
    let names: BTreeSet<&str> = ours.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in ours {
        match ROOMS.iter().find(|room| room.name == package.name) {
            Some(room) => findings.extend(check_arrows(room, package, &names)),
            None => {
                findings.push(Finding::about(&package.name, "is not in the table of xtask/src/tidy/edges.rs"))
            }
        }
        if let Some((_, allowed)) = PURE.iter().find(|(name, _)| *name == package.name) {
            let outside = &uses(package, For::Product) - &names;
            findings.extend(compare(&package.name, "is pure and may not use", outside, allowed));
        }
    }
    findings
}

fn check_arrows(room: &Room, package: &Package, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let product = &uses(package, For::Product) & ours;
    let tests = &(&uses(package, For::Tests) & ours) - &product;
    let mut findings = compare(room.name, "may not see", product, room.sees);
    findings.extend(compare(room.name, "may not see, even in tests,", tests, room.tests_see));
    findings
}

/// What a dependency is for.
#[derive(Clone, Copy)]
enum For {
    Product,
    Tests,
}

/// The names of the crates that a manifest asks for.
fn uses(package: &Package, purpose: For) -> BTreeSet<&str> {
    let wanted = package.dependencies.iter().filter(|dependency| match purpose {
        For::Product => !dependency.is_for_tests(),
        For::Tests => dependency.is_for_tests(),
    });
    wanted.map(|dependency| dependency.name.as_str()).collect()
}

/// The list is exact: what is not on it is a finding, and so is a line that nothing uses.
fn compare(crate_name: &str, refusal: &str, found: BTreeSet<&str>, allowed: &[&str]) -> Vec<Finding> {
    let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
    let new = found.difference(&allowed).map(|name| format!("{refusal} {name}"));
    let stale = allowed.difference(&found).map(|name| format!("does not use {name}: take it off the list"));
    new.chain(stale).map(|message| Finding::about(crate_name, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::{Dependency, invented};

    fn check_packages(packages: Vec<Package>, expected: &[&str]) {
        let repository = Repository { packages, ..Repository::default() };
        assert_eq!(super::super::said(&check(&repository)), expected);
    }

    #[test]
    fn arrows_against_the_direction_and_unknown_crates_are_found() {
        let packages = vec![
            invented("flux-model", "0.1.0", PURE[0].1),
            invented("flux-store", "0.1.0", &["flux-model", "tokio"]),
            invented("flux-egress", "0.1.0", &["flux-model", "flux-store"]),
            invented("flux-new", "0.1.0", &[]),
        ];
        let unknown = "flux-new: is not in the table of xtask/src/tidy/edges.rs";
        check_packages(packages, &["flux-egress: may not see flux-store", unknown]);
    }

    #[test]
    fn tests_may_see_only_what_their_room_says() {
        let store = |kind: Option<&str>| {
            let dependency = |name: &str, kind: Option<&str>| Dependency {
                name: name.to_owned(),
                kind: kind.map(str::to_owned),
            };
            let dependencies = vec![dependency("flux-model", None), dependency("flux-store", kind)];
            let objects = Package { dependencies, ..invented("flux-objects", "0.1.0", &[]) };
            let model = invented("flux-model", "0.1.0", PURE[0].1);
            vec![model, objects, invented("flux-store", "0.1.0", &["flux-model"])]
        };
        check_packages(store(Some("dev")), &["flux-objects: may not see, even in tests, flux-store"]);
        check_packages(store(None), &["flux-objects: may not see flux-store"]);
    }

    #[test]
    fn the_lists_are_exact() {
        let (_, listed) = PURE[0];
        let mut dependencies = listed.to_vec();
        check_packages(vec![invented("flux-model", "0.1.0", &dependencies)], &[]);
        dependencies[0] = "tokio";
        let stale = format!("flux-model: does not use {}: take it off the list", listed[0]);
        let expected = ["flux-model: is pure and may not use tokio", stale.as_str()];
        check_packages(vec![invented("flux-model", "0.1.0", &dependencies)], &expected);
    }
}
