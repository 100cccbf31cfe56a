//! What is done to a running board, a line for each change.

use switchboard::{Record, Switchboard};

use crate::failure::one_line;
use crate::notes::Notes;

/// Tells every change from now on. Whoever makes changes does not wait for whoever reads about them.
pub(super) fn start(board: &Switchboard, notes: Notes) {
    board.on_record(move |record| notes.add(line(record)));
}

fn line(record: &Record) -> String {
    let Record { action, subject, by, outcome, .. } = record;
    one_line(&format!("{action} {subject} by {by}: {outcome}"))
}
