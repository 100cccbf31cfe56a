//! The server: listens, serves connections within their limits, and stops with the board.
//!
//! What a request is answered with is `routes`' affair. Every task belongs to the reaper of the board:
//! one accepts, and holds one for each connection; when it goes, all of them do.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use switchboard::{Part, Switchboard};
use switchboard_core::{Clock, Error, ErrorKind, Reaper, Result, Running, Secret};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::access::{Access, NeedsToken};
use crate::changes::{Changes, Stage};
use crate::config::{ConsoleConfig, OPEN_TO_ALL};
use crate::crowd::{Client, Crowd, Room};
use crate::progress::{Progress, Stream, Turns};
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
    let (stage, staged) = watch::channel(Stage::Serving);
    let reaper = board.environment().reaper().clone();
    let changes = Changes::new(reaper.clone(), staged.clone());
    let serving = Serving {
        routes: routes::router(board, config, access, changes.clone()),
        limits: Limits::of(config),
        clock: board.environment().clock().clone(),
        reaper,
        stage: staged,
        turns: Arc::default(),
    };
    board.join("console", serving.start(listener, stage, changes)?)?;
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
    if config.is_open_to_all(address) {
        return Err(Error::new(ErrorKind::Config, OPEN_TO_ALL)
            .with_context("console.listen", address)
            .with_hint("set `console.token`, or listen on 127.0.0.1"));
    }
    let is_loopback = address.ip().to_canonical().is_loopback();
    match (is_loopback, board.is_in_production(), config.token.is_some()) {
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

/// How long what may take, and how many may come.
#[derive(Clone, Copy)]
struct Limits {
    head: Duration,
    /// One request, of those that may take longest.
    request: Duration,
    connection: Duration,
    drain: Duration,
    clients_max: usize,
    of_one_max: usize,
}

impl Limits {
    fn of(config: &ConsoleConfig) -> Self {
        Self {
            head: config.head_limit,
            request: config.request_limit.max(config.change_limit),
            connection: config.connection_limit,
            drain: config.drain_limit,
            clients_max: config.connections_max.into(),
            of_one_max: config.connections_per_client_max.into(),
        }
    }
}

/// What connections are served with.
#[derive(Clone)]
struct Serving {
    routes: Router,
    limits: Limits,
    clock: Clock,
    reaper: Reaper,
    stage: watch::Receiver<Stage>,
    turns: Arc<Turns>,
}

impl Serving {
    fn start(
        self,
        listener: TcpListener,
        stage: watch::Sender<Stage>,
        changes: Changes,
    ) -> Result<Server> {
        let (ended, has_ended) = watch::channel(());
        let (reaper, drain_limit) = (self.reaper.clone(), self.limits.drain);
        let running = reaper.run("console", async move {
            self.accept(listener).await;
            drop(ended);
        })?;
        Ok(Server { running: Some(running), stage, changes, has_ended, drain_limit })
    }

    /// Takes clients until told to stop, and ends when the last of them has gone.
    async fn accept(self, listener: TcpListener) {
        let (gone, mut leaving) = mpsc::unbounded_channel();
        let mut crowd = Crowd::new(self.limits.clients_max, self.limits.of_one_max);
        let mut stage = self.stage.clone();
        let mut number = 0;
        let mut waiting = None;
        loop {
            waiting = waiting.and_then(|client: (TcpStream, Ends)| {
                let address = client.1.peer.ip().to_canonical();
                match crowd.make_room(address) {
                    Room::Full => return Some(client),
                    Room::TooManyOfOne => tracing::debug!(%address, "too many connections"),
                    Room::Made => {
                        number += 1;
                        self.let_in(&mut crowd, client, Left { number, gone: gone.clone() });
                    }
                }
                None
            });
            tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage > Stage::Serving) => break,
                Some(number) = leaving.recv() => crowd.remove(number),
                () = self.turns.fell_silent.notified(), if waiting.is_some() => {}
                client = self.next_client(&listener), if waiting.is_none() => {
                    waiting = Some(client);
                }
            }
        }
        drop(waiting);
        drop((listener, gone));
        while let Some(number) = leaving.recv().await {
            crowd.remove(number);
        }
    }

    /// Refused where too much runs already; the client sees its connection closed.
    fn let_in(&self, crowd: &mut Crowd, (stream, ends): (TcpStream, Ends), left: Left) {
        let (address, number) = (ends.peer.ip().to_canonical(), left.number);
        let progress = Progress::new(&self.turns);
        let connection = self.clone().serve(stream, ends, progress.clone());
        let connection = async move {
            let _left = left;
            connection.await;
        };
        if let Ok(running) = self.reaper.run("console connection", connection) {
            crowd.add(number, Client { address, progress, _running: running });
        }
    }

    /// The next client. A failure of one says nothing of the next.
    async fn next_client(&self, listener: &TcpListener) -> (TcpStream, Ends) {
        loop {
            match listener.accept().await.and_then(|(stream, peer)| {
                let local = stream.local_addr()?.ip();
                Ok((stream, Ends { local, peer }))
            }) {
                Ok(client) => return client,
                Err(error) => {
                    tracing::warn!(%error, "a client could not be let in");
                    self.clock.sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Serves one connection until the client leaves, its time is over, or the board is closed. A
    /// request that came whole before then is still answered, within its limit.
    async fn serve(self, stream: TcpStream, ends: Ends, progress: Progress) {
        // Answers are small, and should not wait for more to come.
        let _ = stream.set_nodelay(true);
        let routes = TowerToHyperService::new(self.routes.layer(axum::Extension(ends)));
        let watched = progress.clone();
        let routes = service_fn(move |request| answered(routes.clone(), request, watched.clone()));
        let stream = Stream::new(stream, progress.clone(), self.clock.clone());
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.head);
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let mut connection = pin!(builder.serve_connection(stream, routes));
        let mut stage = self.stage;
        let limit = tokio::select! {
            // What has come already is looked at before the end is.
            biased;
            ended = connection.as_mut() => return told(ended),
            _ = stage.wait_for(|stage| *stage > Stage::Serving) => self.limits.drain,
            () = self.clock.sleep(self.limits.connection) => self.limits.request,
        };
        if progress.has_no_request() {
            return;
        }
        connection.as_mut().graceful_shutdown();
        let drained = async {
            tokio::select! {
                biased;
                ended = connection => told(ended),
                // Also one whose time was over before.
                _ = stage.wait_for(|stage| *stage > Stage::Draining) => {}
            }
        };
        let _ = tokio::time::timeout(limit, drained).await;
    }
}

/// The answer, with everything watched that comes and goes. After an answer to a request that nobody
/// read to its end the connection cannot go on.
async fn answered(
    routes: TowerToHyperService<Router>,
    request: Request<Incoming>,
    progress: Progress,
) -> Result<Response<Body>, Infallible> {
    let mut response = routes.call(request.map(|body| progress.begun(body))).await?;
    if progress.has_unread() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| progress.answering(body)))
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
    running: Option<Running>,
    stage: watch::Sender<Stage>,
    changes: Changes,
    has_ended: watch::Receiver<()>,
    drain_limit: Duration,
}

impl Server {
    /// Ends when all clients and changes have, which is no longer than they may take.
    async fn drained(&self) {
        let mut has_ended = self.has_ended.clone();
        let all_gone = async {
            // Its end is told by the other side being dropped.
            let _ = has_ended.changed().await;
            self.changes.idle().await;
        };
        if tokio::time::timeout(self.drain_limit, all_gone).await.is_err() {
            tracing::debug!("what the console had under way was cut off");
        }
    }
}

impl Part for Server {
    /// Requests that came whole are answered as long as they may take; what takes longer is cut off,
    /// and that is no error of the board's.
    fn close(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        let running = self.running.take();
        async move {
            let Some(running) = running else { return Ok(()) };
            self.stage.send_replace(Stage::Draining);
            self.drained().await;
            self.stage.send_replace(Stage::Over);
            // Each is told, and given up where it waits; nothing of it takes time.
            self.changes.idle().await;
            running.stop().await
        }
        .boxed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.changes.end();
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
