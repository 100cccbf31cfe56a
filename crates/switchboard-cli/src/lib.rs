//! The `switchboard` command, for every application that has a board.
//!
//! The binary of this crate knows the built-in drivers. An application with drivers, subsystems or
//! sections of its own makes the same command of its own [`Builder`](switchboard::Builder):
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use switchboard::Switchboard;
//! # use switchboard_cache::Caches;
//! # use switchboard_core::{Registry, Result};
//! # fn register_mine(_: &Registry<Caches>) -> Result<()> { Ok(()) }
//!
//! fn main() -> ExitCode {
//!     let builder = Switchboard::builder().drivers::<Caches>(register_mine);
//!     switchboard_cli::main_with_version(builder, env!("CARGO_PKG_VERSION"))
//! }
//! ```
//!
//! A command finds a board that `up` runs by the note in its home. One that an application serves
//! itself with `switchboard_console::serve` is named by its address: `--address http://127.0.0.1:7070`
//! or the variable `SWITCHBOARD_ADDRESS`, with its `console.token` in `SWITCHBOARD_TOKEN`. Then no home
//! is looked at. The token goes over the network as it is, so to another machine use a tunnel.
//!
//! Read in this order: [`main`] and [`run`], the ways in; [`Surroundings`], what they use of the
//! process; `arguments.rs`, what can be said; `desk.rs`, which board a command speaks to; `elsewhere.rs`,
//! how one is named by its address; a file of `commands` for each command; `failure.rs`, how it ends when
//! it does not work.
//!
//! The streams carry data on stdout and everything else on stderr. The exit code is 0 if all is well,
//! 2 for a mistake in the usage or the configuration, 3 for what is not there, 4 for what cannot be
//! reached or is not ready, and 1 for everything else. A command that is stopped while it runs ends with 130 after
//! Ctrl-C and with 143 after `SIGTERM`, as shells tell it.

mod arguments;
mod client;
mod commands;
mod configuration;
mod desk;
mod details;
mod elsewhere;
mod failure;
mod home;
mod json;
mod lines;
mod moment;
mod notes;
mod pieces;
mod program;
mod progress;
mod rows;
mod run;
mod screen;
mod session;
mod stops;
mod surroundings;
mod table;
mod warnings;

pub use run::{main, main_with_version, run};
pub use surroundings::{Stream, Surroundings};
