//! A crate uses only crates of lower floors.
//!
//! The table below is the architecture: what stands on the same floor never sees each other. A new
//! crate is an error until it has its place here.

use super::Found;
use crate::workspace::{Dependency, Member, Package, Workspace};

/// Every crate under `crates/`, and the floor it stands on.
const FLOORS: &[(&str, u8)] = &[
    ("switchboard-cli", 5),
    ("switchboard-console", 4),
    ("switchboard", 3),
    ("switchboard-backend", 2),
    ("switchboard-cache", 2),
    ("switchboard-database", 2),
    ("switchboard-storage", 2),
    ("switchboard-log", 2),
    ("switchboard-mail", 2),
    ("switchboard-notification", 2),
    ("switchboard-queue", 2),
    ("switchboard-storage", 2),
    ("switchboard-config", 1),
    ("switchboard-provider", 1),
    (TESTKIT, 1),
    ("switchboard-core", 0),
];

/// What tests may use from any floor.
const TESTKIT: &str = "switchboard-testkit";

pub(super) fn check(workspace: &Workspace) -> Found {
    problems(&workspace.packages).into()
}

fn problems(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let Some(member) = &package.member else { continue };
        let local = member.dependencies.iter().filter(|dependency| dependency.is_local);
        if member.folder.starts_with("crates") {
            problems.extend(check_crate(&package.name, member, local));
        } else if member.folder.starts_with("examples") {
            let private = local.filter(|dependency| !is_public(packages, &dependency.name));
            problems.extend(private.map(|dependency| {
                format!(
                    "{} is an example and uses {}, which an application could not: an example \
                     uses only what is published",
                    package.name, dependency.name
                )
            }));
        } else if member.folder.starts_with("xtask") {
            problems.extend(local.map(|dependency| {
                format!(
                    "xtask uses {}: it checks the product, so it must build without it",
                    dependency.name
                )
            }));
        } else {
            problems.push(format!(
                "{} is in {}: crates live in crates/ or examples/",
                package.name,
                member.folder.display()
            ));
        }
    }
    problems
}

fn check_crate<'a>(
    name: &str,
    member: &Member,
    local: impl Iterator<Item = &'a Dependency>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if !member.folder.ends_with(name) {
        problems.push(format!(
            "{name} is in {}: a crate's folder is called like the crate",
            member.folder.display()
        ));
    }
    let Some(floor) = floor_of(name) else {
        problems.push(format!(
            "{name} has no floor: give it its place in FLOORS in xtask/src/check/floors.rs"
        ));
        return problems;
    };
    for dependency in local {
        if dependency.is_dev && dependency.name == TESTKIT {
            continue;
        }
        match floor_of(&dependency.name) {
            Some(other) if other < floor => {}
            Some(other) => problems.push(format!(
                "{name} (floor {floor}) uses {} (floor {other}): a crate uses only lower floors; \
                 what joins two subsystems is a bridge and lives in `switchboard`",
                dependency.name
            )),
            None => problems
                .push(format!("{name} uses {}, which is no crate of the product", dependency.name)),
        }
    }
    problems
}

fn floor_of(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(other, _)| *other == name).map(|(_, floor)| *floor)
}

fn is_public(packages: &[Package], name: &str) -> bool {
    let of_this_name = packages.iter().filter(|package| package.name == name);
    let mut members = of_this_name.filter_map(|package| package.member.as_ref());
    members.any(|member| member.folder.starts_with("crates") && member.is_published)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_may_use_lower_floors() {
        check(
            &[
                crate_with("switchboard-core", &[]),
                crate_with("switchboard-cache", &["switchboard-core", "switchboard-config"]),
                crate_with("switchboard", &["switchboard-cache", "switchboard-core"]),
            ],
            &[],
        );
    }

    #[test]
    fn subsystems_never_use_each_other() {
        check(
            &[crate_with("switchboard-queue", &["switchboard-database"])],
            &["switchboard-queue (floor 2) uses switchboard-database (floor 2)"],
        );
    }

    #[test]
    fn a_crate_may_not_use_a_higher_floor() {
        check(
            &[crate_with("switchboard-core", &["switchboard-config"])],
            &["switchboard-core (floor 0) uses switchboard-config (floor 1)"],
        );
    }

    #[test]
    fn tests_may_use_the_testkit_from_any_floor_but_the_product_may_not() {
        let mut tested = crate_with("switchboard-core", &[TESTKIT]);
        check(
            std::slice::from_ref(&tested),
            &["switchboard-core (floor 0) uses switchboard-testkit (floor 1)"],
        );
        tested.member.as_mut().unwrap().dependencies[0].is_dev = true;
        check(&[tested], &[]);
    }

    #[test]
    fn tests_may_not_use_another_subsystem() {
        let mut tested = crate_with("switchboard-cache", &["switchboard-queue"]);
        tested.member.as_mut().unwrap().dependencies[0].is_dev = true;
        check(&[tested], &["switchboard-cache (floor 2) uses switchboard-queue (floor 2)"]);
    }

    #[test]
    fn a_crate_from_a_registry_has_no_floor() {
        let mut user = crate_with("switchboard-core", &["serde"]);
        user.member.as_mut().unwrap().dependencies[0].is_local = false;
        check(&[user], &[]);
    }

    #[test]
    fn an_unknown_crate_is_told_where_the_table_is() {
        check(&[crate_with("switchboard-search", &[])], &["FLOORS in xtask/src/check/floors.rs"]);
    }

    #[test]
    fn a_folder_is_called_like_its_crate() {
        let mut moved = crate_with("switchboard-core", &[]);
        moved.member.as_mut().unwrap().folder = "crates/core".into();
        check(&[moved], &["switchboard-core is in crates/core"]);
    }

    #[test]
    fn an_example_uses_only_published_crates() {
        let mut example = crate_with("third-party-driver", &["switchboard-cache", "secret"]);
        example.member.as_mut().unwrap().folder = "examples/third-party-driver".into();
        let mut secret = crate_with("secret", &[]);
        secret.member.as_mut().unwrap().folder = "examples/secret".into();
        check(
            &[example, secret, crate_with("switchboard-cache", &[])],
            &["third-party-driver is an example and uses secret"],
        );
    }

    #[test]
    fn xtask_builds_without_the_product() {
        let mut xtask = crate_with("xtask", &["switchboard-core"]);
        xtask.member.as_mut().unwrap().folder = "xtask".into();
        check(&[xtask], &["xtask uses switchboard-core"]);
    }

    /// Each problem found holds the expected part, in order.
    fn check(packages: &[Package], expected: &[&str]) {
        let found = problems(packages);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}\ndoes not hold\n{expected}");
        }
    }

    fn crate_with(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|name| Dependency {
            name: (*name).to_owned(),
            is_dev: false,
            is_local: true,
        });
        Package {
            name: name.to_owned(),
            member: Some(Member {
                folder: format!("crates/{name}").into(),
                dependencies: dependencies.collect(),
                is_published: true,
                ..Member::default()
            }),
            ..Package::default()
        }
    }
}
