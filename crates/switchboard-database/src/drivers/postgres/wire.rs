//! The way to a server: sockets, encryption, and what is seen of the protocol on the way.
//!
//! The library keeps to itself where a transaction is after each answer, and the number of its
//! session. Both go by here, so both are known here, exactly and without asking.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use switchboard_core::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Client, Config};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Encrypted;

use super::config::Place;
use crate::{State, TlsConfig};

/// A connection of the library, which its owner has to poll.
pub(super) type Wire = tokio_postgres::Connection<Watched<Socket>, Watched<Encrypted<Socket>>>;

/// Connects to `place`, and says who `client` says it is.
pub(super) async fn connect(
    client: &Config,
    place: &Place,
    tls: &Tls,
) -> Result<(Client, Wire, Arc<Seen>), Failure> {
    let socket = Socket::connect(place, client).await?;
    let tls = tls.to(place).map_err(Failure::Config)?;
    let mut client = client.clone();
    client.ssl_mode(tls.mode());
    let seen = Arc::new(Seen::default());
    let watched = Watched::new(socket, &seen, tls.asks());
    let (client, wire) = client.connect_raw(watched, tls).await.map_err(Failure::Library)?;
    Ok((client, wire, seen))
}

/// Has the server stop what the session of `token` is doing. When this answers, the server has
/// passed it on: nothing that is asked later is stopped by it.
pub(super) async fn cancel(socket: Socket, token: CancelToken, tls: ToPlace) -> io::Result<()> {
    let mut socket = socket;
    let seen = Arc::new(Seen::default());
    let watched = Watched::new(&mut socket, &seen, tls.asks());
    token.cancel_query_raw(watched, tls).await.map_err(io::Error::other)?;
    // The server says nothing, and closes when it has done it.
    let mut rest = [0; 64];
    while socket.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    Ok(())
}

/// Why there is no connection.
pub(super) enum Failure {
    /// Nobody was asked: the settings are wrong.
    Config(Error),
    /// Nobody was reached.
    Socket(io::Error),
    /// Whoever was reached was not agreed with.
    Library(tokio_postgres::Error),
}

/// What the server said last of what the library does not tell.
#[derive(Debug)]
pub(super) struct Seen {
    /// `I`, `T` or `E`, as the server writes it; zero before it did.
    status: AtomicU8,
    process: AtomicI32,
    /// How many requests were written and have not been answered to the end.
    in_flight: AtomicI64,
    /// A `COPY` was begun, and it is not known that all is answered that was sent with it.
    is_copying: AtomicBool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            status: AtomicU8::new(0),
            process: AtomicI32::new(0),
            // The beginning of a session is answered like a request.
            in_flight: AtomicI64::new(1),
            is_copying: AtomicBool::new(false),
        }
    }
}

impl Seen {
    /// Where the session was when the server answered last.
    pub(super) fn state(&self) -> State {
        match self.status.load(Ordering::Relaxed) {
            b'I' => State::Idle,
            b'T' => State::InTransaction,
            b'E' => State::Failed,
            _ => State::Unknown,
        }
    }

