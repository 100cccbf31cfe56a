//! The second run of tests that failed: each alone, in the program it failed in.
//!
//! One that passes alone is unsteady: it failed by chance, or for what ran beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::programs::Program;

/// Where cargo runs each test program, by where the program is.
#[derive(Debug, Default)]
pub(super) struct Folders(BTreeMap<PathBuf, PathBuf>);

impl Folders {
    /// Read from what `cargo test --no-run --message-format=json` prints.
    pub(super) fn read(output: &str) -> Self {
        let messages = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        Self(messages.filter_map(|message: Value| folder(&message)).collect())
    }
}

/// A program that was built, and the folder of its crate.
fn folder(message: &Value) -> Option<(PathBuf, PathBuf)> {
    let program = message["executable"].as_str()?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some((program.into(), folder.to_owned()))
}

/// The tests of `programs` that pass alone. They are found from `root`, and `prepare` gives a call what
/// `cargo test` was given.
pub(super) fn unsteady(
    programs: &[&Program],
    root: &Path,
    folders: &Folders,
    prepare: impl Fn(Command) -> Command,
) -> Vec<String> {
    let mut unsteady = Vec::new();
    if programs.iter().map(|program| program.failed.len()).sum::<usize>() > TESTS_MAX {
        println!("more than {TESTS_MAX} tests failed, which is no chance: none is run again");
        return unsteady;
    }
    for program in programs {
        let path = root.join(&program.path);
        let Some(folder) = folders.0.get(&path) else { continue };
        for name in &program.failed {
            println!("\nonce more, and alone: {name} ({})", program.path);
            let mut command = Command::new(&path);
            command.current_dir(folder);
            if passes(&mut prepare(command), name) {
                unsteady.push(name.clone());
            }
        }
    }
    unsteady
}

/// Whether the test program that `command` calls runs this one test, and it passes.
fn passes(command: &mut Command, name: &str) -> bool {
    command.args(["--exact", name, "--include-ignored", "--test-threads=1", "--color=never"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let Ok(output) = output.inspect_err(|error| println!("it could not be started: {error}"))
    else {
        return false;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    // A name that no test has is no failure of the program.
    output.status.success() && said.contains("\ntest result: ok. 1 passed; ")
}

/// More than fail by chance.
const TESTS_MAX: usize = 30;

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn the_folder_of_a_program_is_that_of_its_crate() {
        let folders = Folders::read(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/core/Cargo.toml","executable":null}
not JSON
{"reason":"compiler-artifact","manifest_path":"/w/core/Cargo.toml","executable":"/t/deps/core-01"}
{"reason":"build-finished","success":true}"#,
        );
        let core = (PathBuf::from("/t/deps/core-01"), PathBuf::from("/w/core"));
        assert_eq!(folders.0, BTreeMap::from([core]));
    }

    #[test]
    fn a_test_that_passes_alone_is_unsteady() {
        let found = again(&["test::again::tests::passes_where_it_was_prepared"]);
        assert_eq!(found, ["test::again::tests::passes_where_it_was_prepared"]);
    }

    #[test]
    fn a_test_that_fails_again_or_does_not_exist_is_not_unsteady() {
        let found = again(&["test::again::tests::fails_where_it_was_prepared", "no_such_test"]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn where_very_many_fail_none_is_run_again() {
        let found = again(&["test::again::tests::passes_where_it_was_prepared"; TESTS_MAX + 1]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn passes_where_it_was_prepared() {
        let Ok(folder) = env::var(PREPARED) else { return };
        assert_eq!(env::current_dir().unwrap(), Path::new(&folder));
    }

    #[test]
    fn fails_where_it_was_prepared() {
        assert!(env::var(PREPARED).is_err(), "as it was told to");
    }

    /// Of the tests of this program that failed, those that pass alone.
    fn again(failed: &[&str]) -> Vec<String> {
        let path = env::current_exe().unwrap();
        let folder = env::temp_dir().canonicalize().unwrap();
        let folders = Folders(BTreeMap::from([(path.clone(), folder.clone())]));
        let failed = failed.iter().map(|name| (*name).to_owned()).collect();
        let program = Program::failed(path.to_str().unwrap(), failed);
        unsteady(&[&program], Path::new("/"), &folders, |mut command| {
            command.env(PREPARED, &folder);
            command
        })
    }

    const PREPARED: &str = "XTASK_TEST_PREPARED";
}
