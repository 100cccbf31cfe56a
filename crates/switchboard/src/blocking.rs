//! A board for threads that have no runtime of their own.

use std::fmt;
use std::time::Duration;

use switchboard_core::{CloseReport, Error, ErrorKind, Result};
use tokio::runtime::{Handle, Runtime};

use crate::{Builder, Switchboard};

/// A board with a runtime of its own, for plain threads. They wait; the board does not.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Blocking, Switchboard};
///
/// # fn main() -> switchboard_core::Result<()> {
/// let board = Blocking::start(Switchboard::builder())?;
/// let sessions = board.cache("main")?;
/// std::thread::scope(|scope| {
///     for user in 0..4 {
///         let (board, sessions) = (&board, &sessions);
///         scope.spawn(move || board.wait(sessions.forever(&format!("user-{user}"), "here")));
///     }
/// });
/// assert!(board.wait(sessions.get("user-3"))??.is_some());
/// board.close(Duration::from_secs(5))?.into_result()
/// # }
/// ```
pub struct Blocking {
    runtime: Runtime,
    board: Switchboard,
}

impl Blocking {
    /// Builds the board on a runtime of its own.
    pub fn start(builder: Builder) -> Result<Self> {
        refuse_inside_a_runtime()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("switchboard")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the runtime could not be started")
                    .with_source(error)
            })?;
        let board = runtime.block_on(builder.build())?;
        Ok(Self { runtime, board })
    }

    /// What `asked` answers; the thread waits for it.
    ///
    /// An error on a thread that belongs to a runtime: waiting there would stop what it waits for.
    pub fn wait<F: Future>(&self, asked: F) -> Result<F::Output> {
        refuse_inside_a_runtime()?;
        Ok(self.runtime.block_on(asked))
    }

    /// Closes the board; the thread waits for it.
    pub fn close(&self, limit: Duration) -> Result<CloseReport> {
        self.wait(self.board.close(limit))
    }
}

/// Handles come from the board itself: looking one up never waits.
impl std::ops::Deref for Blocking {
    type Target = Switchboard;

    fn deref(&self) -> &Switchboard {
        &self.board
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking").field(&self.board).finish()
    }
}

fn refuse_inside_a_runtime() -> Result<()> {
    match Handle::try_current() {
        Err(_) => Ok(()),
        Ok(_) => Err(Error::new(
            ErrorKind::InvalidInput,
            "a thread that belongs to a runtime must not wait",
        )
        .with_hint("await the future, or use `Switchboard` itself")),
    }
}

/// Calls run on the threads that wait; these are for what goes on beside them.
const WORKERS: usize = 2;
