//! A server for tests that answers as it is told to, and remembers what it was asked.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The heads of the requests that came.
pub(crate) type Asked = Rc<RefCell<Vec<String>>>;

/// A server that gives this answer to whoever comes. It is a task of the test that it runs [`beside`].
pub(crate) async fn answering(answer: &str) -> (SocketAddr, Asked) {
    let answer = answer.to_owned();
    choosing(move |_| answer.clone()).await
}

/// The same, with an answer for each head of a request.
pub(crate) async fn choosing(answer: impl Fn(&str) -> String + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let told = Rc::clone(&asked);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece).await {
                    Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let answer = answer(&request);
            told.borrow_mut().push(request);
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            // What is closed before all was read is reset, and the answer lost with it.
            while matches!(stream.read(&mut piece).await, Ok(1..)) {}
        }
    });
    (address, asked)
}

/// Runs a test whose server is a task beside it.
pub(crate) fn beside<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

pub(crate) fn written(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
    )
}
