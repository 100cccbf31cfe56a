//! What makes a running board read its configuration again without being asked over HTTP.

use std::convert::Infallible;

use switchboard::{Switchboard, Watching};
use switchboard_core::Result;

/// Lets the board reload on SIGHUP and, if that is wanted, when a file changes; until it is dropped.
/// How that went is among its records.
pub(super) fn start(board: &Switchboard, watches_files: bool) -> Result<Vec<Watching>> {
    let mut watching = Vec::new();
    #[cfg(unix)]
    watching.push(board.reload_on_hangup()?);
    if watches_files {
        watching.push(board.watch_files()?);
    }
    Ok(watching)
}

/// Does what was asked for before the board was there to do it.
pub(super) async fn catch_up(board: &Switchboard, is_asked: bool) -> Infallible {
    if is_asked {
        // How that went is among its records too.
        drop(board.reload("SIGHUP").await);
    }
    std::future::pending().await
}
