//! What the system tells a running board: to stop, or to read its configuration again.
//!
//! Reloads while it serves are the board's own; here are only those that were asked for too early.

#[cfg(unix)]
use futures_util::FutureExt as _;
use switchboard_core::Result;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind};

use crate::stops::Stops;
#[cfg(unix)]
use crate::stops::heard;

/// What a board is told while it lives.
pub(super) struct Signals {
    stops: Stops,
    #[cfg(unix)]
    hangups: Signal,
}

impl Signals {
    /// From now on the process does not end by itself when it is asked to.
    pub(super) fn listen() -> Result<Self> {
        Ok(Self {
            stops: Stops::listen()?,
            // A board that is starting is not there to be hung up on.
            #[cfg(unix)]
            hangups: heard(SignalKind::hangup())?,
        })
    }

    /// Ends when somebody wants the board to stop, each time anew.
    pub(super) async fn stop(&mut self) {
        self.stops.next().await;
    }

    /// Whether somebody wanted the configuration to be read again since this was last asked.
    #[cfg(unix)]
    pub(super) fn wants_reload(&mut self) -> bool {
        self.hangups.recv().now_or_never().is_some()
    }

    /// Nobody can ask for it this way.
    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "it is asked in the same way everywhere")]
    pub(super) fn wants_reload(&mut self) -> bool {
        false
    }
}
