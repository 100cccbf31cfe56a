//! The end: nobody new comes in, what is under way is answered, nothing is left.

use std::time::Duration;

use switchboard::Switchboard;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::board::{PATIENCE, SHOP, Served};
use crate::client::Answer;

const WAITS: &str = "[cache.main]\ndriver = 'moody'\nmood = 'waits'";

#[tokio::test]
async fn a_request_under_way_is_answered_and_nobody_new_comes_in() {
    let served = Served::new(WAITS).await;
    let stream = waiting(&served).await;
    let (board, gate, address) = (served.board.clone(), served.gate.clone(), served.address());
    let closing = board.close(Duration::from_secs(20));
    let watching = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.open.add_permits(1);
        Answer::read(stream).await
    };
    let (report, answer) =
        timeout(PATIENCE, async { tokio::join!(closing, watching) }).await.expect("the end");
    assert_eq!(answer.status, 404);
    report.into_result().unwrap();
    assert_eq!(board.environment().reaper().figures().running, 0);
}

#[tokio::test]
async fn clients_that_only_sit_there_do_not_delay_the_end() {
    let served = Served::new(SHOP).await;
    let mut sitting = Vec::new();
    for _ in 0..10 {
        sitting.push(TcpStream::connect(served.address()).await.unwrap());
    }
    assert_eq!(served.ask("GET", "/livez").send().await.status, 200);
    let board = served.board.clone();
    timeout(PATIENCE, served.close()).await.expect("the end");
    assert_eq!(board.environment().reaper().figures().running, 0);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_at_the_limit() {
    let served = Served::new(WAITS).await;
    let stream = waiting(&served).await;
    let board = served.board.clone();
    let report = timeout(PATIENCE, board.close(Duration::from_millis(400))).await.expect("the end");
    let told = report.into_result().unwrap_err().to_string();
    assert!(told.contains("console") || told.contains("in time"), "{told}");
    drop(stream);
    nothing_runs(&board).await;
    assert!(TcpStream::connect(served.address()).await.is_err());
}

#[tokio::test]
async fn dropping_the_console_leaves_it_serving() {
    let served = Served::new(SHOP).await;
    let address = served.address();
    drop(served.console);
    let answer = crate::client::Ask::new(address, "GET", "/livez").send().await;
    assert_eq!(answer.status, 200);
    served.board.close(Duration::from_secs(5)).await.into_result().unwrap();
}

#[tokio::test]
async fn a_closed_board_is_not_served() {
    let served = Served::new(SHOP).await;
    let board = served.board.clone();
    served.close().await;
    let config = switchboard_console::ConsoleConfig::default();
    assert!(switchboard_console::serve(&board, &config).await.is_err());
    nothing_runs(&board).await;
}

#[tokio::test]
async fn two_boards_are_served_side_by_side() {
    let [one, two] = [Served::new(SHOP).await, Served::new(SHOP).await];
    one.close().await;
    assert_eq!(two.ask("GET", "/livez").send().await.status, 200);
    two.close().await;
}

/// A client whose request has come to the driver.
async fn waiting(served: &Served) -> TcpStream {
    let ask = served.ask("GET", "/api/v1/cache/main/values/a");
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(&ask.bytes()).await.unwrap();
    served.gate.came.acquire().await.unwrap().forget();
    stream
}

/// Waits until what was dropped is gone.
async fn nothing_runs(board: &Switchboard) {
    let gone = async {
        while board.environment().reaper().figures().running > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("nothing is left");
}
