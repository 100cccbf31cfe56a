//! Where a setting came from.

use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

/// Where a setting came from, shown to the person who has to mend it. Cheap to clone.
///
/// ```
/// use switchboard_core::Origin;
///
/// assert_eq!(Origin::file("switchboard.toml", 12, 5).to_string(), "switchboard.toml:12:5");
/// assert_eq!(Origin::variable("SWITCHBOARD__CACHE__MAIN__URL").to_string(),
///     "variable SWITCHBOARD__CACHE__MAIN__URL");
/// assert_eq!(Origin::named("api 127.0.0.1:4711").to_string(), "api 127.0.0.1:4711");
/// assert_eq!(Origin::Default.to_string(), "built-in default");
/// ```
// The order of the variants, and of their fields, is the order in which mistakes are reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A place in a file.
    File {
        /// The file, as the person named it; shared by all settings of the file.
        path: Arc<Path>,
        /// The line, from 1.
        line: u32,
        /// The column in characters, from 1.
        column: u32,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: Arc<str>,
    },
    /// Somebody who gave it while the program was running: a client of an API.
    Named {
        /// Who, as records call them; shared by all settings that they gave.
        name: Arc<str>,
    },
    /// A value built into the program.
    #[default]
    Default,
    /// A line of the program's own source.
    Code {
        /// The source file.
        file: &'static str,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
    },
}

impl Origin {
    /// A place in a file. A reader of whole files builds [`Origin::File`] itself and shares the
    /// path between all its settings.
    pub fn file(path: impl AsRef<Path>, line: u32, column: u32) -> Self {
        Self::File { path: Arc::from(path.as_ref()), line, column }
    }

    /// The environment variable `name`.
    pub fn variable(name: impl Into<Arc<str>>) -> Self {
        Self::Variable { name: name.into() }
    }

    /// Somebody, as records call them.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self::Named { name: name.into() }
    }

    /// The line of source that calls this.
    #[track_caller]
    pub fn here() -> Self {
        let place = Location::caller();
        Self::Code { file: place.file(), line: place.line(), column: place.column() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable { name } => write!(f, "variable {name}"),
            Self::Named { name } => f.write_str(name),
            Self::Default => f.write_str("built-in default"),
            Self::Code { file, line, column } => write!(f, "{file}:{line}:{column}"),
        }
    }
}

impl From<&'static Location<'static>> for Origin {
    fn from(place: &'static Location<'static>) -> Self {
        Self::Code { file: place.file(), line: place.line(), column: place.column() }
    }
}
