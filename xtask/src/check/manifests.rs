//! Every crate is of one make: one toolchain, one set of lints, a description and a licence.

use super::Found;
use crate::Result;
use crate::workspace::{Package, Workspace, parse_toml};

pub(super) fn check(workspace: &Workspace) -> Found {
    let toolchain = || {
        let pinned = parse_toml(&workspace.root.join("rust-toolchain.toml"))?;
        let manifest = parse_toml(&workspace.root.join("Cargo.toml"))?;
        toolchain_problem(&pinned, &manifest)
    };
    let mut problems = match toolchain() {
        Ok(problem) => Vec::from_iter(problem),
        Err(problem) => vec![problem],
    };
    problems.extend(workspace.packages.iter().flat_map(manifest_problems));
    problems.into()
}

fn toolchain_problem(pinned: &toml::Table, manifest: &toml::Table) -> Result<Option<String>> {
    let channel = at(pinned, &["toolchain", "channel"])
        .and_then(toml::Value::as_str)
        .ok_or("rust-toolchain.toml names no toolchain.channel")?;
    let oldest = at(manifest, &["workspace", "package", "rust-version"])
        .and_then(toml::Value::as_str)
        .ok_or("Cargo.toml names no workspace.package.rust-version")?;
    let Some(version) = version(channel) else {
        return Ok(Some(format!(
            "rust-toolchain.toml pins \"{channel}\": it must pin a version, the rust-version of \
             Cargo.toml"
        )));
    };
    if Some(version) == self::version(oldest) {
        return Ok(None);
    }
    Ok(Some(format!(
        "rust-toolchain.toml pins {channel}, Cargo.toml promises rust-version {oldest}: they must \
         be the same, so that what is promised is what is tested"
    )))
}

fn manifest_problems(package: &Package) -> Vec<String> {
    let Some(member) = &package.member else { return Vec::new() };
    let manifest = &member.manifest;
    let inherits = |path: &[&str]| at(manifest, path).and_then(toml::Value::as_bool) == Some(true);
    let rules = [
        (inherits(&["package", "rust-version", "workspace"]), "rust-version.workspace = true"),
        (inherits(&["lints", "workspace"]), "[lints] workspace = true"),
        (member.description.is_some(), "a description"),
        (package.license.is_some(), "license.workspace = true"),
    ];
    rules
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, rule)| format!("{}/Cargo.toml lacks {rule}", member.folder.display()))
        .collect()
}

/// `1.95` and `1.95.0` are the same version; `stable` is none.
fn version(text: &str) -> Option<[u32; 3]> {
    let parts = text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
    match parts[..] {
        [major, minor] => Some([major, minor, 0]),
        [major, minor, patch] => Some([major, minor, patch]),
        _ => None,
    }
}

fn at<'a>(table: &'a toml::Table, path: &[&str]) -> Option<&'a toml::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Member;

    #[test]
    fn a_missing_patch_number_is_zero() {
        assert_eq!(version("1.95"), version("1.95.0"));
        assert_ne!(version("1.95"), version("1.95.1"));
        assert_ne!(version("1.9"), version("1.90"));
    }

    #[test]
    fn a_channel_is_no_version() {
        for text in ["stable", "nightly-2026-01-01", "1", "1.95.0.1", "1.x", ""] {
            assert_eq!(version(text), None, "{text}");
        }
    }

    #[test]
    fn the_pinned_toolchain_is_the_promised_one() {
        assert_eq!(toolchain("1.95.0", "1.95"), None);
        assert!(toolchain("1.96.0", "1.95").unwrap().contains("must be the same"));
        assert!(toolchain("stable", "1.95").unwrap().contains("must pin a version"));
    }

    #[test]
    fn a_complete_manifest_has_no_problems() {
        assert_eq!(manifest_problems(&package(COMPLETE)), [""; 0]);
    }

    #[test]
    fn each_missing_line_is_named_with_its_file() {
        let mut bare = package("[package]\nrust-version = '1.95'\n[lints.rust]\n");
        bare.license = None;
        bare.member.as_mut().unwrap().description = None;
        assert_eq!(
            manifest_problems(&bare),
            [
                "crates/it/Cargo.toml lacks rust-version.workspace = true",
                "crates/it/Cargo.toml lacks [lints] workspace = true",
                "crates/it/Cargo.toml lacks a description",
                "crates/it/Cargo.toml lacks license.workspace = true",
            ]
        );
    }

    fn toolchain(channel: &str, oldest: &str) -> Option<String> {
        let pinned = format!("[toolchain]\nchannel = '{channel}'").parse().unwrap();
        let manifest = format!("[workspace.package]\nrust-version = '{oldest}'").parse().unwrap();
        toolchain_problem(&pinned, &manifest).unwrap()
    }

    fn package(manifest: &str) -> Package {
        Package {
            license: Some("MIT".to_owned()),
            member: Some(Member {
                folder: "crates/it".into(),
                manifest: manifest.parse().unwrap(),
                description: Some("it".to_owned()),
                ..Member::default()
            }),
            ..Package::default()
        }
    }

    const COMPLETE: &str = "[package]\nrust-version.workspace = true\n[lints]\nworkspace = true\n";
}
