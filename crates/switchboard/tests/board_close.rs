//! The end of a board: once, in order, whoever asks for it and whoever goes away.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod lamps;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use lamps::{Bulbs, LampDriver, Lamps};
use switchboard::Switchboard;
use switchboard_core::{CloseReport, ErrorKind, Lifecycle, NoSettings, Reply, Result};

const DOOR: &str = "[lamp]\ndoor = { driver = 'bulb', colour = 'red', required = true }";
const LIMIT: Duration = Duration::from_secs(5);

async fn board(bulbs: &Bulbs) -> Switchboard {
    bulbs.board(DOOR).build().await.unwrap()
}

/// A part that takes a second to close, uses the lamp at the end of it, and counts that it could.
fn join_slow(board: &Switchboard, name: &str, closed: &Arc<AtomicUsize>) {
    let (lamp, clock) =
        (board.handle::<Lamps>("door").unwrap(), board.environment().clock().clone());
    let closed = closed.clone();
    let close = move || async move {
        clock.sleep(Duration::from_secs(1)).await;
        lamp.colour().await?;
        closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    board.join(name, close).unwrap();
}

fn told(report: &CloseReport) -> (Vec<String>, Vec<String>) {
    (report.closed.clone(), report.errors.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn closing_at_the_same_time_waits_for_the_parts_and_gives_the_same_report() {
    let (bulbs, closed) = (Bulbs::default(), Arc::default());
    let board = board(&bulbs).await;
    join_slow(&board, "server", &closed);
    let (one, two) = tokio::join!(board.close(LIMIT), board.close(Duration::from_millis(1)));
    let expected = (vec!["server".to_owned(), "lamp.door".to_owned()], vec![]);
    assert_eq!(
        (told(&one), told(&two)),
        (expected.clone(), expected.clone()),
        "the first limit counts"
    );
    assert_eq!((closed.load(Ordering::SeqCst), bulbs.closed()), (1, 1));
    assert_eq!(told(&board.close(LIMIT).await), expected, "and again");
    assert_eq!((closed.load(Ordering::SeqCst), bulbs.closed()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn closing_goes_on_when_its_caller_goes_away() {
    let (bulbs, closed) = (Bulbs::default(), Arc::default());
    let board = board(&bulbs).await;
    for name in ["server", "worker", "listener"] {
        join_slow(&board, name, &closed);
    }
    let gone = tokio::time::timeout(Duration::from_millis(500), board.close(LIMIT * 2)).await;
    assert!(gone.is_err());
    let report = board.close(LIMIT).await;
    assert_eq!(told(&report).0, ["listener", "worker", "server", "lamp.door"], "{report:?}");
    assert_eq!((closed.load(Ordering::SeqCst), bulbs.closed()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_end_is_no_limit() {
    let bulbs = Bulbs::default();
    let board = board(&bulbs).await;
    board.close(Duration::MAX).await.into_result().unwrap();
    assert_eq!(bulbs.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_closes_the_board_is_told_that_this_is_under_way() {
    let bulbs = Bulbs::default();
    let board = board(&bulbs).await;
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (weak, kept) = (board.clone(), reports.clone());
    let close = move || async move {
        let report = weak.close(LIMIT).await;
        kept.lock().unwrap().push(report.is_under_way);
        Ok(())
    };
    board.join("server", close).unwrap();
    let clock = board.environment().clock().clone();
    let begin = clock.now();
    let report = board.close(LIMIT).await;
    assert!(!report.is_under_way && report.errors.is_empty(), "{report:?}");
    assert_eq!((&*reports.lock().unwrap(), clock.now()), (&vec![true], begin), "nobody waited");
}

#[tokio::test(start_paused = true)]
async fn parts_that_hang_leave_the_instances_half_of_the_time() {
    let bulbs = Bulbs::default();
    let board = board(&bulbs).await;
    for number in 0..20 {
        board.join(format!("part {number}"), std::future::pending::<Result<()>>).unwrap();
    }
    let clock = board.environment().clock().clone();
    let begin = clock.now();
    let (report, ()) = tokio::join!(board.close(LIMIT), async {
        clock.sleep(LIMIT * 6 / 10).await;
        assert_eq!(bulbs.closed(), 1, "more than a third of the time before the end");
    });
    assert_eq!(told(&report).0, ["lamp.door"]);
    assert_eq!(report.errors.len(), 20);
    assert!(report.errors.iter().all(|error| error.kind() == ErrorKind::Timeout));
    assert!(clock.now() - begin <= LIMIT);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_one_part_does_not_need_is_there_for_the_next() {
    let (bulbs, closed) = (Bulbs::default(), Arc::default());
    let board = board(&bulbs).await;
    join_slow(&board, "slow", &closed);
    for number in 0..9 {
        board.join(format!("quick {number}"), || async { Ok(()) }).unwrap();
    }
    let report = board.close(LIMIT).await;
    assert_eq!(told(&report).0.len(), 11, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn what_runs_beside_the_board_has_ended_when_the_first_part_closes() {
    let bulbs = Bulbs::default();
    let board = board(&bulbs).await;
    let _watching = board.watch_files().unwrap();
    let reaper = board.environment().reaper().clone();
    assert!(reaper.figures().running > 0);
    let running = Arc::new(AtomicUsize::new(usize::MAX));
    let seen = running.clone();
    let close = move || {
        seen.store(reaper.figures().running, Ordering::SeqCst);
        async { Ok(()) }
    };
    board.join("server", close).unwrap();
    board.close(LIMIT).await.into_result().unwrap();
    assert_eq!(running.load(Ordering::SeqCst), 0);
    assert_eq!(board.watch_files().unwrap_err().kind(), ErrorKind::Unavailable);
}

/// A lamp that closes the whole board when it is closed itself.
#[derive(Clone, Default)]
struct Fuse {
    board: Arc<OnceLock<Switchboard>>,
    told: Arc<Mutex<Vec<bool>>>,
}

impl Lifecycle for Fuse {
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            let Some(board) = self.board.get() else { return Ok(()) };
            let report = board.close(LIMIT).await;
            self.told.lock().unwrap().push(report.is_under_way);
            Ok(())
        })
    }
}

impl LampDriver for Fuse {
    fn colour(&self) -> Reply<'_, String> {
        Reply::ready(Ok("none".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_closes_the_board_is_told_that_this_is_under_way() {
    let fuse = Fuse::default();
    let made = fuse.clone();
    let text = "lamp.fuse = { driver = 'fuse', required = true }";
    let builder = Bulbs::default().board(text).drivers::<Lamps>(move |lamps| {
        lamps.register("fuse", move |_: NoSettings, _| {
            let fuse = made.clone();
            async move { Ok(fuse) }
        })
    });
    let board = builder.build().await.unwrap();
    fuse.board.set(board.clone()).unwrap();
    let clock = board.environment().clock().clone();
    let begin = clock.now();
    let report = board.close(LIMIT).await;
    assert_eq!(told(&report), (vec!["lamp.fuse".to_owned()], vec![]));
    assert_eq!((&*fuse.told.lock().unwrap(), clock.now()), (&vec![true], begin), "nobody waited");
}
