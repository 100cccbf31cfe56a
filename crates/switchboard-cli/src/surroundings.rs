//! What a command uses of the process it runs in: arguments, variables, streams.
//!
//! The one place that reads them. Everything else gets them handed in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};

/// What a command uses of the process it runs in.
///
/// The folder that relative paths start from is the one thing that stays the process's own.
pub struct Surroundings {
    /// The name of the program and its arguments.
    pub arguments: Vec<OsString>,
    /// The variables that configuration, drivers and the command itself may use.
    pub variables: BTreeMap<String, String>,
    /// Where a value comes from that is not among the arguments.
    pub input: Box<dyn Read + Send>,
    /// Where data goes.
    pub output: Stream,
    /// Where everything goes that is not data: errors, notes.
    pub errors: Stream,
}

impl Surroundings {
    /// Those of the process.
    pub fn of_process() -> Self {
        // A variable that is not UTF-8 cannot be a setting, so it is left out instead of refused.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect::<BTreeMap<_, _>>();
        let columns = || columns(&variables);
        Self {
            arguments: std::env::args_os().collect(),
            input: Box::new(io::stdin()),
            output: Stream::of(io::stdout(), io::stdout().is_terminal().then(columns)),
            errors: Stream::of(io::stderr(), io::stderr().is_terminal().then(columns)),
            variables,
        }
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

fn columns(variables: &BTreeMap<String, String>) -> usize {
    let said = variables.get("COLUMNS").and_then(|columns| columns.parse().ok());
    said.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS_USUAL)
}

/// How wide a terminal is that does not tell, in columns.
const COLUMNS_USUAL: usize = 80;
