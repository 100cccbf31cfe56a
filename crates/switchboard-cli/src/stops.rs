//! That somebody wants the command to stop: with Ctrl-C, or as the system does.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// How somebody wants the command to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C was pressed.
    Interrupt,
    /// The system, or whoever looks after it, ends the process.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix asks in this way"))]
    Terminate,
}

/// The wishes that the command stops.
#[cfg(unix)]
pub(crate) struct Stops {
    interrupts: Signal,
    terminations: Signal,
}

#[cfg(unix)]
impl Stops {
    /// From now on the process does not end by itself when it is asked to.
    pub(crate) fn listen() -> switchboard_core::Result<Self> {
        Ok(Self {
            interrupts: heard(SignalKind::interrupt())?,
            terminations: heard(SignalKind::terminate())?,
        })
    }

    /// The next wish.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupts.recv() => Stop::Interrupt,
            _ = self.terminations.recv() => Stop::Terminate,
        }
    }
}

/// The wishes that the command stops.
#[cfg(not(unix))]
pub(crate) struct Stops;

#[cfg(not(unix))]
impl Stops {
    pub(crate) fn listen() -> switchboard_core::Result<Self> {
        Ok(Self)
    }

    /// The next wish.
    pub(crate) async fn next(&mut self) -> Stop {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stop::Interrupt
    }
}

impl Stops {
    /// Gives up `work` when somebody wants the command to stop.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            stop = self.next() => Err(Failure::Stopped(stop)),
        }
    }
}

/// Signals of that kind, from now on.
#[cfg(unix)]
pub(crate) fn heard(kind: SignalKind) -> switchboard_core::Result<Signal> {
    use switchboard_core::{Error, ErrorKind};
    signal(kind).map_err(|error| {
        Error::new(ErrorKind::Unexpected, "signals cannot be heard").with_source(error)
    })
}
