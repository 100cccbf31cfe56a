//! Where calls of the file system are made: on threads that may wait, one hop for each call of the driver.

use std::panic::resume_unwind;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Result};
use tokio::task::JoinError;

use super::folder::Folder;
use super::publish::Caller;

/// Does `work`, which looks at the caller before it does what others see.
pub(super) async fn run<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder, &Caller) -> Result<T> + Send + 'static,
) -> Result<T> {
    let folder = folder.clone();
    let caller = Caller::default();
    let _presence = caller.presence();
    wait(move || {
        caller.still_waits()?;
        work(&folder, &caller)
    })
    .await
}

/// Does `work`, whoever waits for it.
pub(super) async fn wait<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    answer(tokio::task::spawn_blocking(work).await)?
}

/// What a thread answered. If it panicked, so does this.
pub(super) fn answer<T>(done: std::result::Result<T, JoinError>) -> Result<T> {
    done.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => Error::new(ErrorKind::Unavailable, "the runtime is shutting down")
            .with_source(error)
            .not_applied(),
    })
}
