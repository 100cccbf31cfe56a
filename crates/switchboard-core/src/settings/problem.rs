//! What is wrong with settings, in words for the person who wrote them.

use std::error::Error as StdError;
use std::fmt;

use super::{Origin, path};
use crate::{Error, ErrorKind};

/// One mistake in the settings: where it is, what it is, and what could be done about it.
///
/// No part of it holds the value of a setting, but for an unknown word where one of a list was
/// expected and a number out of its range; of a secret not even those.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The setting: `pool.max`. Empty for the whole tree.
    pub path: String,
    /// Where the setting, or the table it is missing from, was written.
    pub origin: Origin,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What could be done about it.
    pub hint: Option<String>,
    /// What kind of mistake it is.
    pub kind: ProblemKind,
}

/// Whether a mistake is in what was written, or is that something was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// What is written is wrong, whatever else may be written elsewhere.
    #[default]
    Wrong,
    /// Something has to be set and is not: another layer or file may set it.
    Missing,
    /// A name is referred to that nobody has: another layer or file may declare it.
    Unknown,
}

/// All mistakes of some settings, ordered by their place in the file, then by path.
///
/// `{}` is one line that counts them; `{:#}` lists them, one to a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problem {
    /// A mistake at `path`, which was written at `origin`.
    #[must_use]
    pub fn new(path: impl Into<String>, origin: Origin, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            origin,
            message: message.into(),
            hint: None,
            kind: ProblemKind::Wrong,
        }
    }

    /// The same mistake, of that kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ProblemKind) -> Self {
        self.kind = kind;
        self
    }

    /// Whether it may be that what is missing stands in a file that could not be read.
    pub fn is_of_absence(&self) -> bool {
        self.kind != ProblemKind::Wrong
    }

    /// The same mistake with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Problems {
    /// The mistakes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same mistakes, of settings that stand under `prefix` in a larger tree.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for problem in &mut self.0 {
            problem.path = path::join(prefix, &problem.path);
        }
        self
    }

    fn sort(&mut self) {
        self.0.sort_by(|a, b| (&a.origin, &a.path).cmp(&(&b.origin, &b.path)));
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let mut error = Self::new(ErrorKind::Config, problems.to_string());
        for problem in problems.iter().take(SHOWN_MAX) {
            error = error.with_context("problem", problem);
        }
        if let Some(rest) = problems.len().checked_sub(SHOWN_MAX).filter(|rest| *rest > 0) {
            error = error.with_context("problems not shown", rest);
        }
        error.with_source(problems)
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
        self.sort();
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut all = Self::default();
        all.extend(problems);
        all
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => f.write_str("1 setting is wrong")?,
            count => write!(f, "{count} settings are wrong")?,
        }
        if f.alternate() {
            for problem in self {
                write!(f, "\n  {problem}")?;
            }
        }
        Ok(())
    }
}

impl StdError for Problems {}

/// How many problems the text of one error lists; [`Problems`] holds all of them.
const SHOWN_MAX: usize = 100;
