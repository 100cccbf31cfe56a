//! What the system tells a running board: to stop, or to read its configuration again.
//!
//! Reloads while it serves are the board's own; here are only those that were asked for too early.

#[cfg(unix)]
use futures_util::FutureExt as _;
use switchboard_core::Result;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wish that the board stops, however it is uttered.
#[cfg(unix)]
pub(super) struct Signals {
    interrupts: Signal,
    terminations: Signal,
    hangups: Signal,
}

#[cfg(unix)]
impl Signals {
    /// From now on the process does not end by itself when it is asked to.
    pub(super) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(unheard);
        Ok(Self {
            interrupts: listen(SignalKind::interrupt())?,
            terminations: listen(SignalKind::terminate())?,
            // A board that is starting is not there to be hung up on.
            hangups: listen(SignalKind::hangup())?,
        })
    }

    /// Ends when somebody wants the board to stop, each time anew.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminations.recv() => {}
        }
    }

    /// Whether somebody wanted the configuration to be read again since this was last asked.
    pub(super) fn wants_reload(&mut self) -> bool {
        self.hangups.recv().now_or_never().is_some()
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

    /// Nobody can ask for it this way.
    #[expect(clippy::unused_self, reason = "it is asked in the same way everywhere")]
    pub(super) fn wants_reload(&mut self) -> bool {
        false
    }
}

#[cfg(unix)]
fn unheard(error: std::io::Error) -> switchboard_core::Error {
    use switchboard_core::{Error, ErrorKind};
    Error::new(ErrorKind::Unexpected, "signals cannot be heard").with_source(error)
}
