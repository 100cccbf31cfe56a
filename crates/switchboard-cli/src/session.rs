//! What a command has while it runs: what was said, where it writes, and what boards are made from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;

use switchboard::{Builder, Switchboard};
use switchboard_console::ConsoleConfig;
use switchboard_core::{Clock, Error, ErrorKind, Origin, Problem, Problems};

use crate::arguments::Common;
use crate::configuration;
use crate::elsewhere::{Elsewhere, Said, SaidBy};
use crate::failure::Result;
use crate::home::Home;
use crate::lines::Lines;
use crate::pieces::Pieces;
use crate::program::Program;
use crate::screen::Screen;
use crate::surroundings::Variables;

/// What a command has while it runs.
pub(crate) struct Session {
    pub(crate) common: Common,
    pub(crate) screen: Screen,
    pub(crate) clock: Clock,
    pub(crate) home: Home,
    pub(crate) program: Program,
    /// What the configuration is read from, in words, once that is known.
    pub(crate) sources: String,
    /// The address in the variables.
    address: Option<OsString>,
    token: Option<OsString>,
    variables: BTreeMap<String, String>,
    /// The names of the variables that are no text.
    no_text: Vec<String>,
    input: Input,
    builder: Builder,
}

/// What comes in on stdin.
pub(crate) struct Input {
    pub(crate) bytes: Box<dyn Read + Send>,
    /// Whether a person types it.
    pub(crate) is_typed: bool,
}

impl Session {
    pub(crate) fn new(
        common: Common,
        screen: Screen,
        program: Program,
        variables: Variables,
        input: Input,
        builder: Builder,
    ) -> Self {
        let Variables { text, home, address, token, no_text } = variables;
        let home = common.home.clone().or(home).unwrap_or_else(|| HOME_USUAL.into());
        Self {
            common,
            screen,
            clock: Clock::system(),
            home: Home::at(home, &program.name),
            program,
            sources: String::new(),
            address,
            token,
            variables: text,
            no_text,
            input,
            builder,
        }
    }

    /// The board whose address was said, if one was. What was said as an argument counts before every
    /// variable.
    pub(crate) fn elsewhere(&mut self) -> Result<Option<Elsewhere>> {
        let said = match (self.common.address.take(), &self.common.home) {
            (Some(address), _) => Some(Said { by: SaidBy::Argument, address }),
            (None, Some(_)) => None,
            (None, None) => {
                self.address.take().map(|address| Said { by: SaidBy::Variable, address })
            }
        };
        Ok(said.map(|said| Elsewhere::new(&said, self.token.take())).transpose()?)
    }

    /// Whether files were named, which only a board of the command's own reads.
    pub(crate) fn names_files(&self) -> bool {
        !self.common.config.is_empty() || self.common.profile.is_some()
    }

    /// A running board reads what it was started with, which may be something else.
    pub(crate) fn note_other_files(&mut self) {
        if self.names_files() {
            self.screen.note("note: the running board reads the files that it was started with");
        }
    }

    /// What a board of this command's own is made from: what the application brought, the files that
    /// were named or are usual, the variables.
    pub(crate) fn configured(&mut self) -> Result<Builder> {
        let builder = self.bare().variables(std::mem::take(&mut self.variables));
        self.refuse_what_is_no_text(builder.variable_prefix())?;
        let builder = configuration::added(builder, &self.common)?;
        self.sources = configuration::described(&builder);
        Ok(builder)
    }

    /// A variable that is a setting has to be text; any other may be what it likes.
    fn refuse_what_is_no_text(&self, prefix: &str) -> Result<()> {
        let prefix = format!("{prefix}__");
        let is_setting = |name: &&String| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix))
        };
        let problem = |name: &String| {
            Problem::new("", Origin::variable(name.as_str()), "a setting is text in UTF-8")
        };
        let problems: Problems = self.no_text.iter().filter(is_setting).map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::from(problems).into()) }
    }

    /// What the application brought, and nothing that was said to the command. The section of the
    /// console is known to every command, for all of them read the same files as `up`.
    pub(crate) fn bare(&mut self) -> Builder {
        let builder = std::mem::replace(&mut self.builder, Switchboard::builder());
        builder.section::<ConsoleConfig>(CONSOLE)
    }

    /// Whether a person types what comes in on stdin.
    pub(crate) fn is_typed(&self) -> bool {
        self.input.is_typed
    }

    /// What comes in on stdin, line by line; nobody else can read it from then on.
    pub(crate) fn input_lines(&mut self) -> Result<Lines> {
        let input = std::mem::replace(&mut self.input.bytes, Box::new(std::io::empty()));
        let lines = Lines::of(input).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "stdin cannot be read").with_source(error)
        });
        Ok(lines?)
    }

    /// What comes in on stdin, however much it is; nobody else can read it from then on.
    pub(crate) fn input_pieces(&mut self) -> Result<Pieces> {
        let input = std::mem::replace(&mut self.input.bytes, Box::new(std::io::empty()));
        let pieces = Pieces::of(input).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "stdin cannot be read").with_source(error)
        });
        Ok(pieces?)
    }

    /// All that comes in on stdin.
    pub(crate) fn read_input(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut input = (&mut self.input.bytes).take(INPUT_BYTES_MAX + 1);
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
