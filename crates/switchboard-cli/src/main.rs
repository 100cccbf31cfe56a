//! The command of the built-in drivers.

use std::process::ExitCode;

use switchboard::Switchboard;

fn main() -> ExitCode {
    switchboard_cli::main(Switchboard::builder())
}
