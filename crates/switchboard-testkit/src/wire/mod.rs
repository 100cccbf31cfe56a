//! A stretch of network between a client and its server, which breaks when a test says so.
//!
//! Knows no protocol: it sees bytes, and forwards them or does not. `relay` is one connection;
//! `rules` is what holds for all of them; `traps` is what waits for its moment.

mod relay;
mod rules;
mod traps;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use relay::Relay;
use rules::{Rules, Switches};
use traps::{Aim, Traps};
pub use traps::{Moment, Trap};

/// A proxy on a port of its own, between what is under test and a real server.
///
/// A test gives the client [`address`](Self::address) in the place of the server's, and then says
/// what goes wrong. What it says holds at once: [`cut`](Self::cut) and
/// [`half_close`](Self::half_close) end what is connected now; [`blackhole`](Self::blackhole),
/// [`refuse`](Self::refuse), [`delay`](Self::delay) and [`drop_replies`](Self::drop_replies) hold for
/// the connections there are and for all to come, until it is [healed](Self::heal);
/// [`cut_when`](Self::cut_when) and [`cut_after_bytes`](Self::cut_after_bytes) wait for their moment.
///
/// It runs on the runtime and the clock of the test, which should be the real one: a paused clock
/// runs ahead of a network. Dropping it closes all connections and the port.
///
/// ```
/// use std::io::ErrorKind;
/// use switchboard_testkit::{Direction, Moment, Wire};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let wire = Wire::to(server.local_addr()?).await;
///
/// let mut client = TcpStream::connect(wire.address()).await?;
/// let (mut served, _) = server.accept().await?;
///
/// // The server gets the request, and the client never hears that it did.
/// let trap = wire.cut_when(Direction::ToServer, b"COMMIT", Moment::After);
/// client.write_all(b"COMMIT").await?;
/// let mut request = String::new();
/// served.read_to_string(&mut request).await?;
/// drop(served);
/// trap.sprung().await;
/// assert_eq!(request, "COMMIT");
///
/// let heard = client.read(&mut [0; 8]).await;
/// assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionReset);
/// assert_eq!(wire.connections()[0].to_server, 6);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "the network is gone when this is dropped"]
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends with this value, and with it the tasks of all connections, which it holds.
    _accepting: JoinSet<()>,
}

/// A way through a [`Wire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client: requests.
    ToServer,
    /// From the server: replies.
    ToClient,
}

/// A connection that a client made to a [`Wire`], and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// Where the client is.
    pub client: SocketAddr,
    /// How many bytes were passed on to the server.
    pub to_server: u64,
    /// How many bytes were passed on to the client.
    pub to_client: u64,
    /// Whether anything can still pass.
    pub is_open: bool,
    /// Whether it was closed at once, because the wire [refuses](Wire::refuse) connections.
    pub is_refused: bool,
    /// Which directions have come to their end, by their position.
    ended: [bool; 2],
}

/// What the wire, its connections and its traps have in common.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    rules: watch::Sender<Rules>,
    /// A test makes as many as it makes; there is no limit to keep.
    connections: watch::Sender<Vec<Connection>>,
    traps: Traps,
}

