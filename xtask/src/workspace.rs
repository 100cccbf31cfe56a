//! What cargo and git know about this repository, read once.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Result;

/// The repository: its crates, everything they stand on, and its files.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Members and all their dependencies, with every feature on, for every platform.
    pub(crate) packages: Vec<Package>,
    /// What git tracks or would track, relative to the root.
    pub(crate) files: Vec<PathBuf>,
}

impl Workspace {
    /// The workspace around the current directory.
    pub(crate) fn load() -> Result<Self> {
        let metadata = metadata()?;
        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let members: BTreeSet<&str> = list(&metadata["workspace_members"]).map(text).collect();
        let packages = list(&metadata["packages"])
            .map(|package| Package::read(package, &root, &members))
            .collect::<Result<_>>()?;
        let files = files(&root)?;
        Ok(Self { root, packages, files })
    }

    /// The crates of this repository.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.packages.iter().filter_map(|package| package.member.as_ref())
    }

    /// The text of a file, by its path relative to the root.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.root.join(path);
        fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
    }
}

/// One crate, of this repository or not.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it was downloaded from; `None` for a folder on this disk.
    pub(crate) source: Option<String>,
    /// What only matters about crates of this repository.
    pub(crate) member: Option<Member>,
}

/// What only matters about crates of this repository.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// The crate's folder, relative to the root.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: toml::Table,
    pub(crate) description: Option<String>,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// The first file of each library and program, relative to the root.
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) is_published: bool,
}

/// One line of a crate's list of dependencies.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
    /// Whether it is a folder on this disk, and so a crate of this repository.
    pub(crate) is_local: bool,
}

impl Package {
    fn read(package: &Value, root: &Path, members: &BTreeSet<&str>) -> Result<Self> {
        let is_member = members.contains(text(&package["id"]));
        Ok(Self {
            name: text(&package["name"]).to_owned(),
            version: text(&package["version"]).to_owned(),
            license: package["license"].as_str().map(str::to_owned),
            source: package["source"].as_str().map(str::to_owned),
            member: if is_member { Some(Member::read(package, root)?) } else { None },
        })
    }
}

impl Member {
    fn read(package: &Value, root: &Path) -> Result<Self> {
        let manifest = Path::new(text(&package["manifest_path"]));
        let folder = manifest.parent().unwrap_or(root);
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        Ok(Self {
            folder: relative(folder),
            manifest: parse_toml(manifest)?,
            description: package["description"].as_str().map(str::to_owned),
            features: package["features"]
                .as_object()
                .into_iter()
                .flat_map(|features| features.keys().cloned())
                .collect(),
            dependencies: list(&package["dependencies"])
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]).to_owned(),
                    is_dev: dependency["kind"] == "dev",
                    is_local: dependency["path"].is_string(),
                })
                .collect(),
            sources: list(&package["targets"])
                .map(|target| relative(Path::new(text(&target["src_path"]))))
                .collect(),
            // An absent list means every registry, an empty one means none.
            is_published: list(&package["publish"]).next().is_some()
                || package["publish"].is_null(),
        })
    }
}

/// A call of cargo at the root of the workspace.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(&workspace.root);
    command
}

/// The program of the toolchain this command was built with, so that one call of `cargo xtask`
/// uses one toolchain.
pub(crate) fn tool(name: &str) -> PathBuf {
    let beside_cargo = cargo_program().with_file_name(name);
    if beside_cargo.is_file() { beside_cargo } else { PathBuf::from(name) }
}

/// A TOML file, as its table.
pub(crate) fn parse_toml(path: &Path) -> Result<toml::Table> {
    fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?
        .parse()
        .map_err(|error| format!("{} is not valid TOML: {error}", path.display()))
}

fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn metadata() -> Result<Value> {
    let mut command = Command::new(cargo_program());
    command.args(["metadata", "--all-features", "--format-version", "1"]);
    let output = output_of(&mut command, "`cargo metadata`")?;
    serde_json::from_slice(&output)
        .map_err(|error| format!("`cargo metadata` did not print JSON: {error}"))
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = output_of(command.current_dir(root), "`git ls-files`")?;
    let names: BTreeSet<PathBuf> = String::from_utf8_lossy(&output)
        .split_terminator('\0')
        .map(PathBuf::from)
        // Deleted but not yet committed.
        .filter(|path| root.join(path).is_file())
        .collect();
    Ok(names.into_iter().collect())
}

fn output_of(command: &mut Command, name: &str) -> Result<Vec<u8>> {
    let output =
        command.output().map_err(|error| format!("{name} could not be started: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} failed: {}", stderr.trim()));
    }
    Ok(output.stdout)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
