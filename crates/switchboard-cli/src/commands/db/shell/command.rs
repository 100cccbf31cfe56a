//! What can be typed that is no statement.

use switchboard_core::{Error, ErrorKind, Result};

/// A line that begins with a backslash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'l> {
    Tables,
    Columns(&'l str),
    Timing,
    Help,
    Quit,
}

impl<'l> Command<'l> {
    pub(super) fn read(line: &'l str) -> Result<Self> {
        let mut words = line.split_whitespace();
        match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("\\d", None, _) => Ok(Self::Tables),
            ("\\d", Some(table), None) => Ok(Self::Columns(table.trim_end_matches(';'))),
            ("\\timing", None, _) => Ok(Self::Timing),
            ("\\?" | "\\help", None, _) => Ok(Self::Help),
            ("\\q", None, _) => Ok(Self::Quit),
            (command, ..) => Err(Error::new(ErrorKind::InvalidInput, "there is no such command")
                .with_context("command", command)
                .with_hint("`\\?` lists what can be typed")),
        }
    }
}

/// What can be typed.
pub(super) const HELP: &str = "\
\\d          the tables and views
\\d NAME     the columns of one of them
\\timing     tell how long statements take, or do so no more
\\?          this list
\\q          leave, as do `exit` and `quit`; an open transaction is rolled back
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_typed_is_understood() {
        for (line, command) in [
            ("\\d", Command::Tables),
            ("\\d  users ", Command::Columns("users")),
            ("\\d app.users;", Command::Columns("app.users")),
            ("\\timing\r", Command::Timing),
            ("\\?", Command::Help),
            ("\\q", Command::Quit),
        ] {
            assert_eq!(Command::read(line).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_can_be_typed() {
        for line in ["\\", "\\x", "\\d a b", "\\q now", "\\dt"] {
            let error = Command::read(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{line}");
        }
    }
}
