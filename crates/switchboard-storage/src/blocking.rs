//! Where drivers do what blocks a thread: one hop for each call, and nothing that was given up comes late.

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result};
use tokio::task::JoinError;

/// Does `work` on a thread that may wait, for a driver whose client blocks.
///
/// A thread cannot be dropped as a future can: what it does may come after its caller has gone, and overtake what is
/// asked for later. So `work` looks at its [`Caller`] before it does what others see, with whatever lock or transaction
/// it has by then.
///
/// ```
/// use std::fs;
/// use std::path::PathBuf;
/// use std::sync::{Arc, Mutex, PoisonError};
/// use switchboard_core::{Error, ErrorKind, Result};
/// use switchboard_storage::blocking;
///
/// /// Only one at a time replaces the file.
/// async fn replace(file: Arc<Mutex<PathBuf>>, content: Vec<u8>) -> Result<()> {
///     blocking(move |caller| {
///         let file = file.lock().unwrap_or_else(PoisonError::into_inner);
///         let (there, beside) = (file.as_path(), file.with_extension("new"));
///         fs::write(&beside, content).map_err(classify)?;
///         caller.still_waits()?;
///         fs::rename(beside, there).map_err(classify)
///     })
///     .await
/// }
/// # fn classify(error: std::io::Error) -> Error {
/// #     Error::new(ErrorKind::Unexpected, "the file could not be used").with_source(error)
/// # }
/// ```
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Caller) -> Result<T> + Send + 'static,
) -> Result<T> {
    let caller = Caller::default();
    let _presence = Presence(caller.clone());
    wait(move || {
        caller.still_waits()?;
        work(&caller)
    })
    .await
}

/// Whoever asked for what a thread is doing.
#[derive(Clone, Debug, Default)]
pub struct Caller(Arc<Gone>);

/// Whether the caller has gone, and who wants to be told.
#[derive(Debug, Default)]
struct Gone {
    is_so: Mutex<bool>,
    told: Condvar,
}

impl Caller {
    /// An error where nobody does any more: what was not done yet is to be left.
    pub fn still_waits(&self) -> Result<()> {
        if !*self.0.is_so() {
            return Ok(());
        }
        let gone = Error::new(ErrorKind::Cancelled, "the caller does not wait for it any more");
        Err(gone.not_applied())
    }

    /// Waits for so long, for what is asked for again and again, such as a lock of another process; or until
    /// nobody waits for the answer any more, which is an error.
    pub fn pause(&self, time: Duration) -> Result<()> {
        let waiting = self.0.told.wait_timeout_while(self.0.is_so(), time, |is_gone| !*is_gone);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
        self.still_waits()
    }
}

impl Gone {
    fn is_so(&self) -> MutexGuard<'_, bool> {
        self.is_so.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it is there, the caller waits.
struct Presence(Caller);

impl Drop for Presence {
    fn drop(&mut self) {
        let gone = &self.0.0;
        *gone.is_so() = true;
        gone.told.notify_all();
    }
}

/// Does `work`, whoever waits for it.
pub(crate) async fn wait<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    answer(tokio::task::spawn_blocking(work).await)?
}

/// What a thread answered. If it panicked, so does this.
pub(crate) fn answer<T>(done: std::result::Result<T, JoinError>) -> Result<T> {
    done.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => Error::new(ErrorKind::Unavailable, "the runtime is shutting down")
            .with_source(error)
            .not_applied(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_work_has_its_answer_and_a_caller_that_waits() {
        let answer = blocking(|caller| caller.still_waits().map(|()| 7)).await;
        assert_eq!(answer.unwrap(), 7);
    }

    #[tokio::test]
    async fn the_work_is_told_that_its_caller_has_gone() {
        let (begin, may_begin) = mpsc::channel();
        let (say, said) = mpsc::channel();
        let mut work = Box::pin(blocking(move |caller| {
            may_begin.recv().unwrap();
            say.send(caller.still_waits().map_err(|error| error.kind())).unwrap();
            Ok(())
        }));
        assert!((&mut work).now_or_never().is_none());
        // It may be that it was never begun: then there is nothing that could come late.
        drop(work);
        begin.send(()).ok();
        let said = tokio::task::spawn_blocking(move || said.recv()).await.unwrap();
        assert!(said.is_err() || said == Ok(Err(ErrorKind::Cancelled)), "{said:?}");
    }

    #[tokio::test]
    async fn a_pause_ends_when_the_caller_goes() {
        let (tell, told) = mpsc::channel();
        let (start, begun) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(blocking(move |caller| {
            start.send(()).unwrap();
            tell.send(caller.pause(Duration::MAX)).unwrap();
            Ok(())
        }));
        assert!((&mut work).now_or_never().is_none());
        begun.await.unwrap();
        drop(work);
        let paused = tokio::task::spawn_blocking(move || told.recv()).await.unwrap().unwrap();
        assert_eq!(paused.unwrap_err().kind(), ErrorKind::Cancelled);
    }

    #[tokio::test]
    #[should_panic = "no way"]
    async fn the_panic_of_the_work_is_that_of_its_caller() {
        blocking::<()>(|_| panic!("no way")).await.unwrap();
    }
}
