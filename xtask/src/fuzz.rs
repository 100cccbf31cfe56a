//! Runs the fuzz program of the configuration for a while, in release.
//!
//! What it tries and what it checks is the business of `switchboard-config`'s example `fuzz`.

use crate::Result;
use crate::workspace::{Workspace, cargo};

/// Whether no input broke anything; `arguments` are the seconds, and the seed of a run to repeat.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    let (seconds, seed) = match arguments {
        [] => (SECONDS.to_owned(), None),
        [seconds] => (seconds.clone(), None),
        [seconds, seed] => (seconds.clone(), Some(seed)),
        _ => return Err("`fuzz` takes the seconds to run, and a seed".to_owned()),
    };
    if [Some(&seconds), seed].into_iter().flatten().any(|text| text.parse::<u64>().is_err()) {
        return Err(format!("`fuzz` takes whole numbers, but was given {arguments:?}"));
    }
    let folder = workspace.root.join("target/fuzz");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let status = cargo(workspace)
        .args(["run", "--release", "--package", "switchboard-config", "--example", "fuzz", "--"])
        .arg(seconds)
        .arg(folder)
        .args(seed)
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    Ok(status.success())
}

/// How long it runs unless it is told otherwise.
const SECONDS: &str = "30";
