//! A board for plain threads: what it may be asked there, and that it ends.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod lamps;

use std::sync::mpsc;
use std::time::Duration;

use lamps::Bulbs;
use switchboard::{Blocking, Switchboard};
use switchboard_core::{ErrorKind, Result};

const DOOR: &str = "[lamp]\ndoor = { driver = 'bulb', colour = 'red', required = true }";
const LIMIT: Duration = Duration::from_mins(1);

fn start(bulbs: &Bulbs) -> Blocking {
    Blocking::start(bulbs.board(DOOR)).unwrap()
}

#[test]
fn plain_threads_use_a_board_of_their_own_runtime() {
    let board = Blocking::start(Switchboard::builder()).unwrap();
    let cache = board.cache("main").unwrap();
    std::thread::scope(|scope| {
        for user in 0..8 {
            let (board, cache) = (&board, &cache);
            scope.spawn(move || {
                board.wait(cache.forever(&format!("user-{user}"), "here")).unwrap().unwrap();
            });
        }
    });
    for user in 0..8 {
        assert!(board.wait(cache.get(&format!("user-{user}"))).unwrap().unwrap().is_some());
    }
    board.close(LIMIT).unwrap().into_result().unwrap();
}

#[tokio::test]
async fn a_thread_of_a_runtime_is_not_made_to_wait() {
    let refused = Blocking::start(Switchboard::builder());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_board_that_is_dropped_without_being_closed_closes_its_drivers() {
    let bulbs = Bulbs::default();
    drop(start(&bulbs));
    assert_eq!((bulbs.built(), bulbs.closed()), (1, 1));
}

#[test]
fn a_board_that_is_closed_and_dropped_is_closed_once() {
    let bulbs = Bulbs::default();
    let board = start(&bulbs);
    assert_eq!(board.close(LIMIT).unwrap().closed, ["lamp.door"]);
    drop(board);
    assert_eq!(bulbs.closed(), 1);
}

#[test]
fn a_part_that_hangs_holds_a_drop_up_no_longer_than_the_limit_of_the_board() {
    let bulbs = Bulbs::default();
    let limit = "board.close_limit = '200ms'\n";
    let board = Blocking::start(bulbs.board(&format!("{limit}{DOOR}"))).unwrap();
    board.join("hangs", std::future::pending::<Result<()>>).unwrap();
    let clock = board.environment().clock().clone();
    let begin = clock.now();
    drop(board);
    assert!(clock.now() - begin < LIMIT);
    assert_eq!(bulbs.closed(), 1);
}

#[tokio::test]
async fn a_board_may_be_dropped_on_a_thread_that_belongs_to_a_runtime_and_is_closed() {
    let bulbs = Bulbs::default();
    let of_thread = bulbs.clone();
    let board = std::thread::spawn(move || start(&of_thread)).join().unwrap();
    let kept: Switchboard = (*board).clone();
    drop(board);
    assert_eq!(kept.close(LIMIT).await.closed, ["lamp.door"]);
    assert_eq!(bulbs.closed(), 1);
}

#[cfg(unix)]
#[test]
fn a_plain_thread_lets_its_board_reload_when_the_process_gets_a_signal() {
    let folder = std::env::temp_dir().join(format!("switchboard-blocking-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("lamps.toml");
    std::fs::write(&file, DOOR).unwrap();
    let bulbs = Bulbs::default();
    let board = Blocking::start(bulbs.builder().file(&file)).unwrap();
    let watching = board.reload_on_hangup().unwrap();
    let (tell, told) = mpsc::channel();
    board.on_record(move |record| drop(tell.send(record.clone())));
    std::fs::write(&file, DOOR.replace("'red'", "'blue'")).unwrap();
    let own = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &own]).status().unwrap().success());
    let record = told.recv_timeout(LIMIT).unwrap();
    assert_eq!((record.by.as_str(), record.outcome.as_str()), ("SIGHUP", "ok"));
    let lamp = board.handle::<lamps::Lamps>("door").unwrap();
    assert_eq!(board.wait(lamp.colour()).unwrap().unwrap(), "blue");
    drop(watching);
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn without_a_runtime_a_signal_cannot_be_waited_for_and_that_is_an_error() {
    let board = Blocking::start(Switchboard::builder()).unwrap();
    let of_runtime: &Switchboard = &board;
    let refused = of_runtime.reload_on_hangup().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    let files = of_runtime.watch_files().unwrap();
    drop(files);
}
