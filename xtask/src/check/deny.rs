//! What `cargo deny` says, where it is installed.
//!
//! The rules that must hold everywhere are also in `dependencies`, which needs no tool.

use super::Found;
use crate::workspace::{Workspace, cargo};

pub(super) fn check(workspace: &Workspace) -> Found {
    let version = cargo(workspace).args(["deny", "--version"]).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Found::Skipped(
            "cargo-deny is not installed: `cargo install --locked cargo-deny` brings it".to_owned(),
        );
    }
    Found::by(cargo(workspace).args(["deny", "--all-features", "check"]).args(SECTIONS))
}

const SECTIONS: [&str; 3] = ["bans", "licenses", "sources"];
