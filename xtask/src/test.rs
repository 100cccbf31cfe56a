//! `cargo xtask test`: all tests, with the servers they need.
//!
//! What could not run is said, and never counted as passed. What failed is run once more, alone.

mod again;
mod programs;

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use self::again::Folders;
use self::programs::{Program, Programs};
use crate::Result;
use crate::server::{Server, find_tool};
use crate::services::{SERVICES, Service, TOOLS, Tool};
use crate::workspace::{Workspace, cargo};

/// Whether all tests passed, with every required server. The arguments go to `cargo test`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    let services: Vec<_> = SERVICES.iter().map(|row| (row, Server::find(row))).collect();
    let tools: Vec<_> = TOOLS.iter().map(|row| (row, find_tool(row))).collect();
    println!("servers:\n{}\ntools:\n{}", describe(&services), describe_tools(&tools));

    let mut command = cargo(workspace);
    let missing: Vec<_> = missing(&services).chain(missing_tools(&tools)).collect();
    command.args(cargo_arguments(arguments, &missing));
    let (mut totals, programs, succeeded) =
        stream(prepare(command, &services, &tools), &mut io::stdout())?;
    let failed = if succeeded { None } else { programs.with_failures() };
    if let Some(failed) = failed {
        totals.forgive(again(workspace, arguments, &failed, (&services, &tools))?);
    }
    let succeeded = succeeded || (totals.failed == 0 && !totals.unsteady.is_empty());

    let missing_required = services.iter().any(|(row, found)| row.is_required && found.is_err());
    println!("\nservers:\n{}\ntools:\n{}", describe(&services), describe_tools(&tools));
    if missing_required {
        println!("FAILED: a required server is missing");
    }
    if !succeeded && totals.failed == 0 {
        println!("FAILED: cargo test failed without a failed test; the reason is above");
    }
    println!("{totals}");
    Ok(succeeded && !missing_required)
}

