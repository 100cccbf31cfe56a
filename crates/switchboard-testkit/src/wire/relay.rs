//! One connection through a wire.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::rules::{passed, raised};
use super::traps::{Done, Moment, Sprung};
use super::{Connection, Direction, Shared, reset};

/// Carries the bytes of one connection in both directions, as the rules and traps of its wire say.
#[derive(Debug)]
pub(super) struct Relay {
    shared: Arc<Shared>,
    position: usize,
    /// What had been said to the wire before this connection was made, which does not end it.
    cuts: u64,
    half_closes: [u64; 2],
    /// Whether the next piece in a direction cuts the connection, by the position of the direction.
    is_awaited: [AtomicBool; 2],
    /// Whom to tell of the trap that cut it, if one did.
    done: Mutex<Option<Done>>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Both sides have said all they had to say.
    Closed,
    /// Both sides are reset.
    Reset,
    /// Who receives in this direction sees the end of the stream, and the other side is reset.
    EndOf(Direction),
}

impl Relay {
    /// The relay of a client that has just come.
    pub(super) fn new(shared: Arc<Shared>, client: SocketAddr) -> Self {
        // Read before anybody can see the connection, and so before anybody can cut it.
        let (cuts, half_closes) = {
            let rules = shared.rules.borrow();
            (rules.cuts, rules.half_closes)
        };
        let position = shared.admit(Connection::new(client, false));
        let (is_awaited, done) = Default::default();
        Self { shared, position, cuts, half_closes, is_awaited, done }
    }

    /// Carries it to its end.
    pub(super) async fn carry(self, client: TcpStream) {
        self.carry_until(pin!(raised(&self.shared.rules, self.cuts, |rules| rules.cuts)), client)
            .await;
        self.close();
    }

    async fn carry_until(
        &self,
        mut cut: Pin<&mut impl Future<Output = ()>>,
        mut client: TcpStream,
    ) {
        let connected = tokio::select! {
            () = &mut cut => None,
            server = self.connect() => server,
        };
        let Some(mut server) = connected else { return reset(client) };
        let ending = tokio::select! {
            () = &mut cut => Ending::Reset,
            ending = self.forward(&mut client, &mut server) => ending,
        };
        let (broken, mut ended) = match ending {
            Ending::Closed => return,
            Ending::EndOf(Direction::ToServer) => (client, server),
            Ending::EndOf(Direction::ToClient) | Ending::Reset => (server, client),
        };
        reset(broken);
        if let Ending::EndOf(_) = ending {
            tokio::select! {
                () = cut => {}
                () = hang_up(&mut ended) => {}
            }
        }
        reset(ended);
    }

    async fn connect(&self) -> Option<TcpStream> {
        passed(&self.shared.rules).await;
        let server = TcpStream::connect(self.shared.server).await.ok()?;
        // Pieces go on as they came.
        server.set_nodelay(true).ok()?;
        Some(server)
    }

    async fn forward(&self, client: &mut TcpStream, server: &mut TcpStream) -> Ending {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = self.direction(Direction::ToServer, from_client, to_server);
        let replies = self.direction(Direction::ToClient, from_server, to_client);
        match tokio::try_join!(requests, replies) {
            Ok(_) => Ending::Closed,
            Err(ending) => ending,
        }
    }

    /// Carries one direction until the sender, or the test, ends it.
    async fn direction(
        &self,
        direction: Direction,
        from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> Result<(), Ending> {
        let position = direction.position();
        let before = self.half_closes[position];
        tokio::select! {
            () = raised(&self.shared.rules, before, |rules| rules.half_closes[position]) => {}
            ended = self.pump(direction, from, &mut to) => ended?,
        }
        to.shutdown().await.map_err(|_| Ending::Reset)?;
        self.shared.change(self.position, |connection| connection.ended[position] = true);
        Ok(())
    }

    async fn pump(
        &self,
        direction: Direction,
        mut from: ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), Ending> {
        let mut buffer = vec![0; PIECE_BYTES_MAX];
        loop {
            let read = from.read(&mut buffer).await;
            let switches = passed(&self.shared.rules).await;
            // What breaks off at one side breaks off at the other.
            let length = read.map_err(|_| Ending::Reset)?;
            if length == 0 {
                return Ok(());
            }
            let piece = &buffer[..length];
            if self.is_awaited[direction.position()].load(Ordering::Relaxed) {
                return Err(Ending::Reset);
            }
            if let Some(sprung) = self.shared.traps.show(self.position, direction, piece) {
                self.spring(sprung, direction, piece, to).await?;
            } else if !switches.drops(direction) {
                self.write(direction, piece, to).await?;
            }
        }
    }

    /// Does what the trap says. An error is the end that comes at once.
    async fn spring(
        &self,
        sprung: Sprung,
        direction: Direction,
        piece: &[u8],
        to: &mut WriteHalf<'_>,
    ) -> Result<(), Ending> {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(sprung.done);
        if sprung.moment == Moment::Answered {
            // Before the other side can have the question.
            self.is_awaited[direction.back().position()].store(true, Ordering::Relaxed);
        }
        self.write(direction, &piece[..sprung.forwarded], to).await?;
        match sprung.moment {
            Moment::Before => Err(Ending::Reset),
            Moment::After => Err(Ending::EndOf(direction)),
            Moment::Answered => Ok(()),
        }
    }

    async fn write(
        &self,
        direction: Direction,
        piece: &[u8],
        to: &mut WriteHalf<'_>,
    ) -> Result<(), Ending> {
        to.write_all(piece).await.map_err(|_| Ending::Reset)?;
        let length = piece.len() as u64;
        self.shared.change(self.position, |connection| match direction {
            Direction::ToServer => connection.to_server += length,
            Direction::ToClient => connection.to_client += length,
        });
        Ok(())
    }

    /// Says that it is over to all who wait for that.
    fn close(self) {
        self.shared.change(self.position, |connection| connection.is_open = false);
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = done {
            // Whoever set the trap need not wait for it.
            let _ = done.send(());
        }
    }
}

/// Says that nothing more comes, and waits until the other side has nothing more to say either: it
/// may be reset only when it has read everything.
async fn hang_up(stream: &mut TcpStream) {
    let mut lost = vec![0; PIECE_BYTES_MAX];
    // One that is gone already needs nothing of this.
    let _ = stream.shutdown().await;
    while stream.read(&mut lost).await.is_ok_and(|length| length > 0) {}
}

const PIECE_BYTES_MAX: usize = 16 * 1024;
