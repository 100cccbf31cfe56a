//! What every driver can be told, whatever it does: start, report, stop.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Capabilities, Details, Error, Metric, Reply};

/// The part of a driver that the manager speaks to. Every driver trait extends it.
///
/// The manager calls `init` once before the first call, `health` any number of times, and `close`
/// exactly once, after the last call has ended or its drain limit has passed.
pub trait Lifecycle: Any + Send + Sync {
    /// Makes the driver ready. A driver whose `init` failed or was dropped is closed.
    fn init(&self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }

    /// How the service is. An error is reported as [`Status::Down`].
    ///
    /// Must have no effect that a user of the service could see. The default is honest: not
    /// checked.
    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(Health::not_checked()))
    }

    /// Gives everything back. Calls that come later may fail, and must not hang.
    fn close(&self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }

    /// What this instance can do, where the server decides it; `None` keeps what the driver
    /// declared at registration.
    fn capabilities(&self) -> Option<Capabilities> {
        None
    }

    /// What it can show of itself to an operator, beyond what every line counts.
    ///
    /// Nobody is asked for it: it is what is known, and it is there at once. It holds no secret, and
    /// nothing of what users have stored or sent.
    fn details(&self) -> Option<Details> {
        None
    }

    /// Its own figures for monitoring systems, under the same rules as its details, and always the same
    /// ones: how many series there are follows from the settings alone.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

/// A shared driver is the driver.
impl<T: Lifecycle + ?Sized> Lifecycle for Arc<T> {
    fn init(&self) -> Reply<'_, ()> {
        self.as_ref().init()
    }

    fn health(&self) -> Reply<'_, Health> {
        self.as_ref().health()
    }

    fn close(&self) -> Reply<'_, ()> {
        self.as_ref().close()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.as_ref().capabilities()
    }

    fn details(&self) -> Option<Details> {
        self.as_ref().details()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.as_ref().metrics()
    }
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The verdict.
    pub status: Status,
    /// Why, in words for an operator.
    pub reason: Option<String>,
}

/// The verdict of a health check, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Status {
    /// It was checked and works.
    Up,
    /// Nobody has looked, or the driver has nothing to look at.
    NotChecked,
    /// It works, but not as it should.
    Degraded,
    /// It does not work.
    Down,
}

impl Health {
    /// It was checked and works.
    pub fn up() -> Self {
        Self { status: Status::Up, reason: None }
    }

    /// It works, but not as it should.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { status: Status::Degraded, reason: Some(reason.into()) }
    }

    /// It does not work.
    pub fn down(reason: impl Into<String>) -> Self {
        Self { status: Status::Down, reason: Some(reason.into()) }
    }

    /// The driver has nothing to look at.
    pub fn not_checked() -> Self {
        Self { status: Status::NotChecked, reason: None }
    }
}

impl From<Error> for Health {
    fn from(error: Error) -> Self {
        Self::down(error.to_string())
    }
}

impl Status {
    /// The word used in logs, figures and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NotChecked => "not checked",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