impl Wire {
    /// A wire to the server at this address.
    ///
    /// # Panics
    ///
    /// Where this machine has no free port.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for a wire: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("a wire without address: {error}"));
        let shared = Arc::new(Shared {
            server,
            rules: watch::Sender::default(),
            connections: watch::Sender::default(),
            traps: Traps::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _accepting: accepting }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection, as when a machine between the two fails. New ones are fine.
    ///
    /// Done when both sides have been reset.
    pub async fn cut(&self) {
        let cut = self.connections().len();
        self.shared.rules.send_modify(|rules| rules.cuts += 1);
        self.until(|all| all.iter().take(cut).all(|one| !one.is_open)).await;
    }

    /// Ends this direction of every connection: the side that would receive sees the end of the
    /// stream. The other direction goes on, and new connections are fine.
    ///
    /// Done when it was said to all of them. What is under way in that direction may be lost.
    pub async fn half_close(&self, direction: Direction) {
        let closed = self.connections().len();
        let position = direction.position();
        self.shared.rules.send_modify(|rules| rules.half_closes[position] += 1);
        let is_told = |one: &Connection| !one.is_open || one.ended[position];
        self.until(|all| all.iter().take(closed).all(is_told)).await;
    }

    /// Lets nothing through, in any direction, not even the end of a connection. New connections are
    /// accepted, and the server does not hear of them.
    ///
    /// What was sent meanwhile arrives when the wire is [healed](Self::heal).
    pub fn blackhole(&self) {
        self.switch(|switches| switches.holds = true);
    }

    /// Resets new connections as soon as they are made. Those there are go on.
    pub fn refuse(&self) {
        self.switch(|switches| switches.refuses = true);
    }

    /// Forwards requests, and loses what the server answers, except that it hangs up.
    pub fn drop_replies(&self) {
        self.switch(|switches| switches.drops_replies = true);
    }

    /// Keeps each piece that arrives for so long, in both directions, and each new connection too.
    pub fn delay(&self, delay: Duration) {
        self.switch(|switches| switches.delay = delay);
    }

    /// Works well again: nothing that was said before holds any longer, and traps are taken away.
    /// What was cut stays so.
    pub fn heal(&self) {
        self.shared.traps.clear();
        self.switch(|switches| *switches = Switches::default());
    }

    /// Cuts the first connection that carries so many bytes more in this direction, after exactly
    /// those. They arrive, followed by the end of the stream; the side that sent them is reset.
    pub fn cut_after_bytes(&self, direction: Direction, bytes: u64) -> Trap {
        self.shared.traps.set(direction, Aim::Bytes(bytes))
    }

    /// Cuts the first connection that carries `needle` in this direction, at this moment.
    ///
    /// It is found however the bytes are divided into packets, but not where they are encrypted.
    ///
    /// # Panics
    ///
    /// Where `needle` is empty.
    pub fn cut_when(&self, direction: Direction, needle: impl AsRef<[u8]>, moment: Moment) -> Trap {
        let needle = needle.as_ref().to_vec();
        assert!(!needle.is_empty(), "nothing to look for");
        self.shared.traps.set(direction, Aim::Needle(needle, moment))
    }

    /// All connections that were ever made, the oldest first.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.connections.borrow().clone()
    }

    /// How many connections can carry something now.
    pub fn open(&self) -> usize {
        self.shared.connections.borrow().iter().filter(|one| one.is_open).count()
    }

    /// How many bytes were passed on in this direction, over all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.connections.borrow().iter().map(|one| one.bytes(direction)).sum()
    }

    /// Waits until the connections are as `is_so` wants them.
    ///
    /// # Panics
    ///
    /// With the connections as they are, where that takes longer than a minute.
    pub async fn until(&self, mut is_so: impl FnMut(&[Connection]) -> bool) {
        let mut connections = self.shared.connections.subscribe();
        let waited = within_limit(connections.wait_for(|all| is_so(all))).await.is_some();
        assert!(waited, "after {WAIT_MAX:?} there were still {:?}", self.connections());
    }

    fn switch(&self, change: impl FnOnce(&mut Switches)) {
        self.shared.rules.send_modify(|rules| change(&mut rules.switches));
    }
}

impl Direction {
    /// Where what travels the other way goes.
    fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    fn position(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

impl Connection {
    fn new(client: SocketAddr, is_refused: bool) -> Self {
        let (to_server, to_client, ended) = (0, 0, [false; 2]);
        Self { client, to_server, to_client, is_open: !is_refused, is_refused, ended }
    }

    /// How many bytes were passed on in this direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }
}

impl Shared {
    /// Writes a new connection down; where it stands in the list.
    fn admit(&self, connection: Connection) -> usize {
        let mut position = 0;
        self.connections.send_modify(|all| {
            position = all.len();
            all.push(connection);
        });
        position
    }

    fn change(&self, position: usize, change: impl FnOnce(&mut Connection)) {
        self.connections.send_modify(|all| change(&mut all[position]));
    }
}

/// Takes what comes until it is dropped, or until the system has no more sockets.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut relays = JoinSet::new();
    while let Ok((client, address)) = listener.accept().await {
        while relays.try_join_next().is_some() {}
        if shared.rules.borrow().switches.refuses {
            shared.admit(Connection::new(address, true));
            reset(client);
        } else {
            relays.spawn(Relay::new(Arc::clone(&shared), address).carry(client));
        }
    }
}

/// Closes it so that the other side sees an error, and what was not sent yet is lost.
fn reset(stream: TcpStream) {
    // One that the other side has reset already cannot be told anything.
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// What comes of it, if it does so while a test may wait.
async fn within_limit<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(WAIT_MAX, future).await.ok()
}

const WAIT_MAX: Duration = Duration::from_mins(1);
