//! What the compiler's own tools say: clippy for each set of features that differs, and rustdoc.

use super::Found;
use crate::workspace::{Workspace, cargo};

pub(super) fn clippy(workspace: &Workspace) -> Found {
    clippy_with(workspace, &[])
}

pub(super) fn clippy_no_features(workspace: &Workspace) -> Found {
    clippy_with(workspace, &["--no-default-features"])
}

pub(super) fn clippy_all_features(workspace: &Workspace) -> Found {
    clippy_with(workspace, &["--all-features"])
}

pub(super) fn documentation(workspace: &Workspace) -> Found {
    Found::by(
        cargo(workspace)
            .args(["doc", "--quiet", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Whether leaving out the default features can change anything.
pub(super) fn have_default_features(workspace: &Workspace) -> bool {
    workspace.members().any(|member| member.features.iter().any(|name| name == "default"))
}

/// Whether turning on all features can change anything.
pub(super) fn have_features(workspace: &Workspace) -> bool {
    workspace.members().any(|member| member.features.iter().any(|name| name != "default"))
}

fn clippy_with(workspace: &Workspace, features: &[&str]) -> Found {
    Found::by(
        cargo(workspace)
            .args(["clippy", "--quiet", "--workspace", "--all-targets"])
            .args(features)
            .args(["--", "-D", "warnings"]),
    )
}
