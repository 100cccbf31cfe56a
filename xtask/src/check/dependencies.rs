//! Nothing stands on a banned crate, on an unknown source, or on a licence we cannot take.
//!
//! Reads the same `deny.toml` as `cargo deny`, and only the parts of it that are used here. What
//! `cargo deny` also does (reading licence texts, versions of bans) is left to it.

use super::{Found, spdx};
use crate::Result;
use crate::workspace::{Package, Workspace, parse_toml};

pub(super) fn check(workspace: &Workspace) -> Found {
    let rules = parse_toml(&workspace.root.join("deny.toml")).and_then(|file| Rules::read(&file));
    rules.map(|rules| problems(&workspace.packages, &rules)).into()
}

/// What `deny.toml` says.
#[derive(Debug, Default)]
struct Rules {
    banned: Vec<Ban>,
    licenses: Vec<String>,
    registries: Vec<String>,
}

#[derive(Debug)]
struct Ban {
    name: String,
    reason: String,
}

impl Rules {
    fn read(file: &toml::Table) -> Result<Self> {
        let bans = list(file, "bans", "deny")?;
        Ok(Self {
            banned: bans.iter().map(Ban::read).collect::<Result<_>>()?,
            licenses: texts(file, "licenses", "allow")?,
            registries: texts(file, "sources", "allow-registry")?,
        })
    }
}

impl Ban {
    fn read(entry: &toml::Value) -> Result<Self> {
        let text = |key| entry.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        match (text("crate"), text("reason")) {
            (Some(name), Some(reason)) => Ok(Self { name, reason }),
            _ => Err(format!(
                "deny.toml: a ban has a `crate` and a `reason`, this has not: {entry:?}"
            )),
        }
    }
}

fn problems(packages: &[Package], rules: &Rules) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let mut report = |what: String| {
            let Package { name, version, .. } = package;
            problems.push(format!("{name} {version} {what} (see `cargo tree -i {name}`)"));
        };
        if let Some(ban) = rules.banned.iter().find(|ban| ban.name == package.name) {
            report(format!("is banned: {}", ban.reason));
        }
        if let Some(source) = &package.source
            && !is_allowed(source, rules)
        {
            report(format!("comes from {source}, which deny.toml does not allow"));
        }
        match &package.license {
            None => report("names no licence".to_owned()),
            Some(license) => match spdx::is_satisfied(license, &rules.licenses) {
                Ok(true) => {}
                Ok(false) => report(format!("is under {license}, which deny.toml does not allow")),
                Err(error) => report(format!("is under \"{license}\", which {error}")),
            },
        }
    }
    problems
}

fn is_allowed(source: &str, rules: &Rules) -> bool {
    let registry = source.strip_prefix("registry+");
    registry.is_some_and(|registry| rules.registries.iter().any(|allowed| allowed == registry))
}

fn list<'a>(file: &'a toml::Table, section: &str, key: &str) -> Result<&'a Vec<toml::Value>> {
    file.get(section)
        .and_then(|section| section.get(key))
        .and_then(toml::Value::as_array)
        .ok_or_else(|| format!("deny.toml has no list `{key}` in [{section}]"))
}

fn texts(file: &toml::Table, section: &str, key: &str) -> Result<Vec<String>> {
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    let all = list(file, section, key)?.iter().map(text).collect::<Option<_>>();
    all.ok_or_else(|| format!("deny.toml: `{key}` in [{section}] is a list of strings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_crate_is_accepted() {
        assert_eq!(problems(&[package("serde", "MIT OR Apache-2.0")], &rules()), [""; 0]);
    }

    #[test]
    fn a_banned_crate_is_named_with_the_reason() {
        assert_eq!(
            problems(&[package("openssl-sys", "MIT")], &rules()),
            ["openssl-sys 1.0.0 is banned: rustls is used (see `cargo tree -i openssl-sys`)"]
        );
    }

    #[test]
    fn a_licence_that_is_not_listed_is_refused() {
        check(
            package("x", "GPL-3.0-only"),
            "is under GPL-3.0-only, which deny.toml does not allow",
        );
        check(package("x", "MIT AND"), "is under \"MIT AND\", which");
        check(Package { license: None, ..package("x", "") }, "names no licence");
    }

    #[test]
    fn another_source_is_refused() {
        let git = Some("git+https://example.com/x".to_owned());
        check(
            Package { source: git, ..package("x", "MIT") },
            "comes from git+https://example.com/x",
        );
    }

    #[test]
    fn a_folder_of_this_repository_needs_no_source() {
        assert_eq!(problems(&[Package { source: None, ..package("x", "MIT") }], &rules()), [""; 0]);
    }

    #[test]
    fn a_ban_needs_a_reason() {
        let file = "[bans]\ndeny = [{ crate = 'x' }]".parse().unwrap();
        assert!(Rules::read(&file).unwrap_err().contains("reason"));
    }

    fn check(package: Package, expected: &str) {
        let found = problems(&[package], &rules());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }

    fn rules() -> Rules {
        let file = "
            [bans]
            deny = [{ crate = 'openssl-sys', reason = 'rustls is used' }]
            [licenses]
            allow = ['MIT']
            [sources]
            allow-registry = ['https://registry']
        ";
        Rules::read(&file.parse().unwrap()).unwrap()
    }

    fn package(name: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: Some(license.to_owned()),
            source: Some("registry+https://registry".to_owned()),
            member: None,
        }
    }
}
