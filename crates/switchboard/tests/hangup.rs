//! The signal to read the configuration again, sent to this very process: the only test in it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod files;
mod lamps;

use files::{File, Told, colour, door};
use lamps::Bulbs;

fn hang_up() {
    let sent = std::process::Command::new("kill")
        .args(["-HUP", &std::process::id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn a_board_reads_its_configuration_again_at_each_hangup() {
    let file = File::new(&door("red"));
    let board = file.board(&Bulbs::default()).await;
    let mut told = Told::by(&board);
    let _watching = board.reload_on_hangup().unwrap();
    for next in ["blue", "green"] {
        file.write(&door(next));
        hang_up();
        let record = told.next().await;
        assert_eq!((record.by.as_str(), record.outcome.as_str()), ("SIGHUP", "ok"));
        assert_eq!(colour(&board, "door").await, next);
    }
}
