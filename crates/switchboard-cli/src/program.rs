//! What the program is called that has this command, and of which version it is.

use std::ffi::OsString;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::arguments::Arguments;

/// The program that has this command.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// As it was called.
    pub(crate) name: String,
    version: String,
}

impl Program {
    pub(crate) fn of(arguments: &[OsString], version: Option<String>) -> Self {
        let path = arguments.first().map(Path::new);
        let name = path.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or(OURS);
        // Nothing else that follows a dot is less of the name than the rest.
        let name = name.strip_suffix(".exe").unwrap_or(name);
        let version = match version {
            _ if name == OURS => OUR_VERSION.to_owned(),
            Some(version) => format!("{version} ({OURS} {OUR_VERSION})"),
            None => format!("({OURS} {OUR_VERSION})"),
        };
        Self { name: name.to_owned(), version }
    }

    /// All that can be said to it.
    pub(crate) fn command(&self) -> Command {
        Arguments::command().name(self.name.clone()).version(self.version.clone())
    }
}

/// What the program is called that has the built-in drivers only.
const OURS: &str = "switchboard";
const OUR_VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_by_its_whole_name() {
        for (path, name) in [
            ("/opt/my.app", "my.app"),
            ("shop", "shop"),
            ("bin/shop.exe", "shop"),
            ("", "switchboard"),
        ] {
            assert_eq!(Program::of(&[path.into()], None).name, name);
        }
    }
}
