//! The commands of the project: `cargo xtask check`, `test`, `fuzz` and `bench`.
//!
//! Read in this order: this file, the command line; `check`, the rules of the repository, one file
//! each; `test`, the one test command; `services`, the table of servers the tests talk to; `fuzz`;
//! `bench`.
//! Nothing here is part of the product, and the product is not needed to build it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "a command times its steps, waits for servers and reads the environment itself"
)]

mod bench;
mod check;
mod fuzz;
mod programs;
mod server;
mod services;
mod test;
mod workspace;

use std::env;
use std::process::ExitCode;

use workspace::Workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        None => ("help", &[][..]),
        Some((command, rest)) => (command.as_str(), rest),
    };
    match run(command, rest) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the command found everything in order.
fn run(command: &str, arguments: &[String]) -> Result<bool> {
    match command {
        "check" if arguments.is_empty() => Ok(check::run(&Workspace::load()?)),
        "check" => Err(format!("`check` takes no arguments, but was given {arguments:?}")),
        "test" => test::run(&Workspace::load()?, arguments),
        "fuzz" => fuzz::run(&Workspace::load()?, arguments),
        "bench" => bench::run(&Workspace::load()?, arguments),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(true)
        }
        _ => Err(format!("there is no command `{command}`\n\n{HELP}")),
    }
}

/// A failure that ends the command, told to the person who called it.
pub(crate) type Result<T> = std::result::Result<T, String>;

const HELP: &str = "\
The commands of the project:

  cargo xtask check           formatting, lints, documentation and the rules of the repository:
                              floors, driver lists, licences, forbidden words
  cargo xtask test [ARGS…]    all tests, with the servers they need; ARGS go to `cargo test`
  cargo xtask fuzz [SECONDS]  texts that nobody would write, for 30 seconds unless told otherwise
  cargo xtask bench [NAME…]   the benchmarks, or those named; writes bench/RESULTS.md
";
