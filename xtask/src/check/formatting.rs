//! Every Rust file is as rustfmt writes it.
//!
//! `cargo fmt` finds files by following `mod`, and so misses those declared inside a macro; this
//! hands rustfmt every file git knows.

use std::collections::BTreeSet;
use std::process::Command;

use super::Found;
use crate::workspace::{Workspace, tool};

pub(super) fn check(workspace: &Workspace) -> Found {
    let files = workspace.files.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let mut command = Command::new(tool("rustfmt"));
    command.args(["--check", "--files-with-diff", "--edition", "2024"]);
    let output = match command.current_dir(&workspace.root).args(files).output() {
        Ok(output) => output,
        Err(error) => return Found::Problems(format!("rustfmt could not be started: {error}")),
    };
    if output.status.success() {
        return Found::Nothing;
    }
    // A file is named once for itself and once for each file above it that declares it.
    let root = format!("{}/", workspace.root.display());
    let stdout = String::from_utf8_lossy(&output.stdout);
    let files: BTreeSet<&str> =
        stdout.lines().map(|line| line.strip_prefix(&root).unwrap_or(line)).collect();
    let files: Vec<&str> = files.into_iter().collect();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if files.is_empty() {
        return Found::Problems(stderr.into_owned());
    }
    Found::Problems(format!(
        "not formatted; mend it with\n\nrustfmt --edition 2024 {}\n\n{stderr}",
        files.join(" ")
    ))
}
