//! The command `switchboard`, which knows the driver: `cargo run -p third-party-disk --example command drivers`.

use std::process::ExitCode;

use switchboard::Switchboard;

fn main() -> ExitCode {
    let builder = Switchboard::builder().drivers(third_party_disk::register);
    switchboard_cli::main_with_version(builder, env!("CARGO_PKG_VERSION"))
}
