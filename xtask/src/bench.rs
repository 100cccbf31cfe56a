//! Runs the benchmarks, which are a workspace of their own: peers are not dependencies of the
//! product.
//!
//! What is measured, and `bench/RESULTS.md`, are the business of `bench/`.

use crate::Result;
use crate::workspace::{Workspace, cargo};

/// Whether the benchmarks ran to their end.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<bool> {
    let manifest = workspace.root.join("bench/Cargo.toml");
    if !manifest.is_file() {
        return Err(format!("there are no benchmarks here: {} does not exist", manifest.display()));
    }
    let status = cargo(workspace)
        .args(["run", "--release", "--manifest-path"])
        .arg(&manifest)
        .arg("--")
        .args(names)
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    Ok(status.success())
}
