//! Where calls of the file system are made: on threads that may wait, one hop for each call of the driver.

use std::sync::Arc;

use switchboard_core::Result;

use super::folder::Folder;
use crate::blocking::{Caller, blocking};
pub(super) use crate::blocking::{answer, wait};

/// Does `work`, which looks at the caller before it does what others see.
pub(super) async fn run<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder, &Caller) -> Result<T> + Send + 'static,
) -> Result<T> {
    let folder = folder.clone();
    blocking(move |caller| work(&folder, caller)).await
}
