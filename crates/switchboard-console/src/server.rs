//! The server: listens, serves connections within their limits, and stops with the board.
//!
//! What a request is answered with is `routes`' affair. Every task belongs to the reaper of the board:
//! one accepts, and holds one for each connection; when it goes, all of them do.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use switchboard::{Part, Switchboard};
use switchboard_core::{Clock, Error, ErrorKind, Reaper, Result, Running, Secret};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::access::{Access, NeedsToken};
use crate::config::ConsoleConfig;
use crate::routes::{self, Ends};
use crate::token;

/// A console that serves.
///
/// It is a part of its board: closing the board stops it, dropping this does not. A board that is
/// served lives until it is closed.
#[derive(Clone, Debug)]
pub struct Console {
    address: SocketAddr,
    token: Secret,
}

/// Serves `board` as `config` says, and joins the order in which the board is closed as its part
/// `console`.
///
/// On loopback the token is needed only if one is configured, and then for what changes something and
/// for the values of caches. A board in production needs it for everything.
///
/// # Errors
///
/// [`ErrorKind::Config`] for an address other than loopback without a token of the configuration, and
/// for settings that cannot work; [`ErrorKind::Unavailable`] where the address is taken.
pub async fn serve(board: &Switchboard, config: &ConsoleConfig) -> Result<Console> {
    config.check()?;
    let wanted = config.listen_address()?;
    let needs_token = needs_token(board, config, wanted)?;
    let token = token::given_or_random(config.token.as_ref())?;
    let listener = TcpListener::bind(wanted).await.map_err(|error| cannot_listen(wanted, error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(wanted, error))?;
    let access = Access { token: token.clone(), needs_token, hosts: config.hosts.clone() };
    let serving = Serving {
        routes: routes::router(board, config, access),
        limits: Limits::of(config),
        clock: board.environment().clock().clone(),
        reaper: board.environment().reaper().clone(),
        places: Arc::new(Semaphore::new(config.connections_max.into())),
    };
    board.join("console", serving.start(listener)?)?;
    tracing::info!(%address, ?needs_token, "the console serves");
    Ok(Console { address, token })
}

impl Console {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token: the one of the configuration, or one made at random.
    pub fn token(&self) -> &Secret {
        &self.token
    }
}

fn needs_token(
    board: &Switchboard,
    config: &ConsoleConfig,
    address: SocketAddr,
) -> Result<NeedsToken> {
    let is_loopback = address.ip().to_canonical().is_loopback();
    match (is_loopback, board.is_in_production(), config.token.is_some()) {
        (false, _, false) => {
            Err(Error::new(ErrorKind::Config, "without a token only this machine may be served")
                .with_context("console.listen", address)
                .with_hint("set `console.token`, or listen on 127.0.0.1"))
        }
        (false, ..) | (_, true, _) => Ok(NeedsToken::Everything),
        (true, false, true) => Ok(NeedsToken::Changes),
        (true, false, false) => Ok(NeedsToken::Nothing),
    }
}

fn cannot_listen(address: SocketAddr, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the console cannot listen there")
        .with_context("console.listen", address)
        .with_source(error)
}

/// How long what may take.
#[derive(Clone, Copy)]
struct Limits {
    head: Duration,
    request: Duration,
    connection: Duration,
}

impl Limits {
    fn of(config: &ConsoleConfig) -> Self {
        let (head, request) = (config.head_limit, config.request_limit);
        Self { head, request, connection: config.connection_limit }
    }
}

/// What connections are served with.
#[derive(Clone)]
struct Serving {
    routes: Router,
    limits: Limits,
    clock: Clock,
    reaper: Reaper,
    places: Arc<Semaphore>,
}

impl Serving {
    fn start(self, listener: TcpListener) -> Result<Server> {
        let (stop, stopped) = watch::channel(false);
        let (ended, has_ended) = watch::channel(());
        let reaper = self.reaper.clone();
        let running = reaper.run("console", async move {
            self.accept(listener, stopped).await;
            drop(ended);
        })?;
        Ok(Server { running: Mutex::new(Some(running)), stop, has_ended })
    }

    /// Takes clients until told to stop, and ends when the last of them has gone.
    async fn accept(self, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
        let (gone, mut leaving) = mpsc::unbounded_channel();
        let mut connections = HashMap::new();
        let mut number = 0_u64;
        loop {
            let (stream, ends, place) = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some(number) = leaving.recv() => {
                    connections.remove(&number);
                    continue;
                }
                client = self.next_client(&listener) => client,
            };
            number += 1;
            let left = Left { number, gone: gone.clone() };
            let connection = self.clone().serve(stream, ends, stopped.clone());
            let connection = async move {
                // In this order: who is told that it left finds its place free.
                let _left = left;
                let _place = place;
                connection.await;
            };
            // Refused where too much runs already; the client sees its connection closed.
            if let Ok(running) = self.reaper.run("console connection", connection) {
                connections.insert(number, running);
            }
        }
        drop((listener, gone));
        while let Some(number) = leaving.recv().await {
            connections.remove(&number);
        }
    }

    /// The next client, when there is a place for it. A failure of one says nothing of the next.
    async fn next_client(&self, listener: &TcpListener) -> (TcpStream, Ends, OwnedSemaphorePermit) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else {
                return std::future::pending().await;
            };
            match listener.accept().await.and_then(|(stream, peer)| {
                let local = stream.local_addr()?.ip();
                Ok((stream, Ends { local, peer }))
            }) {
                Ok((stream, ends)) => return (stream, ends, place),
                Err(error) => {
                    tracing::warn!(%error, "a client could not be let in");
                    self.clock.sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Serves one connection until the client leaves, its time is over, or the board is closed. What
    /// is under way then is answered still.
    async fn serve(self, stream: TcpStream, ends: Ends, mut stopped: watch::Receiver<bool>) {
        // Answers are small, and should not wait for more to come.
        let _ = stream.set_nodelay(true);
        let routes = TowerToHyperService::new(self.routes.layer(axum::Extension(ends)));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.head);
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), routes));
        let is_over = tokio::select! {
            ended = connection.as_mut() => return told(ended),
            _ = stopped.wait_for(|stopped| *stopped) => false,
            () = self.clock.sleep(self.limits.connection) => true,
        };
        connection.as_mut().graceful_shutdown();
        if is_over {
            let _ = tokio::time::timeout(self.limits.request, connection).await;
        } else {
            told(connection.await);
        }
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Tells that a connection is gone, however it went.
struct Left {
    number: u64,
    gone: mpsc::UnboundedSender<u64>,
}

impl Drop for Left {
    fn drop(&mut self) {
        // Nobody listens any more where all of them are being dropped.
        let _ = self.gone.send(self.number);
    }
}

/// The part of the board.
struct Server {
    running: Mutex<Option<Running>>,
    stop: watch::Sender<bool>,
    has_ended: watch::Receiver<()>,
}

impl Part for Server {
    /// Requests under way are answered. If the board cannot wait for them, dropping this ends them.
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut has_ended = self.has_ended.clone();
        async move {
            let Some(running) = running else { return Ok(()) };
            self.stop.send_replace(true);
            while has_ended.changed().await.is_ok() {}
            running.stop().await
        }
        .boxed()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// The largest head of a request, its headers included.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// What the system is short of then takes a moment to come back.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
