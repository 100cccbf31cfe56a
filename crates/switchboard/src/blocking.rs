//! A board for threads that have no runtime of their own.

use std::time::Duration;
use std::{fmt, thread};

use switchboard_core::{CloseReport, Error, ErrorKind, Result};
use tokio::runtime::{Handle, Runtime};

#[cfg(unix)]
use crate::Watching;
use crate::{Builder, Switchboard};

/// A board with a runtime of its own, for plain threads. They wait; the board does not.
///
/// Dropping it closes the board within [`close_limit`](Switchboard::close_limit), unless that was done
/// before. A plain thread waits for that; one that belongs to a runtime must not, so a thread of its
/// own does it then, which goes on as long as the process does.
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
#[must_use = "the board is closed as soon as this is dropped"]
pub struct Blocking {
    runtime: OwnRuntime,
    board: Switchboard,
}

impl Blocking {
    /// Builds the board on a runtime of its own.
    pub fn start(builder: Builder) -> Result<Self> {
        refuse_inside_a_runtime()?;
        let runtime = OwnRuntime(Some(new_runtime()?));
        let board = runtime.block_on(builder.build())??;
        Ok(Self { runtime, board })
    }

    /// What `asked` answers; the thread waits for it.
    ///
    /// An error on a thread that belongs to a runtime: waiting there would stop what it waits for.
    pub fn wait<F: Future>(&self, asked: F) -> Result<F::Output> {
        refuse_inside_a_runtime()?;
        self.runtime.block_on(asked)
    }

    /// Reloads whenever the process gets a SIGHUP, as [`Switchboard::reload_on_hangup`] does.
    #[cfg(unix)]
    pub fn reload_on_hangup(&self) -> Result<Watching> {
        let _inside = self.runtime.handle().map(Handle::enter);
        self.board.reload_on_hangup()
    }

    /// Closes the board; the thread waits for it.
    pub fn close(&self, limit: Duration) -> Result<CloseReport> {
        self.wait(self.board.close(limit))
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.0.take() else { return };
        let (runtime, board) = (OwnRuntime(Some(runtime)), self.board.clone());
        let limit = board.close_limit();
        // Whoever has a clone and closes it as well finds this run.
        let inside = runtime.handle().map(Handle::enter);
        board.begin_closing(limit);
        drop(inside);
        let close = move || drop(runtime.block_on(board.close(limit)));
        if refuse_inside_a_runtime().is_ok() {
            close();
        } else if let Err(error) = thread::Builder::new().name(CLOSER.to_owned()).spawn(close) {
            tracing::warn!(%error, "there is no thread to wait for the end of the board");
        }
    }
}

/// A runtime that may be dropped on any thread: whatever still runs in it is given up.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn block_on<F: Future>(&self, asked: F) -> Result<F::Output> {
        let runtime = self.0.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the runtime of the board has ended")
        })?;
        Ok(runtime.block_on(asked))
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
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

fn new_runtime() -> Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(WORKERS).thread_name("switchboard").enable_all();
    runtime.build().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the runtime could not be started").with_source(error)
    })
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
/// What the thread is called that closes a board which was dropped where nobody may wait.
const CLOSER: &str = "switchboard close";
