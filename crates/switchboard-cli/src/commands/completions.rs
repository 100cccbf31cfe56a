//! `completions`: what a shell has to know to complete what is typed.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::failure::{Exit, Result};
use crate::session::Session;

pub(super) fn run(session: &mut Session, shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), session.program.as_str(), &mut script);
    session.screen.write(script)?;
    Ok(Exit::Fine)
}
