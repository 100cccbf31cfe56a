//! All that is wrong with a configuration, with the texts it was found in.

use std::error::Error as StdError;
use std::fmt;

use switchboard_config::{Report, Sources};
use switchboard_core::{Error, Problems};

/// The mistakes of a configuration, each with its place and the line it stands in.
///
/// The source of the error that [`Builder::build`](crate::Builder::build) and a reload answer;
/// `error.find::<Mistakes>()` has it, `error.find::<Problems>()` the mistakes as values.
#[derive(Debug)]
pub struct Mistakes {
    problems: Problems,
    sources: Sources,
}

impl Mistakes {
    pub(crate) fn new(problems: Problems, sources: Sources) -> Self {
        Self { problems, sources }
    }

    /// The mistakes as values, in the order of their places.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The mistakes with excerpts, for a person or as JSON.
    pub fn report(&self) -> Report<'_> {
        Report::new(&self.problems, &self.sources)
    }
}

impl From<Mistakes> for Error {
    fn from(mistakes: Mistakes) -> Self {
        // Each mistake in a line of its own for whoever prints the error; the report has the excerpts.
        Self::from(mistakes.problems.clone()).with_source(mistakes)
    }
}

/// One line; [`report`](Mistakes::report) shows them.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used as it is")
    }
}

impl StdError for Mistakes {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.problems)
    }
}
