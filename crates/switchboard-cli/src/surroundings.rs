//! What a command uses of the process it runs in: arguments, variables, streams.
//!
//! The one place that reads them. Everything else gets them handed in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::PathBuf;

use crate::elsewhere::{ADDRESS, TOKEN};

/// What a command uses of the process it runs in.
///
/// The folder that relative paths start from is the one thing that stays the process's own.
pub struct Surroundings {
    /// The name of the program and its arguments.
    pub arguments: Vec<OsString>,
    /// The version of the program; nothing where it has none but that of this command.
    pub version: Option<String>,
    /// The variables that configuration, drivers and the command itself may use.
    pub variables: BTreeMap<OsString, OsString>,
    /// Where a value comes from that is not among the arguments.
    pub input: Box<dyn Read + Send>,
    /// Whether a person types the input, who can be asked for more and may make mistakes.
    pub is_typed: bool,
    /// Where data goes.
    pub output: Stream,
    /// Where everything goes that is not data: errors, notes.
    pub errors: Stream,
}

impl Surroundings {
    /// Those of the process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().collect::<BTreeMap<_, _>>();
        let columns = || columns(&variables);
        Self {
            arguments: std::env::args_os().collect(),
            version: None,
            input: Box::new(io::stdin()),
            is_typed: io::stdin().is_terminal(),
            output: Stream::of(io::stdout(), io::stdout().is_terminal().then(columns)),
            errors: Stream::of(io::stderr(), io::stderr().is_terminal().then(columns)),
            variables,
        }
    }
}

/// The variables, as the command uses them.
#[derive(Debug)]
pub(crate) struct Variables {
    pub(crate) text: BTreeMap<String, String>,
    /// Where running boards are noted down. A folder may have any name.
    pub(crate) home: Option<PathBuf>,
    /// Where a running board is that needs no note, and what it asks for.
    pub(crate) address: Option<OsString>,
    pub(crate) token: Option<OsString>,
    /// The names, as far as they can be read, of those that are no text.
    pub(crate) no_text: Vec<String>,
}

impl Variables {
    pub(crate) fn of(mut all: BTreeMap<OsString, OsString>) -> Self {
        let home = all.remove(OsStr::new("SWITCHBOARD_HOME")).filter(|home| !home.is_empty());
        // A board keeps its own files there too, so that it has to know.
        if let Some(home) = &home {
            all.insert("SWITCHBOARD_HOME".into(), home.clone());
        }
        // They stay for the board too: an application may take its own token from there.
        let said = |name| all.get(OsStr::new(name)).filter(|said| !said.is_empty()).cloned();
        let (address, token) = (said(ADDRESS), said(TOKEN));
        let (mut text, mut no_text) = (BTreeMap::new(), Vec::new());
        for (name, value) in all {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(text.insert(name, value)),
                (Ok(name), Err(_)) => no_text.push(name),
                (Err(name), _) => no_text.push(name.to_string_lossy().into_owned()),
            }
        }
        Self { text, home: home.map(PathBuf::from), address, token, no_text }
    }
}

/// A stream that text is written to.
pub struct Stream {
    pub(crate) writer: Box<dyn Write + Send>,
    /// How wide it is, if a person sits in front of it.
    pub(crate) columns: Option<usize>,
}

impl Stream {
    /// A file, a pipe, memory: no colours, lines of any length.
    pub fn plain(writer: impl Write + Send + 'static) -> Self {
        Self::of(writer, None)
    }

    /// A terminal that is so wide.
    pub fn terminal(writer: impl Write + Send + 'static, columns: usize) -> Self {
        Self::of(writer, Some(columns))
    }

    fn of(writer: impl Write + Send + 'static, columns: Option<usize>) -> Self {
        Self { writer: Box::new(writer), columns }
    }
}

impl fmt::Debug for Surroundings {
    /// Variables are named, not shown: some of them are secrets, and so may arguments be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("arguments", &self.arguments.len())
            .field("variables", &self.variables.keys())
            .field("output", &self.output)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("columns", &self.columns).finish_non_exhaustive()
    }
}

fn columns(variables: &BTreeMap<OsString, OsString>) -> usize {
    let said = variables.get(OsStr::new("COLUMNS"));
    let said = said.and_then(|columns| columns.to_str()?.parse().ok());
    said.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS_USUAL)
}

/// How wide a terminal is that does not tell, in columns.
const COLUMNS_USUAL: usize = 80;
