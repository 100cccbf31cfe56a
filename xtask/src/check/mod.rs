//! `cargo xtask check`: the rules of the repository, one file each.
//!
//! Every step runs, even after another has failed, so that one call shows everything there is to
//! mend. Cheap steps come first.

mod deny;
mod dependencies;
mod floors;
mod formatting;
mod lints;
mod manifests;
mod source_files;
mod spdx;
mod words;

use std::io::{self, Write};
use std::process::Command;
use std::time::Instant;

use crate::workspace::Workspace;

/// Whether every step passed.
pub(crate) fn run(workspace: &Workspace) -> bool {
    let mut failed = Vec::new();
    for step in steps(workspace) {
        print!("{:<28} ", step.name);
        // Shows which step is under way; a terminal that is gone will be noticed later.
        let _ = io::stdout().flush();
        let start = Instant::now();
        let found = (step.run)(workspace);
        let seconds = start.elapsed().as_secs_f64();
        match found {
            Found::Nothing => println!("ok      {seconds:6.1} s"),
            Found::Skipped(why) => println!("not run: {why}"),
            Found::Problems(problems) => {
                println!("FAILED  {seconds:6.1} s\n\n{}\n", indent(&problems));
                failed.push(step.name);
            }
        }
    }
    if failed.is_empty() {
        println!("\neverything that ran is in order");
    } else {
        println!("\nfailed: {}", failed.join(", "));
    }
    failed.is_empty()
}

/// What a step found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Problems(String),
    /// The step could not look, and why.
    Skipped(String),
}

impl Found {
    /// What a program said, if it failed.
    fn by(command: &mut Command) -> Self {
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => {
                let program = command.get_program().to_string_lossy();
                return Self::Problems(format!("`{program}` could not be started: {error}"));
            }
        };
        if output.status.success() {
            return Self::Nothing;
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        Self::Problems(format!("{stdout}{stderr}\n({})", output.status))
    }
}

impl From<Vec<String>> for Found {
    fn from(problems: Vec<String>) -> Self {
        if problems.is_empty() { Self::Nothing } else { Self::Problems(problems.join("\n")) }
    }
}

impl From<crate::Result<Vec<String>>> for Found {
    fn from(problems: crate::Result<Vec<String>>) -> Self {
        problems.map_or_else(Self::Problems, Self::from)
    }
}

struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Found,
}

fn steps(workspace: &Workspace) -> Vec<Step> {
    let mut steps = vec![
        Step { name: "formatting", run: formatting::check },
        Step { name: "floors", run: floors::check },
        Step { name: "source files, driver lists", run: source_files::check },
        Step { name: "manifests and toolchain", run: manifests::check },
        Step { name: "forbidden words", run: words::check },
        Step { name: "dependencies, licences", run: dependencies::check },
        Step { name: "cargo deny", run: deny::check },
        Step { name: "clippy", run: lints::clippy },
    ];
    if lints::have_default_features(workspace) {
        steps.push(Step { name: "clippy, no features", run: lints::clippy_no_features });
    }
    if lints::have_features(workspace) {
        steps.push(Step { name: "clippy, all features", run: lints::clippy_all_features });
    }
    steps.push(Step { name: "documentation", run: lints::documentation });
    steps
}

fn indent(text: &str) -> String {
    let lines: Vec<String> = text
        .trim()
        .lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("    {line}") })
        .collect();
    lines.join("\n")
}