type Found = (&'static Service, Result<Server>);

fn describe(services: &[Found]) -> String {
    services.iter().map(describe_one).collect::<Vec<_>>().join("\n")
}

fn describe_one((row, found): &Found) -> String {
    let Service { name, proves, .. } = row;
    match found {
        Ok(server) => format!("  {name}: {server} (proves {proves})"),
        Err(why) => {
            let need = if row.is_required { "required" } else { "optional" };
            format!("  {name}: NOT RUN, and {proves} not proven ({need}): {why}")
        }
    }
}

type FoundTool = (&'static Tool, Result<PathBuf>);

fn describe_tools(tools: &[FoundTool]) -> String {
    let line = |(Tool { program, proves, .. }, found): &FoundTool| match found {
        Ok(path) => format!("  {program}: {} (proves {proves})", path.display()),
        Err(why) => format!("  {program}: NOT RUN, and {proves} not proven (optional): {why}"),
    };
    tools.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Of the tests that failed, those that pass alone.
fn again(
    workspace: &Workspace,
    arguments: &[String],
    failed: &[&Program],
    (services, tools): (&[Found], &[FoundTool]),
) -> Result<Vec<String>> {
    let mut command = cargo(workspace);
    command.args(listing_arguments(arguments)).stderr(Stdio::inherit());
    let listed = command.output().map_err(|error| format!("cargo cannot be asked: {error}"))?;
    let folders = Folders::read(&String::from_utf8_lossy(&listed.stdout));
    let prepare = |command: Command| prepare(command, services, tools);
    Ok(again::unsteady(failed, &workspace.root, &folders, prepare))
}

/// The same call, told where the servers and tools are.
fn prepare(mut command: Command, services: &[Found], tools: &[FoundTool]) -> Command {
    for (row, found) in tools {
        match found {
            Ok(path) => command.env(row.variable, path),
            Err(_) => command.env_remove(row.variable),
        };
    }
    for (row, found) in services {
        match found {
            Ok(server) => server.values.iter().for_each(|(variable, value)| {
                command.env(variable, value);
            }),
            Err(_) => row.variables.iter().for_each(|(variable, _)| {
                command.env_remove(variable);
            }),
        }
    }
    command
}

fn missing(services: &[Found]) -> impl Iterator<Item = String> {
    services.iter().filter(|(_, found)| found.is_err()).map(|(row, _)| row.name_in_tests())
}

fn missing_tools(tools: &[FoundTool]) -> impl Iterator<Item = String> {
    tools.iter().filter(|(_, found)| found.is_err()).map(|(row, _)| row.program.to_owned())
}

/// The arguments of cargo, where what the caller says replaces what we would.
fn cargo_arguments(given: &[String], missing: &[String]) -> Vec<String> {
    let separator = given.iter().position(|argument| argument == "--").unwrap_or(given.len());
    let (for_cargo, for_tests) = given.split_at(separator);
    let is_given = |names: &[&str]| {
        for_cargo
            .iter()
            .any(|argument| names.iter().any(|name| argument.split('=').next() == Some(name)))
    };
    let mut arguments = vec!["test"];
    if !is_given(&["-p", "--package", "--manifest-path"]) {
        arguments.push("--workspace");
    }
    if !is_given(&["-F", "--features", "--all-features", "--no-default-features"]) {
        arguments.push("--all-features");
    }
    // The totals are over all tests, not over those before the first that failed.
    if !is_given(&["--no-fail-fast"]) {
        arguments.push("--no-fail-fast");
    }
    arguments.extend(for_cargo.iter().map(String::as_str));
    arguments.push("--");
    arguments.extend(for_tests.iter().skip(1).map(String::as_str));
    arguments.extend(missing.iter().flat_map(|name| ["--skip", name.as_str()]));
    arguments.into_iter().map(str::to_owned).collect()
}

/// The arguments of cargo that tell where the test programs of [`cargo_arguments`] are.
fn listing_arguments(given: &[String]) -> Vec<String> {
    let mut arguments = cargo_arguments(given, &[]);
    let separator = arguments.iter().position(|argument| argument == "--");
    arguments.truncate(separator.unwrap_or(arguments.len()));
    arguments.extend(["--no-run", "--quiet", "--message-format=json"].map(str::to_owned));
    arguments
}

/// Writes the output on while it comes; what it says, and whether the command succeeded.
fn stream(mut command: Command, onto: &mut impl Write) -> Result<(Totals, Programs, bool)> {
    let text = |error: io::Error| format!("`cargo test` cannot be followed: {error}");
    // One pipe for both, so that what cargo says of a program stays before what the program says.
    let (output, writer) = io::pipe().map_err(text)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(text)?).stderr(writer);
    let mut child =
        command.spawn().map_err(|error| format!("`cargo test` could not be started: {error}"))?;
    // It holds the pipe open.
    drop(command);
    let (mut totals, mut programs) = (Totals::default(), Programs::default());
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(b'\n', &mut bytes).map_err(text)? > 0 {
        onto.write_all(&bytes).map_err(text)?;
        let line = plain(&String::from_utf8_lossy(&bytes));
        totals.add(&line);
        programs.add(&line);
        bytes.clear();
    }
    let status = child.wait().map_err(text)?;
    Ok((totals, programs, status.success()))
}

/// The line without its colours and its end.
fn plain(line: &str) -> String {
    let mut parts = line.trim_end().split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let is_of_a_mark = |letter: char| matches!(letter, '[' | ';' | '0'..='9');
    parts.fold(first, |text, part| {
        let part = part.trim_start_matches(is_of_a_mark);
        text + part.strip_prefix('m').unwrap_or(part)
    })
}

/// What became of the tests of all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    /// Those that failed beside others, and passed alone.
    unsteady: Vec<String>,
    /// Those that were ignored, with the reason where there is one.
    ignored: Vec<String>,
    /// How many a filter left out, one of the caller or that of a missing server. What they are
    /// called is not printed by the test programs.
    filtered: u64,
}

impl Totals {
    /// Counts the closing line of one test program, and remembers which tests were ignored.
    fn add(&mut self, line: &str) {
        self.ignored.extend(ignored(line));
        let Some(closing) = line.strip_prefix("test result: ") else { return };
        for (count, of) in counts(closing) {
            match of {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "filtered" => self.filtered += count,
                _ => {}
            }
        }
    }

    /// Tests that were counted as failed have passed alone.
    fn forgive(&mut self, unsteady: Vec<String>) {
        self.failed = self.failed.saturating_sub(unsteady.len() as u64);
        self.unsteady = unsteady;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, unsteady, ignored, filtered } = self;
        write!(f, "{passed} passed, {failed} failed, {} unsteady, ", unsteady.len())?;
        write!(f, "{} ignored, {filtered} left out by a filter", ignored.len())?;
        ignored.iter().try_for_each(|test| write!(f, "\n  ignored: {test}"))?;
        unsteady.iter().try_for_each(|test| {
            write!(f, "\n  UNSTEADY: {test} (it failed above, and passed alone: mend it first)")
        })
    }
}

/// The numbers in `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s`,
/// each with the word behind it.
fn counts(closing: &str) -> impl Iterator<Item = (u64, &str)> {
    let words: Vec<&str> = closing.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let pairs: Vec<_> =
        words.windows(2).filter_map(|pair| Some((pair[0].parse().ok()?, pair[1]))).collect();
    pairs.into_iter()
}

