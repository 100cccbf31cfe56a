//! What each test program said: where it is, which of its tests failed, and whether that is all of it.
//!
//! Read from what `cargo test` prints, line by line.

use super::counts;

/// The test programs of one call of `cargo test`, in their order.
#[derive(Debug, Default)]
pub(super) struct Programs {
    all: Vec<Program>,
    /// Something failed that no test can be named for.
    is_unexplained: bool,
}

/// One test program. The tests in documentation are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// Where it is, relative to where cargo was called.
    pub(super) path: String,
    pub(super) failed: Vec<String>,
    /// How many failed by its own closing line.
    counted: Option<u64>,
}

impl Programs {
    /// Hears the next line, without its colours and its end.
    pub(super) fn add(&mut self, line: &str) {
        if let Some(path) = started(line) {
            self.all.push(Program { path, ..Program::default() });
        } else if line.trim_start().starts_with("Doc-tests ") {
            self.all.push(Program::default());
        } else if line.starts_with("error: doctest failed") {
            self.is_unexplained = true;
        } else if let Some(program) = self.all.last_mut() {
            self.is_unexplained |= line.starts_with("error: test failed") && !program.is_told();
            program.add(line);
        }
    }

    /// Those with tests that failed, if these tests are all that failed.
    pub(super) fn with_failures(&self) -> Option<Vec<&Program>> {
        let failed: Vec<_> = self.all.iter().filter(|program| !program.failed.is_empty()).collect();
        let is_told = failed.iter().all(|program| program.is_told());
        (is_told && !self.is_unexplained && !failed.is_empty()).then_some(failed)
    }
}

impl Program {
    /// One that came to its end, and in which these tests failed.
    #[cfg(test)]
    pub(super) fn failed(path: &str, failed: Vec<String>) -> Self {
        Self { path: path.to_owned(), counted: u64::try_from(failed.len()).ok(), failed }
    }

    fn add(&mut self, line: &str) {
        if let Some(closing) = line.strip_prefix("test result: ") {
            self.counted = counts(closing).find(|(_, of)| *of == "failed").map(|(count, _)| count);
        }
        let failed = line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... FAILED"));
        if let Some(name) = failed {
            self.failed.push(name.trim_end_matches(" - should panic").to_owned());
        }
    }

    /// Whether it came to its end, and named each of the tests that failed.
    fn is_told(&self) -> bool {
        let named = u64::try_from(self.failed.len()).ok();
        !self.path.is_empty() && named != Some(0) && self.counted == named
    }
}

/// The path in `Running unittests src/lib.rs (target/debug/deps/core-0123456789abcdef)`.
fn started(line: &str) -> Option<String> {
    let (_, path) = line.trim_start().strip_prefix("Running ")?.rsplit_once(" (")?;
    path.strip_suffix(')').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_failed_are_told_with_their_programs() {
        let programs = read(
            "     Running unittests src/lib.rs (target/debug/deps/core-01)
test a ... ok
test result: ok. 1 passed; 0 failed; 0 ignored
     Running tests/chain/main.rs (target/debug/deps/chain-02)
test b::c ... FAILED
test d - should panic ... FAILED
test e ... ok
test result: FAILED. 1 passed; 2 failed; 0 ignored
error: test failed, to rerun pass `-p core --test chain`
   Doc-tests core
test result: ok. 3 passed; 0 failed; 0 ignored
error: 1 target failed:
    `-p core --test chain`",
        );
        let [program] = programs.with_failures().unwrap()[..] else { panic!("{programs:?}") };
        assert_eq!(program.path, "target/debug/deps/chain-02");
        assert_eq!(program.failed, ["b::c", "d"]);
    }

    #[test]
    fn colours_change_nothing() {
        let programs = read(
            "\u{1b}[1m\u{1b}[92m     Running\u{1b}[0m unittests src/lib.rs (deps/core-01)
test a ... \u{1b}[31mFAILED\u{1b}[m
test result: \u{1b}[31mFAILED\u{1b}[m. 0 passed; 1 failed; 0 ignored
\u{1b}[1m\u{1b}[91merror\u{1b}[0m: test failed, to rerun pass `--lib`",
        );
        assert_eq!(programs.with_failures().unwrap()[0].failed, ["a"]);
    }

    #[test]
    fn where_nothing_failed_nothing_is_told() {
        let quiet = "     Running unittests src/lib.rs (deps/core-01)
test a ... ok
test result: ok. 1 passed; 0 failed; 0 ignored";
        is_left(quiet);
        is_left("error: could not compile `core` (lib test) due to 1 previous error");
    }

    #[test]
    fn a_program_that_broke_off_is_not_explained_by_the_tests_it_named() {
        is_left(
            "     Running unittests src/lib.rs (deps/core-01)
test a ... FAILED
error: test failed, to rerun pass `--lib`",
        );
    }

    #[test]
    fn a_program_that_failed_after_its_tests_had_passed_is_not_explained_by_those_of_another() {
        is_left(&format!(
            "     Running unittests src/lib.rs (deps/core-01)
test a ... ok
test result: ok. 1 passed; 0 failed; 0 ignored
error: test failed, to rerun pass `--lib`
{ONE_FAILED}"
        ));
    }

    #[test]
    fn a_test_that_nobody_named_is_not_explained_by_another() {
        is_left(
            "     Running unittests src/lib.rs (deps/core-01)
test a ... FAILED
test result: FAILED. 0 passed; 2 failed; 0 ignored",
        );
    }

    #[test]
    fn a_test_in_documentation_that_failed_is_not_explained_by_others() {
        is_left(&format!(
            "{ONE_FAILED}
   Doc-tests core
test src/lib.rs - (line 7) ... FAILED
test result: FAILED. 0 passed; 1 failed; 0 ignored
error: doctest failed, to rerun pass `--doc`"
        ));
        is_left(
            "   Doc-tests core
test src/lib.rs - (line 7) ... FAILED
test result: FAILED. 0 passed; 1 failed; 0 ignored",
        );
    }

    const ONE_FAILED: &str = "     Running unittests src/lib.rs (deps/other-01)
test a ... FAILED
test result: FAILED. 0 passed; 1 failed; 0 ignored
error: test failed, to rerun pass `--lib`";

    fn is_left(output: &str) {
        let programs = read(output);
        assert!(programs.with_failures().is_none(), "{programs:?}");
    }

    fn read(output: &str) -> Programs {
        let mut programs = Programs::default();
        output.lines().for_each(|line| programs.add(&super::super::plain(line)));
        programs
    }
}
