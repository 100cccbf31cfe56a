//! What a command has while it runs: what was said, where it writes, and what boards are made from.

use std::collections::BTreeMap;
use std::io::Read;

use switchboard::{Builder, Switchboard};
use switchboard_console::ConsoleConfig;
use switchboard_core::{Clock, Error, ErrorKind};

use crate::arguments::Common;
use crate::configuration;
use crate::failure::Result;
use crate::home::Home;
use crate::screen::Screen;

/// What a command has while it runs.
pub(crate) struct Session {
    pub(crate) common: Common,
    pub(crate) screen: Screen,
    pub(crate) clock: Clock,
    pub(crate) home: Home,
    /// The name of the program, as it was called.
    pub(crate) program: String,
    variables: BTreeMap<String, String>,
    input: Box<dyn Read + Send>,
    builder: Builder,
}

impl Session {
    pub(crate) fn new(
        common: Common,
        screen: Screen,
        program: String,
        variables: BTreeMap<String, String>,
        input: Box<dyn Read + Send>,
        builder: Builder,
    ) -> Self {
        let said = variables.get("SWITCHBOARD_HOME").filter(|home| !home.is_empty());
        let home = match (&common.home, said) {
            (Some(folder), _) => Home::at(folder),
            (None, Some(folder)) => Home::at(folder),
            (None, None) => Home::at(HOME_USUAL),
        };
        Self { common, screen, clock: Clock::system(), home, program, variables, input, builder }
    }

    /// What a board of this command's own is made from: what the application brought, the files that
    /// were named or are usual, the variables.
    pub(crate) fn configured(&mut self) -> Result<Builder> {
        let builder = self.bare().variables(std::mem::take(&mut self.variables));
        Ok(configuration::added(builder, &self.common)?)
    }

    /// What the application brought, and nothing that was said to the command. The section of the
    /// console is known to every command, for all of them read the same files as `up`.
    pub(crate) fn bare(&mut self) -> Builder {
        let builder = std::mem::replace(&mut self.builder, Switchboard::builder());
        builder.section::<ConsoleConfig>(CONSOLE)
    }

    /// All that comes in on stdin.
    pub(crate) fn read_input(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut input = (&mut self.input).take(INPUT_BYTES_MAX + 1);
        input.read_to_end(&mut bytes).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "stdin cannot be read").with_source(error)
        })?;
        if bytes.len() as u64 > INPUT_BYTES_MAX {
            let error = Error::new(ErrorKind::TooLarge, "more comes in on stdin than is taken");
            return Err(error.with_context("bytes_max", INPUT_BYTES_MAX).into());
        }
        Ok(bytes)
    }
}

/// The section that says where HTTP is served, and to whom.
pub(crate) const CONSOLE: &str = "console";

/// Where boards are noted down that are told no other place.
const HOME_USUAL: &str = ".switchboard";

/// How much is taken from stdin, in bytes.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
