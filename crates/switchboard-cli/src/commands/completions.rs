//! `completions`: what a shell has to know to complete what is typed.

use clap_complete::{Shell, generate};

use crate::failure::{Exit, Result};
use crate::session::Session;

pub(super) fn run(session: &mut Session, shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    generate(shell, &mut session.program.command(), session.program.name.as_str(), &mut script);
    session.screen.write(script)?;
    Ok(Exit::Fine)
}
