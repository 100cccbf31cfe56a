//! What the system tells a running board: to stop.

use std::io;

use switchboard_core::{Error, ErrorKind, Result};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wish that the board stops, however it is uttered.
#[cfg(unix)]
pub(super) struct Signals {
    interrupts: Signal,
    terminations: Signal,
}

#[cfg(unix)]
impl Signals {
    /// From now on the process does not end by itself when it is asked to.
    pub(super) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(unheard);
        Ok(Self {
            interrupts: listen(SignalKind::interrupt())?,
            terminations: listen(SignalKind::terminate())?,
        })
    }

    /// Ends when somebody wants the board to stop, each time anew.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminations.recv() => {}
        }
    }
}

/// The wish that the board stops.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> Result<Self> {
        Ok(Self)
    }

    /// Ends when somebody wants the board to stop, each time anew.
    pub(super) async fn stop(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
fn unheard(error: io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "signals cannot be heard").with_source(error)
}
