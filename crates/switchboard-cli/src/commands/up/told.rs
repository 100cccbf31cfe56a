//! What is done to a running board, a line for each change, while it is served.

use std::convert::Infallible;

use switchboard::{Record, Switchboard};
use tokio::sync::mpsc::{Receiver, channel};

use crate::failure::one_line;
use crate::session::Session;

/// The changes that have not been told yet.
pub(super) struct Told(Receiver<String>);

impl Told {
    /// Those that come from now on.
    pub(super) fn new(board: &Switchboard) -> Self {
        let (sender, lines) = channel(LINES_MAX);
        // Whoever makes changes does not wait for whoever reads about them.
        board.on_record(move |record| drop(sender.try_send(line(record))));
        Self(lines)
    }

    /// Tells every change until it is dropped.
    pub(super) async fn go_on(mut self, session: &mut Session) -> Infallible {
        while let Some(line) = self.0.recv().await {
            session.screen.note(line);
        }
        std::future::pending().await
    }
}

fn line(record: &Record) -> String {
    let Record { action, subject, by, outcome, .. } = record;
    one_line(&format!("{action} {subject} by {by}: {outcome}"))
}

/// How many changes may wait to be told; the records have those on top.
const LINES_MAX: usize = 1_000;
