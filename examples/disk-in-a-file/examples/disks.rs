//! The command `switchboard`, which knows the driver: `cargo run -p disk-in-a-file --example disks drivers`.

use std::process::ExitCode;

use switchboard::Switchboard;

fn main() -> ExitCode {
    let builder = Switchboard::builder().drivers(disk_in_a_file::register);
    switchboard_cli::main_with_version(builder, env!("CARGO_PKG_VERSION"))
}
