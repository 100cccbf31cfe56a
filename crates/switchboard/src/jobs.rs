//! What runs beside a board until it is stopped, or the board is closed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard_core::{Error, ErrorKind, Reaper, Result, Running};

/// The jobs of a board.
pub(crate) struct Jobs(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    running: BTreeMap<u64, Running>,
    is_over: bool,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Runs `job` until it ends, is [ended](Self::end), or all are. The answer is its number.
    pub(crate) fn start(
        &self,
        reaper: &Reaper,
        name: &'static str,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<u64> {
        let mut state = self.lock();
        if state.is_over {
            return Err(Error::new(ErrorKind::Unavailable, "the board is closed").not_applied());
        }
        let running = reaper.run(name, job)?;
        state.last += 1;
        let number = state.last;
        state.running.insert(number, running);
        Ok(number)
    }

    /// Whether all jobs have been ended and no new one may come.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Ends one job; it is not waited for.
    pub(crate) fn end(&self, number: u64) {
        let running = self.lock().running.remove(&number);
        drop(running);
    }

    /// Ends all jobs and lets no new one come; when this answers, none is running any more.
    pub(crate) async fn end_all(&self) {
        let running = {
            let mut state = self.lock();
            state.is_over = true;
            std::mem::take(&mut state.running)
        };
        for running in running.into_values() {
            // Its only error is that of a runtime that has ended.
            running.stop().await.ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("running", &self.lock().running.len()).finish()
    }
}
