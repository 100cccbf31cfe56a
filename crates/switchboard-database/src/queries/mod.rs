//! Statements that have names, in files of their own.
//!
//! Read in this order: [`Queries`], a set of them and how it is made; [`Query`], one of them;
//! [`NamedQuery`], one that is run; `parse` and `line`, how a file is read; `fit`, whether statements
//! have the parameters that are declared; `kept`, the set that belongs to an instance.

mod files;
mod fit;
mod functions;
mod kept;
mod line;
mod named;
mod parse;
mod query;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use switchboard_core::{Error, ErrorKind, Name, Problem, Problems, Result};

use self::files::Files;
use self::parse::{Read, Written};
use crate::Dialect;

pub(crate) use kept::Kept;
pub use named::NamedQuery;
pub(crate) use named::{Meant, Text};
pub use query::{Query, QueryKind, QueryParam, QueryText};

/// Statements that have names.
///
/// They stand in files that any tool for SQL can open. A line with a name begins each of them, and it
/// goes on to the next name or to the end of the file:
///
/// ```sql
/// -- name: find_user :opt
/// -- doc: The user with that number.
/// -- param: id bigint
/// select id, name from users where id = :id;
///
/// -- name: now :value
/// -- dialect: sqlite
/// select datetime('now');
///
/// -- name: now :value
/// select now();
/// ```
///
/// Behind the name stands what the query gives: see [`QueryKind`]. Between name and statement may stand
/// what is to be known of it (`doc`, as many lines as it takes), its parameters (`param`, a name and a
/// type in any words; once one is declared, all have to be), and the dialect that the text is for
/// (`dialect`): a name may come once for each dialect, and once without, for all others. Other comments
/// may stand anywhere. Names are made of words with `.` between them, and are taken as they are written;
/// the folder and the file that one stands in do not matter. Ends of lines come out as line feeds.
///
/// ```
/// use switchboard_database::{Queries, QueryKind};
///
/// let queries = Queries::embedded(&[(
///     "users.sql",
///     "-- name: users.count :value\n\
///      select count(*) from users;",
/// )])?;
/// let count = queries.get("users.count")?;
/// assert_eq!(count.kind(), QueryKind::Value);
/// assert_eq!(count.place().to_string(), "users.sql:1:1");
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queries {
    queries: BTreeMap<Box<str>, Query>,
}

impl Queries {
    /// The queries in a file, or in the files of a folder and of the folders in it that end with
    /// `.sql`, in the order of their names.
    ///
    /// The error has all mistakes of all files, each with its place.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(Files::at(path.as_ref()).read(), None)
    }

    /// The queries in texts, each with the name of the file that it is from; [`queries!`](crate::queries)
    /// takes them from files when the program is built.
    ///
    /// The error has all mistakes of all texts, each with its place.
    pub fn embedded(texts: &[(&str, &str)]) -> Result<Self> {
        let mut read = Read::default();
        for (path, text) in texts {
            read.file(path.as_ref(), text);
        }
        Self::read(read, None)
    }

    /// The query of that name.
    pub fn get(&self, name: &str) -> Result<&Query> {
        self.queries.get(name).ok_or_else(|| self.unknown(name))
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.queries.keys().map(AsRef::as_ref)
    }

    /// All queries, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Query> {
        self.queries.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// The mistakes in the statements that a database of this dialect would run, as far as their texts
    /// tell: placeholders that are not declared, parameters that are not used. No server is asked.
    pub fn check(&self, dialect: &'static Dialect) -> Problems {
        self.iter().flat_map(|query| fit::problems(query, dialect)).collect()
    }

    /// The query of that name, to be run by `statements`: for a set that belongs to no instance.
    ///
    /// Whether there is one is found out when it is run.
    pub fn on<'q, S>(&'q self, statements: &'q S, name: &'q str) -> NamedQuery<'q, S> {
        NamedQuery::new(statements, name, Some(self))
    }

    /// What was read, if there is no mistake in it, nor in what `dialect` would run.
    fn read(read: Read, dialect: Option<&'static Dialect>) -> Result<Self> {
        let Read { queries, mut problems } = read;
        let mut set = Self::default();
        problems.extend(queries.into_iter().filter_map(|written| set.add(written)));
        problems.extend(dialect.into_iter().flat_map(|dialect| set.check(dialect)));
        if problems.is_empty() { Ok(set) } else { Err(mistakes(problems.into_iter().collect())) }
    }

    /// Adds one, or says why it cannot be added.
    fn add(&mut self, written: Written) -> Option<Problem> {
        let Written { name, kind, text } = written;
        let Some(there) = self.queries.get_mut(&name) else {
            self.queries.insert(name.clone(), Query::new(&name, kind, text));
            return None;
        };
        let wrong = |message: &str, first| {
            let problem = Problem::new(&*name, text.place.clone(), message);
            Some(problem.with_hint(format!("the first is at {first}")))
        };
        if let Some(same) = there.written_for(text.dialect()) {
            return wrong("there is a query of that name already", same.place());
        }
        if there.kind() != kind {
            let message = format!(
                "the texts of a query give the same, but this gives {kind} and another {}",
                there.kind()
            );
            return wrong(&message, there.place());
        }
        there.add(text);
        None
    }

    fn unknown(&self, name: &str) -> Error {
        let error = Error::new(ErrorKind::NotRegistered, "there is no query of that name");
        let error = match Name::quotable(name) {
            Some(name) => error.with_context("query", format_args!("{name:?}")),
            None => error,
        };
        match Name::nearest(name, self.names()) {
            Some(nearest) => error.with_hint(format!("did you mean {nearest:?}?")),
            None => error,
        }
        .not_applied()
    }
}

/// Takes files of named queries into the program when it is built, by their paths from the file that
/// this stands in: a `Result` with [`Queries`].
///
/// ```
/// use std::sync::LazyLock;
///
/// use switchboard_core::Result;
/// use switchboard_database::{Queries, queries};
///
/// static QUERIES: LazyLock<Result<Queries>> =
///     LazyLock::new(|| queries!("sql/users.sql", "sql/teams.sql"));
///
/// let queries = QUERIES.as_ref().map_err(Clone::clone)?;
/// assert_eq!(queries.get("find_user")?.place().to_string(), "sql/users.sql:6:1");
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[macro_export]
macro_rules! queries {
    ($($path:literal),+ $(,)?) => {
        $crate::Queries::embedded(&[$(($path, ::core::include_str!($path))),+])
    };
}

/// One error for all mistakes.
fn mistakes(problems: Problems) -> Error {
    let message = match problems.len() {
        1 => "1 mistake in the files of named queries".to_owned(),
        count => format!("{count} mistakes in the files of named queries"),
    };
    let error = Error::new(ErrorKind::Config, message);
    let error = problems
        .iter()
        .take(SHOWN_MAX)
        .fold(error, |error, problem| error.with_context("problem", problem));
    error.with_source(problems)
}

/// How many mistakes the text of one error lists; its source has all of them.
const SHOWN_MAX: usize = 100;
