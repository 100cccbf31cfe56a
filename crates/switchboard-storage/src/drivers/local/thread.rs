//! Where calls of the file system are made: on threads that may wait, one hop for each call of the driver.

use std::sync::Arc;

use switchboard_core::Result;
use tokio::sync::Semaphore;

use super::folder::Folder;
use crate::blocking::{Caller, blocking};
pub(super) use crate::blocking::{answer, wait};

/// Does `work`, which changes nothing that others see.
pub(super) async fn run<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder) -> Result<T> + Send + 'static,
) -> Result<T> {
    let folder = folder.clone();
    blocking(move |_| work(&folder)).await
}

/// Does `work`, which looks at the caller before it does what others see. It may wait for locks, and so as many
/// calls as have been said are at it at the same time in the whole process: the rest of the threads is for others.
pub(super) async fn change<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder, &Caller) -> Result<T> + Send + 'static,
) -> Result<T> {
    static PLACES: Semaphore = Semaphore::const_new(CHANGES_MAX);
    let folder = folder.clone();
    // It is never closed.
    let place = PLACES.acquire().await.ok();
    blocking(move |caller| {
        // Kept for as long as the thread is, whoever waits for it.
        let _place = place;
        work(&folder, caller)
    })
    .await
}

/// How many threads change folders at the same time: a quarter of those that a runtime has if nothing else is said.
pub(super) const CHANGES_MAX: usize = 128;
