//! Clients that mean harm, or are broken.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::board::{PATIENCE, SHOP, Served};
use crate::client::Answer;

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let limits = "[console]\njson_bytes_max = '1KiB'\nvalue_bytes_max = '2KiB'";
    let served = Served::new(&format!("{SHOP}{limits}")).await;
    let value = "/api/v1/cache/sessions/values/a";
    let fits = served.ask("PUT", value).body(vec![7; 2048]).send().await;
    assert_eq!(fits.status, 204);
    let answer = served.ask("PUT", value).body(vec![7; 2049]).send().await;
    assert_eq!((answer.status, answer.kind().as_str()), (413, "too large"));
    let json = format!(r#"{{"driver":"{}"}}"#, "m".repeat(1024));
    let answer = served.ask("POST", "/api/v1/instances/cache.main/swap").json(&json).send().await;
    assert_eq!(answer.status, 413);

    let ask = served.ask("PUT", value).header("Transfer-Encoding", "chunked");
    let chunk = format!("{:x}\r\n{}\r\n", 1500, "x".repeat(1500));
    let (head, chunk) = (ask.bytes(), chunk.as_bytes());
    let answer = raw(&served, &[&head, chunk, chunk, b"0\r\n\r\n"]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(served.board.records().len(), 0);
    served.close().await;
}

/// A client like most: it sends everything, and then looks for an answer.
#[tokio::test]
async fn a_body_that_is_far_too_large_is_answered_and_not_cut_off() {
    let served = Served::new(&format!("{SHOP}[console]\nvalue_bytes_max = '1KiB'")).await;
    for path in ["/api/v1/cache/sessions/values/a", "/nothing"] {
        let ask = served.ask("PUT", path).body(vec![7; 20_000_000]);
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let sending = timeout(PATIENCE, stream.write_all(&ask.bytes())).await.expect("no waiting");
        sending.expect("all of it is taken");
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").expect("whole");
        let status = if path == "/nothing" { "404" } else { "413" };
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    served.close().await;
}

/// More than there are places, again and again, none of which ever finishes.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_finish_a_head_do_not_keep_out_one_that_does() {
    let limits = "connections_max = 64\nconnections_per_client_max = 32\nhead_limit = '1h'";
    let served = Served::new(&format!("{SHOP}[console]\n{limits}")).await;
    let mut half = Vec::new();
    for round in 0..10 {
        for _ in 0..30 {
            let mut stream = TcpStream::connect(served.address()).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: 1").await.unwrap();
            half.push(stream);
        }
        let answer = timeout(PATIENCE, served.ask("GET", "/livez").send()).await.expect("a place");
        assert_eq!(answer.status, 200, "{round}");
    }
    drop(half);
    served.close().await;
}

#[tokio::test]
async fn one_address_has_no_more_places_than_are_its_own() {
    let limits = "[console]\nconnections_max = 8\nconnections_per_client_max = 2";
    let waits = "[cache.main]\ndriver = 'moody'\nmood = 'waits'\n";
    let served = Served::new(&format!("{waits}{limits}")).await;
    let mut asking = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let ask = served.ask("GET", "/api/v1/cache/main/values/a");
        stream.write_all(&ask.bytes()).await.unwrap();
        served.gate.came.acquire().await.unwrap().forget();
        asking.push(stream);
    }
    let mut third = TcpStream::connect(served.address()).await.unwrap();
    let _ = third.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, third.read_to_end(&mut answer)).await.expect("cut off");
    assert!(answer.is_empty());
    served.gate.open.add_permits(2);
    for stream in asking {
        assert_eq!(timeout(PATIENCE, Answer::read(stream)).await.expect("an answer").status, 404);
    }
    served.close().await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_a_refusal_or_nothing() {
    let served = Served::new(SHOP).await;
    let long_head =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let headers =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        long_head.as_bytes(),
        headers.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{:?}", String::from_utf8_lossy(bytes));
        let is_refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
        assert!(is_refused, "{:?}", String::from_utf8_lossy(&answer));
    }
    assert!(served.board.records().is_empty());
    assert_eq!(served.ask("GET", "/health").send().await.status, 200);
    served.close().await;
}

