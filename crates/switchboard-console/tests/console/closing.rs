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
    let closing = board.close(PATIENCE);
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
async fn a_client_that_has_sent_half_a_request_does_not_delay_the_end() {
    let head = b"PUT /api/v1/cache/sessions/values/a HTTP/1.1\r\nHost: localhost\r\n";
    let body = b"Content-Length: 1000\r\n\r\nabc";
    let half_body = [&head[..], body].concat();
    for half in [&head[..10], head, &half_body] {
        // Nothing has any time at all, but for what asks nothing.
        let served = Served::new(&format!("{SHOP}[console]\ndrain_limit = '1h'")).await;
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        stream.write_all(half).await.unwrap();
        // When this is answered, the half before has come as well.
        assert_eq!(served.ask("GET", "/livez").send().await.status, 200);
        timeout(PATIENCE, served.close()).await.expect("the end");
        drop(stream);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off_and_that_is_no_error() {
    let served = Served::new(&format!("{SHOP}[console]\ndrain_limit = '100ms'")).await;
    served.board.cache("sessions").unwrap().forever("a", vec![7; 3 << 20]).await.unwrap();
    let ask = b"GET /api/v1/cache/sessions/values/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(&ask.repeat(8)).await.unwrap();
    stream.readable().await.unwrap();
    let board = served.board.clone();
    timeout(PATIENCE, served.close()).await.expect("the end");
    nothing_runs(&board).await;
    drop(stream);
}

#[tokio::test]
async fn a_request_that_is_worked_at_for_too_long_is_cut_off_and_that_is_no_error() {
    let served = Served::new(&format!("{WAITS}\n[console]\ndrain_limit = '100ms'")).await;
    let stream = waiting(&served).await;
    let board = served.board.clone();
    timeout(PATIENCE, served.close()).await.expect("the end");
    nothing_runs(&board).await;
    drop(stream);
}

#[tokio::test]
async fn a_swap_that_still_builds_is_given_up_at_the_end_and_recorded_so() {
    let served = Served::new(&format!("{SHOP}[console]\ndrain_limit = '10s'")).await;
    served.board.cache("main").unwrap().get("a").await.unwrap();
    let ask = served.ask("POST", "/api/v1/instances/cache.main/swap");
    let asking = ask.json(r#"{"driver":"moody","mood":"hangs-at-start"}"#).send();
    let (board, gate) = (served.board.clone(), served.gate.clone());
    let closing = async {
        gate.came.acquire().await.unwrap().forget();
        board.close(PATIENCE).await.into_result()
    };
    let (answer, closed) =
        timeout(PATIENCE, async { tokio::join!(asking, closing) }).await.expect("the end");
    closed.unwrap();
    assert_eq!((answer.status, answer.kind().as_str()), (503, "cancelled"));
    let records = board.records();
    assert_eq!((records.len(), records[0].action.as_str()), (1, "swap"));
    assert!(records[0].outcome.starts_with("cancelled"), "{}", records[0].outcome);
    nothing_runs(&board).await;
}

#[tokio::test]
async fn a_flush_that_nobody_waits_for_is_given_up_at_the_end_and_recorded_so() {
    let served = Served::new(&format!("{WAITS}\n[console]\ndrain_limit = '100ms'")).await;
    let ask = served.ask("POST", "/api/v1/cache/main/flush");
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(&ask.bytes()).await.unwrap();
    served.gate.came.acquire().await.unwrap().forget();
    drop(stream);
    let board = served.board.clone();
    timeout(PATIENCE, served.close()).await.expect("the end");
    let outcomes: Vec<_> = board.records().into_iter().map(|of| of.outcome).collect();
    assert_eq!(outcomes.len(), 1);
    assert!(outcomes[0].starts_with("cancelled"), "{outcomes:?}");
    nothing_runs(&board).await;
}

#[tokio::test]
async fn dropping_the_console_leaves_it_serving() {
    let served = Served::new(SHOP).await;
    let address = served.address();
    drop(served.console);
    let answer = crate::client::Ask::new(address, "GET", "/livez").send().await;
    assert_eq!(answer.status, 200);
    served.board.close(PATIENCE).await.into_result().unwrap();
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
