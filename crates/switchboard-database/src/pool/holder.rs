//! Who has a connection, for people.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::books::Holding;
use super::link::Link;
use crate::Lexis;
use crate::sql::fingerprint;

/// Somebody who has a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// For how long.
    pub age: Duration,
    /// The place in the program that took it.
    pub place: &'static Location<'static>,
    /// The task that took it, as its runtime numbers tasks.
    pub task: Option<String>,
    /// The statement that was sent last, without the values in its text.
    pub statement: Option<String>,
    /// A call is under way.
    pub is_running: bool,
    /// What the server calls the connection.
    pub connection: Option<String>,
    /// It has been told of as leaked.
    pub is_leaked: bool,
}

impl Holder {
    pub(super) fn read(link: &Arc<Link>, holding: &Holding, now: Instant, lexis: Lexis) -> Self {
        let (statement, is_running) = {
            let desk = link.desk();
            (desk.statement.clone(), desk.is_running)
        };
        Self {
            age: now.saturating_duration_since(holding.since),
            place: holding.taking.at,
            task: holding.owner.task.map(|task| task.to_string()),
            statement: statement.map(|statement| fingerprint(&statement, lexis)),
            is_running,
            connection: link.id.as_deref().map(str::to_owned),
            is_leaked: holding.is_leaked,
        }
    }
}

/// `src/app.rs:42 for 3.2s, running "select … where id = ?"`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} for {:.1?}", self.place.file(), self.place.line(), self.age)?;
        match (&self.statement, self.is_running) {
            (Some(statement), true) => write!(f, ", running \"{statement}\""),
            (Some(statement), false) => write!(f, ", idle after \"{statement}\""),
            (None, true) => f.write_str(", in a call"),
            (None, false) => f.write_str(", idle"),
        }
    }
}