    /// The number of the session's process, once the server told it.
    pub(super) fn process(&self) -> Option<i32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|process| *process != 0)
    }

    /// Whether all that was written has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) <= 0
    }

    /// Rows are about to be copied to the server. From here on, answers that the library does not
    /// wait for are kept from it.
    ///
    /// It ends a `COPY` twice, since the server passes over the first end while it reads rows. One
    /// that does not come to reading, because it refuses to, answers both.
    pub(super) fn begin_copying(&self) {
        self.is_copying.store(true, Ordering::Relaxed);
    }

    /// All rows were copied: nothing is answered twice.
    pub(super) fn end_copying(&self) {
        self.is_copying.store(false, Ordering::Relaxed);
    }

    /// All that was sent was answered, however often.
    pub(super) fn settle(&self) {
        self.in_flight.store(0, Ordering::Relaxed);
        self.end_copying();
    }

    /// Whether the server may still answer what was sent with rows.
    pub(super) fn is_copying(&self) -> bool {
        self.is_copying.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self, frame: &[u8]) {
        match *frame {
            [READY, _, _, _, _, status] => {
                self.status.store(status, Ordering::Relaxed);
                self.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
            [PROCESS, _, _, _, _, a, b, c, d] => {
                self.process.store(i32::from_be_bytes([a, b, c, d]), Ordering::Relaxed);
            }
            // While rows are sent to it, the server passes over the end of the request that began.
            [COPY_IN, ..] => {
                self.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn asked(&self, frame: &[u8]) {
        if let [SYNC | QUERY, ..] = frame {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Beginnings of messages in a stream of bytes, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a message that is not there in full yet.
    begun: [u8; BEGINNING_MAX],
    begun_bytes: usize,
    /// How much of a message is left that is not looked at.
    left: usize,
    /// How many messages come without a letter in front: those before a session has begun.
    letterless: u8,
    /// How many bytes come before the first message.
    skipped: u8,
}

impl Frames {
    /// Calls `saw` with the beginning of each message in `bytes`, as long as it is looked at.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut saw: impl FnMut(&[u8])) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.skipped > 0 {
                self.skipped -= 1;
                bytes = rest;
            } else if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
            } else if let Some(whole) = self.whole(bytes) {
                saw(&bytes[..BEGINNING]);
                bytes = &bytes[whole..];
            } else {
                self.begin(*first);
                bytes = rest;
                self.end_beginning(&mut saw);
            }
        }
    }

    /// Whether the next byte is the letter of a message.
    fn is_between(&self) -> bool {
        self.left == 0 && self.begun_bytes == 0 && self.skipped == 0 && self.letterless == 0
    }

    /// How long the message in front is, if all of it is there and nothing in it is looked at but its
    /// letter: nearly always, as rows are.
    fn whole(&self, bytes: &[u8]) -> Option<usize> {
        let [letter, length @ ..] = *bytes.first_chunk::<BEGINNING>()?;
        if self.begun_bytes > 0 || self.letterless > 0 || matches!(letter, READY | PROCESS) {
            return None;
        }
        let whole = usize::try_from(u32::from_be_bytes(length)).ok()?.checked_add(1)?;
        (BEGINNING..=bytes.len()).contains(&whole).then_some(whole)
    }

    fn begin(&mut self, byte: u8) {
        if self.begun_bytes == 0 && self.letterless > 0 {
            self.letterless -= 1;
            self.begun_bytes = 1;
            self.begun[0] = 0;
        }
        self.begun[self.begun_bytes] = byte;
        self.begun_bytes += 1;
    }

    /// Shows the beginning if all of it is there.
    fn end_beginning(&mut self, saw: &mut impl FnMut(&[u8])) {
        let wanted = match self.begun[0] {
            READY => 6,
            PROCESS => 9,
            _ => BEGINNING,
        };
        if self.begun_bytes < wanted {
            return;
        }
        let [_, a, b, c, d, ..] = self.begun;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        self.left = length.saturating_sub(wanted - 1);
        self.begun_bytes = 0;
        saw(&self.begun[..wanted]);
    }
}

/// A stream whose messages are seen as they go by.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    seen: Arc<Seen>,
    incoming: Frames,
    outgoing: Frames,
    surplus: Surplus,
}

/// Answers beyond those that the library waits for.
///
/// Only an end of an answer with nothing before it but another end is one, so whoever asks for more
/// while there may be such has to ask for something that is answered with words.
#[derive(Debug, Default)]
pub(super) struct Surplus {
    /// The letter of the last message that answers something.
    last: u8,
    /// What comes now is one.
    is_passing: bool,
}

impl Surplus {
    /// Moves what is none to the front of `bytes`, and says how much of it there is.
    pub(super) fn sort_out(
        &mut self,
        bytes: &mut [u8],
        frames: &mut Frames,
        mut saw: impl FnMut(&[u8]),
    ) -> usize {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            if frames.is_between() {
                self.is_passing = byte == READY && self.last == READY;
                // What the server says without being asked may come anywhere.
                self.last = if UNASKED.contains(&byte) { self.last } else { byte };
            }
            frames.read(&[byte], &mut saw);
            if !self.is_passing {
                bytes[kept] = byte;
                kept += 1;
            }
        }
        kept
    }
}