/// The test that this line says was ignored, and why: `test a ... ignored, too slow`.
fn ignored(line: &str) -> Option<String> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some(format!("{name}{}", outcome.strip_prefix("ignored")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_all_programs_are_added_up() {
        let output = "
running 3 tests
test a ... ok
test b::c ... ignored, too slow
test src/lib.rs - d (line 7) ... ignored
test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s
test result: FAILED. 10 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s
all doctests ran in 0.52s; merged doctests compilation took 0.43s";
        let totals = totals(output);
        assert_eq!((totals.passed, totals.failed, totals.filtered), (15, 4, 2));
        assert_eq!(totals.ignored, ["b::c, too slow", "src/lib.rs - d (line 7)"]);
        let summary = totals.to_string();
        assert!(summary.contains("2 ignored, 2 left out by a filter"), "{summary}");
        assert!(summary.contains("\n  ignored: b::c, too slow\n"), "{summary}");
    }

    #[test]
    fn coloured_lines_count_too() {
        let line = "test result: \u{1b}[32mok\u{1b}[m. 2 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(totals(line), Totals { passed: 2, ..Totals::default() });
        let line = "test a ... \u{1b}[33mignored\u{1b}[m, too slow";
        assert_eq!(totals(line).ignored, ["a, too slow"]);
    }

    #[test]
    fn tests_that_pass_alone_are_told_and_are_no_failures() {
        let mut totals = totals("test result: FAILED. 5 passed; 3 failed; 0 ignored");
        totals.forgive(vec!["a::b".to_owned(), "c".to_owned()]);
        let summary = totals.to_string();
        assert!(summary.starts_with("5 passed, 1 failed, 2 unsteady, 0 ignored"), "{summary}");
        assert!(summary.contains("\n  UNSTEADY: a::b "), "{summary}");
        assert!(summary.contains("\n  UNSTEADY: c "), "{summary}");
    }

    #[test]
    fn what_a_test_prints_is_not_counted() {
        let output = "it said: test result: ok. 5 passed\ntest a ... ok, not ignored\n5 passed; 1 failed\ntest result";
        assert_eq!(totals(output), Totals::default());
    }

    #[test]
    fn without_arguments_everything_is_tested() {
        check(&[], &[], "test --workspace --all-features --no-fail-fast --");
    }

    #[test]
    fn a_package_chosen_by_the_caller_replaces_the_workspace() {
        check(&["-p", "x"], &[], "test --all-features --no-fail-fast -p x --");
        check(&["--package=x"], &[], "test --all-features --no-fail-fast --package=x --");
    }

    #[test]
    fn features_chosen_by_the_caller_replace_ours() {
        check(&["--features", "x"], &[], "test --workspace --no-fail-fast --features x --");
    }

    #[test]
    fn arguments_for_the_tests_stay_behind_the_separator() {
        check(
            &["breaker", "--", "--nocapture", "-p"],
            &[],
            "test --workspace --all-features --no-fail-fast breaker -- --nocapture -p",
        );
    }

    #[test]
    fn the_programs_that_are_listed_are_those_that_ran() {
        let given = ["-p", "x", "--", "--nocapture"].map(str::to_owned);
        assert_eq!(
            listing_arguments(&given).join(" "),
            "test --all-features --no-fail-fast -p x --no-run --quiet --message-format=json",
        );
    }

    #[test]
    fn what_both_streams_say_is_read_in_its_order() {
        let mut command = Command::new("sh");
        command.args(["-c", FAILS]);
        let (totals, programs, succeeded) = stream(command, &mut io::sink()).unwrap();
        assert_eq!((totals.failed, succeeded), (1, false));
        let failed = programs.with_failures().unwrap();
        assert_eq!(failed, [&Program::failed("deps/core-01", vec!["a".to_owned()])]);
    }

    const FAILS: &str = "echo '     Running unittests src/lib.rs (deps/core-01)' >&2
        echo 'test a ... FAILED'
        echo 'test result: FAILED. 0 passed; 1 failed; 0 ignored'
        echo 'error: test failed, to rerun pass `--lib`' >&2
        exit 101";

    #[test]
    fn the_tests_of_a_missing_server_are_skipped() {
        check(
            &["--", "--nocapture"],
            &["redis", "nats"],
            "test --workspace --all-features --no-fail-fast -- --nocapture \
             --skip redis --skip nats",
        );
    }

    #[test]
    fn the_tests_of_a_missing_server_are_those_with_its_name_as_functions_have_it() {
        let row = SERVICES.iter().find(|row| row.name == "postgres-tls").unwrap();
        let found = [(row, Err("nothing answers".to_owned()))];
        assert_eq!(missing(&found).collect::<Vec<_>>(), ["postgres_tls"]);
    }

    #[test]
    fn a_missing_server_is_said_with_what_it_leaves_unproven() {
        let row = &SERVICES[0];
        let text = describe(&[(row, Err("nothing answers".to_owned()))]);
        assert!(text.contains("redis: NOT RUN"), "{text}");
        assert!(text.contains(row.proves) && text.contains("nothing answers"), "{text}");
    }

    #[test]
    fn a_missing_tool_is_said_with_what_it_leaves_unproven() {
        let row = &TOOLS[0];
        let text = describe_tools(&[(row, Err("it is not installed".to_owned()))]);
        assert!(text.contains("promtool: NOT RUN"), "{text}");
        assert!(text.contains(row.proves) && text.contains("it is not installed"), "{text}");
    }

    fn totals(output: &str) -> Totals {
        let mut totals = Totals::default();
        output.lines().for_each(|line| totals.add(&plain(line)));
        totals
    }

    fn check(given: &[&str], missing: &[&str], expected: &str) {
        let given: Vec<String> = given.iter().map(|argument| (*argument).to_owned()).collect();
        let missing: Vec<String> = missing.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(cargo_arguments(&given, &missing).join(" "), expected);
    }
}