#[tokio::test]
async fn who_does_not_send_a_whole_head_is_cut_off() {
    let served = Served::new(&format!("{SHOP}[console]\nhead_limit = '50ms'")).await;
    for start in ["", "GET /hea", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{start:?} was not cut off");
    }
    served.close().await;
}

#[tokio::test]
async fn who_says_nothing_more_after_an_answer_is_cut_off() {
    let served = Served::new(&format!("{SHOP}[console]\nhead_limit = '50ms'")).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("cut off").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    served.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let served = Served::new(&format!("{SHOP}[console]\nrequest_limit = '50ms'")).await;
    let ask = served.ask("PUT", "/api/v1/cache/sessions/values/a").header("Content-Length", "10");
    let answer = raw(&served, &[&ask.bytes(), b"half"]).await;
    assert_eq!((answer.status, answer.kind().as_str()), (504, "timeout"));
    assert!(served.board.records().is_empty());
    served.close().await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_changes_nothing() {
    let served = Served::new(SHOP).await;
    let ask = served.ask("PUT", "/api/v1/cache/sessions/values/a").header("Content-Length", "10");
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(&[&ask.bytes()[..], b"half"].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"));
    assert!(served.board.records().is_empty());
    assert!(!served.board.cache("sessions").unwrap().has("a").await.unwrap());
    served.close().await;
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_until_one_of_the_others_is_answered() {
    let waits = "[cache.main]\ndriver = 'moody'\nmood = 'waits'\n";
    let served = Served::new(&format!("{waits}[console]\nconnections_max = 2")).await;
    let mut asking = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        // One that may stay afterwards, and asks nothing then.
        let ask = b"GET /api/v1/cache/main/values/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        served.gate.came.acquire().await.unwrap().forget();
        asking.push(stream);
    }
    let third = served.ask("GET", "/livez").send();
    let mut third = std::pin::pin!(third);
    for _ in 0..50 {
        tokio::task::yield_now().await;
        assert!(futures_util::FutureExt::now_or_never(third.as_mut()).is_none());
    }
    served.gate.open.add_permits(1);
    let answer = timeout(PATIENCE, third).await.expect("its turn came");
    assert_eq!(answer.status, 200);
    drop(asking);
    served.close().await;
}

#[tokio::test]
async fn who_stays_too_long_is_asked_to_come_again() {
    let served = Served::new(&format!("{SHOP}[console]\nconnection_limit = '50ms'")).await;
    let mut stream = idle(&served).await;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("cut off").unwrap();
    served.close().await;
}

#[tokio::test]
async fn requests_that_are_cut_off_leave_nothing_running() {
    let served = Served::new("[cache.main]\ndriver = 'moody'\nmood = 'waits'").await;
    let before = served.board.environment().reaper().figures().running;
    for _ in 0..10 {
        let ask = served.ask("GET", "/api/v1/cache/main/values/a");
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        stream.write_all(&ask.bytes()).await.unwrap();
        served.gate.came.acquire().await.unwrap().forget();
    }
    let left = async {
        while served.board.environment().reaper().figures().running > before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, left).await.expect("all of them are gone");
    assert_eq!(served.board.instances()[0].in_flight, 0);
    served.close().await;
}

/// A client that is in, and keeps its place.
async fn idle(served: &Served) -> TcpStream {
    again(TcpStream::connect(served.address()).await.unwrap()).await
}

async fn again(mut stream: TcpStream) -> TcpStream {
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"live\n") {
        answer.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap());
    }
    stream
}

async fn raw(served: &Served, pieces: &[&[u8]]) -> Answer {
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    for piece in pieces {
        let _ = stream.write_all(piece).await;
    }
    timeout(PATIENCE, Answer::read(stream)).await.expect("an answer")
}