impl<S> Watched<S> {
    /// Watches a stream that begins with the question whether the server encrypts, or does not.
    fn new(stream: S, seen: &Arc<Seen>, asks: bool) -> Self {
        let asked = u8::from(asks);
        Self {
            stream,
            seen: Arc::clone(seen),
            // The answer to that question is one letter and nothing else.
            incoming: Frames { skipped: asked, ..Frames::default() },
            outgoing: Frames { letterless: 1 + asked, ..Frames::default() },
            surplus: Surplus::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let seen = &this.seen;
            let saw = |frame: &[u8]| seen.answered(frame);
            let fresh = &mut buffer.filled_mut()[before..];
            if !seen.is_copying() {
                this.incoming.read(fresh, saw);
                this.surplus = Surplus::default();
                return Poll::Ready(Ok(()));
            }
            let came = fresh.len();
            let kept = this.surplus.sort_out(fresh, &mut this.incoming, saw);
            buffer.set_filled(before + kept);
            // Nothing at all would be the end of the stream.
            if kept > 0 || came == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        let seen = &this.seen;
        this.outgoing.read(&bytes[..written], |frame| seen.asked(frame));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Watched<Encrypted<S>> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// How connections are encrypted, if they are.
#[derive(Clone)]
pub(super) struct Tls {
    settings: TlsConfig,
    config: Option<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(settings: TlsConfig) -> Result<Self> {
        let config = settings.client()?;
        Ok(Self { settings, config })
    }

    /// The same for one place. A socket on this machine is not encrypted.
    pub(super) fn to(&self, place: &Place) -> Result<ToPlace> {
        let encrypted = match &self.config {
            Some(config) if place.socket().is_none() => {
                Some((Arc::clone(config), self.settings.name_of(&place.name)?))
            }
            _ => None,
        };
        Ok(ToPlace { encrypted, is_optional: self.settings.mode.allows_plaintext() })
    }
}

/// How a connection to one place is encrypted, if it is.
#[derive(Clone)]
pub(super) struct ToPlace {
    encrypted: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    is_optional: bool,
}

impl ToPlace {
    fn mode(&self) -> SslMode {
        match (&self.encrypted, self.is_optional) {
            (None, _) => SslMode::Disable,
            (Some(_), true) => SslMode::Prefer,
            (Some(_), false) => SslMode::Require,
        }
    }

    /// Whether the server is asked if it encrypts.
    fn asks(&self) -> bool {
        self.encrypted.is_some()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<Watched<S>> for ToPlace {
    type Stream = Watched<Encrypted<S>>;
    type Error = io::Error;
    type Future = Handshake<S>;

    fn connect(self, watched: Watched<S>) -> Handshake<S> {
        let Some((config, name)) = self.encrypted else {
            return Handshake(Err(io::Error::other("nothing was to be encrypted")));
        };
        let connecting = TlsConnector::from(config).connect(name, watched.stream);
        Handshake(Ok((Box::new(connecting), watched.seen)))
    }
}

/// Agrees with a server on how to encrypt.
pub(super) struct Handshake<S>(io::Result<(Box<tokio_rustls::Connect<S>>, Arc<Seen>)>);

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Handshake<S> {
    type Output = io::Result<Watched<Encrypted<S>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok((connecting, seen)) => {
                let stream = ready!(Pin::new(connecting.as_mut()).poll(context))?;
                Poll::Ready(Ok(Watched::new(stream, seen, false)))
            }
            Err(error) => Poll::Ready(Err(io::Error::new(error.kind(), error.to_string()))),
        }
    }
}

/// A stream of bytes to a server, on this machine or another one.
#[derive(Debug)]
pub(super) enum Socket {
    /// To a port.
    Tcp(TcpStream),
    /// To a file.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Reaches `place`, or says why it cannot.
    pub(super) async fn connect(place: &Place, client: &Config) -> Result<Self, Failure> {
        Self::reach(place, client).await.map_err(Failure::Socket)
    }

    async fn reach(place: &Place, client: &Config) -> io::Result<Self> {
        #[cfg(unix)]
        if let Some(path) = place.socket() {
            return Ok(Self::Unix(UnixStream::connect(path).await?));
        }
        let stream = match place.address {
            Some(address) => TcpStream::connect(SocketAddr::new(address, place.port)).await?,
            None => TcpStream::connect((place.name.as_str(), place.port)).await?,
        };
        // A request is one write and waits for its answer, so nothing is gained by collecting.
        stream.set_nodelay(true)?;
        if client.get_keepalives() {
            SockRef::from(&stream).set_tcp_keepalive(&keepalive(client))?;
        }
        Ok(Self::Tcp(stream))
    }
}

/// How an idle connection is asked whether the server is still there.
fn keepalive(client: &Config) -> TcpKeepalive {
    let idle = client.get_keepalives_idle();
    // What the library has where nothing is said is longer than most firewalls remember.
    let said = idle != Config::new().get_keepalives_idle();
    let mut keepalive = TcpKeepalive::new().with_time(if said { idle } else { KEEPALIVE });
    if let Some(interval) = client.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = client.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    keepalive
}

macro_rules! either {
    ($self:ident, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $do,
            #[cfg(unix)]
            Socket::Unix($stream) => $do,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

const READY: u8 = b'Z';
const PROCESS: u8 = b'K';
const COPY_IN: u8 = b'G';
const SYNC: u8 = b'S';

/// What a server sends without being asked: notices, notifications and parameters.
const UNASKED: [u8; 3] = [b'N', b'A', b'S'];
const QUERY: u8 = b'Q';

/// How every message begins: with a letter and its length.
const BEGINNING: usize = 5;

/// The most of a message that is looked at: a letter, its length, and a number.
const BEGINNING_MAX: usize = 9;

/// How long a connection is idle before its server is asked.
const KEEPALIVE: Duration = Duration::from_mins(1);
