//! The handler in an application as it is: a router, a server, sockets.

mod digests;
mod forged;
mod hostile;
mod reading;
mod replaced;
mod writing;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use switchboard_core::{Environment, Manager, Priority, Registry, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Handler;
use crate::{Disk, Disks, Signed};

const MINUTE: Duration = Duration::from_mins(1);

/// A disk whose signed addresses are answered beneath `/files`.
struct Site {
    address: SocketAddr,
    disk: Disk,
    _disks: Manager<Disks>,
    _server: JoinSet<()>,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Site {
    async fn new() -> Self {
        Self::with(Settings::new(), Handler::new).await
    }

    async fn with(settings: Settings, handler: impl FnOnce(Disk) -> Handler) -> Self {
        Self::of("first", settings, handler).await
    }

    /// The site of the disk of that name: `first`, `second`, or `both`.
    async fn of(name: &str, settings: Settings, handler: impl FnOnce(Disk) -> Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let key =
            Settings::new().with("id", "1").with("secret", "0123456789abcdef0123456789abcdef");
        let is_chosen = settings.child("driver").is_some();
        let settings = if is_chosen { settings } else { settings.with("driver", "memory") };
        let settings = settings
            .with("public_url", format!("http://{address}/files"))
            .with("sign_keys", vec![key]);
        let registry = Registry::with_built_ins().unwrap();
        let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
        disks.configure("first", &settings).unwrap();
        disks.configure("second", &settings).unwrap();
        disks.group("both", &["first", "second"], Priority).unwrap();
        let disk = disks.handle(name).unwrap();
        let app: Router = Router::new().nest_service("/files", handler(disk.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(app.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn(async move {
                    // What is told here is told to the client by the connection that ends.
                    let _ = connection.await;
                });
            }
        });
        Self { address, disk, _disks: disks, _server: server }
    }

    /// A connection on which a request was begun.
    async fn begin(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        socket
    }

    async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        if !body.is_empty() {
            headers.push(("content-length", &length));
        }
        let mut socket = self.begin(method, target, &headers).await;
        // An answer may come before all is sent.
        let _ = socket.write_all(body).await;
        answer(socket).await
    }

    /// Does what was signed, as whoever was given it.
    async fn follow(&self, signed: &Signed, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let own = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = own.chain(headers.iter().copied()).collect();
        self.ask(signed.method.as_str(), self.target(signed), &headers, body).await
    }

    /// The address without the server.
    fn target<'s>(&self, signed: &'s Signed) -> &'s str {
        signed.url.strip_prefix(&format!("http://{}", self.address)).unwrap()
    }

    async fn get(&self, key: &str) -> Signed {
        self.disk.sign(key).get(MINUTE).await.unwrap()
    }

    async fn put(&self, key: &str) -> Signed {
        self.disk.sign(key).put(MINUTE).await.unwrap()
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// All that comes until the connection ends.
async fn answer(mut socket: TcpStream) -> Answer {
    let mut all = Vec::new();
    // A connection may be reset where a body was not read to its end.
    let _ = socket.read_to_end(&mut all).await;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("there is an answer");
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: all[end + 4..].to_vec() }
}
