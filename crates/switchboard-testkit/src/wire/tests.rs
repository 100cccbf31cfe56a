//! Each control, with a real server that says back what it hears.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard_core::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Direction, Moment, WAIT_MAX, Wire};

#[tokio::test]
async fn what_is_sent_arrives_and_is_counted() {
    let (_server, wire) = echo().await;
    let mut clients = [connected(&wire).await, connected(&wire).await];
    for client in &mut clients {
        exchange(client, "hello").await;
    }
    assert_eq!(wire.open(), 2);
    assert_eq!((wire.bytes(Direction::ToServer), wire.bytes(Direction::ToClient)), (10, 10));
    let connections = wire.connections();
    for (client, connection) in clients.iter().zip(connections) {
        assert_eq!(connection.client, client.local_addr().unwrap());
        assert_eq!((connection.to_server, connection.to_client), (5, 5));
        assert!(connection.is_open && !connection.is_refused);
    }
}

#[tokio::test]
async fn much_arrives_as_it_was_sent() {
    let (_server, wire) = echo().await;
    let client = connected(&wire).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let (mut from, mut to) = client.into_split();
    let mut heard = Vec::new();
    let (written, _) = tokio::join!(
        async {
            to.write_all(&sent).await?;
            to.shutdown().await
        },
        from.read_to_end(&mut heard),
    );
    written.unwrap();
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
    wire.until(|all| !all[0].is_open).await;
}

#[tokio::test]
async fn a_cut_resets_both_sides_and_lets_new_connections_be() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "hello").await;

    wire.cut().await;
    assert_eq!(wire.open(), 0);
    assert_reset(&mut client).await;
    assert_eq!(server.heard().await, Heard { text: "hello".into(), was_reset: true });

    exchange(&mut connected(&wire).await, "again").await;
}

#[tokio::test]
async fn a_cut_does_not_wait_for_a_server_that_does_not_read() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = Wire::to(server.local_addr().unwrap()).await;
    let mut client = connected(&wire).await;
    let (_served, _) = server.accept().await.unwrap();
    let filled = async { while client.write_all(&[0; 4096]).await.is_ok() {} };
    let ((), ()) = tokio::join!(filled, async {
        wire.until(|all| all[0].to_server > 100_000).await;
        wire.cut().await;
    });
}

#[tokio::test]
async fn a_connection_that_was_just_made_is_cut_too() {
    let (_server, wire) = echo().await;
    for _ in 0..50 {
        let before = wire.connections().len();
        let mut client = connected(&wire).await;
        wire.until(|all| all.len() > before).await;
        wire.cut().await;
        assert_reset(&mut client).await;
    }
}

#[tokio::test]
async fn of_a_half_closed_connection_the_other_direction_goes_on() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = Wire::to(server.local_addr().unwrap()).await;
    let mut client = connected(&wire).await;
    let (mut at_server, _) = server.accept().await.unwrap();

    wire.half_close(Direction::ToServer).await;
    assert_eq!(at_server.read(&mut [0; 8]).await.unwrap(), 0);
    at_server.write_all(b"still here").await.unwrap();
    assert_eq!(read_text(&mut client, 10).await, "still here");
    assert_eq!(wire.open(), 1);

    wire.half_close(Direction::ToClient).await;
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    wire.until(|all| !all[0].is_open).await;
}

#[tokio::test]
async fn a_black_hole_keeps_everything_until_it_is_healed() {
    let (mut server, wire) = echo().await;
    let mut old = connected(&wire).await;
    exchange(&mut old, "before").await;

    wire.blackhole();
    old.write_all(b"kept").await.unwrap();
    let mut new = connected(&wire).await;
    new.write_all(b"new").await.unwrap();
    // Both have been through, if anything goes through: a wire beside this one is slower.
    exchange_elsewhere().await;
    wire.until(|all| all.len() == 2).await;
    assert_eq!(wire.bytes(Direction::ToServer), 6);

    wire.heal();
    assert_eq!(read_text(&mut old, 4).await, "kept");
    assert_eq!(read_text(&mut new, 3).await, "new");
    drop((old, new));
    assert!(!server.heard().await.was_reset);
}

#[tokio::test]
async fn a_black_hole_hides_that_a_side_has_gone() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "hello").await;
    wire.blackhole();
    drop(client);
    exchange_elsewhere().await;
    assert_eq!(wire.open(), 1);
    assert!(server.heard.try_recv().is_err());

    wire.heal();
    assert_eq!(server.heard().await.text, "hello");
}

#[tokio::test]
async fn what_is_refused_is_reset_and_what_was_there_goes_on() {
    let (_server, wire) = echo().await;
    let mut old = connected(&wire).await;
    exchange(&mut old, "before").await;

    wire.refuse();
    assert_reset(&mut connected(&wire).await).await;
    exchange(&mut old, "after").await;
    let connections = wire.connections();
    assert!(connections[1].is_refused && !connections[1].is_open);
    assert_eq!(wire.open(), 1);

    wire.heal();
    exchange(&mut connected(&wire).await, "again").await;
}

#[tokio::test]
async fn dropped_replies_are_to_requests_that_arrived() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    wire.drop_replies();
    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(server.heard().await.text, "request");

    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert_eq!(reply, "", "only the end of the stream arrives");
    assert_eq!((wire.bytes(Direction::ToServer), wire.bytes(Direction::ToClient)), (7, 0));

    wire.heal();
    exchange(&mut connected(&wire).await, "again").await;
}

#[tokio::test]
async fn a_delay_is_waited_for_in_both_directions() {
    let (_server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "fast").await;
    wire.delay(Duration::from_millis(30));
    let clock = Clock::system();
    let began = clock.now();
    exchange(&mut client, "slow").await;
    let took = clock.now() - began;
    assert!(took >= Duration::from_millis(60), "{took:?}");
    wire.heal();
}

#[tokio::test]
async fn what_waits_for_a_delay_goes_on_when_that_is_healed() {
    let (_server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "fast").await;
    wire.delay(WAIT_MAX * 60);
    client.write_all(b"slow").await.unwrap();
    exchange_elsewhere().await;
    assert_eq!(wire.bytes(Direction::ToServer), 4);
    wire.heal();
    assert_eq!(read_text(&mut client, 4).await, "slow");
}

#[tokio::test]
async fn exactly_the_bytes_before_a_cut_arrive_at_the_server() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "hello").await;
    let trap = wire.cut_after_bytes(Direction::ToServer, 3);
    client.write_all(b"12345").await.unwrap();
    assert_eq!(server.heard().await, Heard { text: "hello123".into(), was_reset: false });
    trap.sprung().await;
    assert_reset(&mut client).await;
    exchange(&mut connected(&wire).await, "again").await;
}

#[tokio::test]
async fn exactly_the_bytes_before_a_cut_arrive_at_the_client() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "hello").await;
    let trap = wire.cut_after_bytes(Direction::ToClient, 3);
    client.write_all(b"12345").await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert_eq!(reply, "123");
    assert!(server.heard().await.was_reset);
    drop(client);
    trap.sprung().await;
}

#[tokio::test]
async fn a_cut_before_some_bytes_keeps_them_from_the_server() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "BEGIN;").await;
    let trap = wire.cut_when(Direction::ToServer, b"COMMIT", Moment::Before);
    client.write_all(b"COMMIT").await.unwrap();
    trap.sprung().await;
    assert_reset(&mut client).await;
    assert_eq!(server.heard().await, Heard { text: "BEGIN;".into(), was_reset: true });
}

#[tokio::test]
async fn a_cut_after_some_bytes_lets_them_arrive() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "BEGIN;COM").await;
    let trap = wire.cut_when(Direction::ToServer, b"COMMIT", Moment::After);
    exchange(&mut client, "COM").await;
    client.write_all(b"MIT;").await.unwrap();
    trap.sprung().await;
    assert_reset(&mut client).await;
    let heard = Heard { text: "BEGIN;COMCOMMIT;".into(), was_reset: false };
    assert_eq!(server.heard().await, heard);
}

#[tokio::test]
async fn a_cut_when_there_is_an_answer_keeps_it_from_the_client() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "BEGIN;").await;
    let trap = wire.cut_when(Direction::ToServer, b"COMMIT", Moment::Answered);
    client.write_all(b"COMMIT").await.unwrap();
    trap.sprung().await;
    assert_reset(&mut client).await;
    assert_eq!(server.heard().await.text, "BEGIN;COMMIT");
    assert_eq!((wire.bytes(Direction::ToServer), wire.bytes(Direction::ToClient)), (12, 6));
}

#[tokio::test]
async fn a_trap_cuts_one_connection_only() {
    let (_server, wire) = echo().await;
    let mut clients = [connected(&wire).await, connected(&wire).await];
    let trap = wire.cut_when(Direction::ToServer, b"COMMIT", Moment::Before);
    clients[0].write_all(b"COMMIT").await.unwrap();
    trap.sprung().await;
    exchange(&mut clients[1], "COMMIT").await;
    assert_eq!(wire.open(), 1);
}

#[tokio::test]
#[should_panic = "healed or dropped before it cut anything"]
async fn a_trap_that_was_healed_is_not_waited_for() {
    let (_server, wire) = echo().await;
    let trap = wire.cut_when(Direction::ToServer, b"COMMIT", Moment::Before);
    wire.heal();
    exchange(&mut connected(&wire).await, "COMMIT").await;
    trap.sprung().await;
}

#[tokio::test]
async fn without_a_server_a_client_is_reset() {
    // Nobody is given this port to listen at.
    let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], 1))).await;
    assert_reset(&mut connected(&wire).await).await;
    wire.until(|all| all.len() == 1 && !all[0].is_open).await;
}

#[tokio::test]
async fn a_dropped_wire_leaves_neither_connections_nor_a_port() {
    let (mut server, wire) = echo().await;
    let mut client = connected(&wire).await;
    exchange(&mut client, "hello").await;
    let address = wire.address();
    drop(wire);
    assert_eq!(server.heard().await.text, "hello");
    assert!(!client.read(&mut [0; 8]).await.is_ok_and(|length| length > 0));
    // The port is given back by the task that had it, which may end after those of connections.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// What a server heard on one connection, when that is over.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    text: String,
    was_reset: bool,
}

/// Says back what it hears, and ends with this value.
struct Echo {
    heard: mpsc::UnboundedReceiver<Heard>,
    _accepting: JoinSet<()>,
}

impl Echo {
    async fn heard(&mut self) -> Heard {
        tokio::time::timeout(WAIT_MAX, self.heard.recv()).await.unwrap().unwrap()
    }
}

async fn echo() -> (Echo, Wire) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = mpsc::unbounded_channel();
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            connections.spawn(async move { drop(sender.send(say_back(stream).await)) });
        }
    });
    (Echo { heard, _accepting: accepting }, Wire::to(address).await)
}

async fn say_back(mut stream: TcpStream) -> Heard {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    loop {
        let length = match stream.read(&mut buffer).await {
            Ok(0) => return Heard { text, was_reset: false },
            Ok(length) => length,
            Err(_) => return Heard { text, was_reset: true },
        };
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        // Who cannot be answered has gone, and is heard of at the next read.
        let _ = stream.write_all(&buffer[..length]).await;
    }
}

async fn connected(wire: &Wire) -> TcpStream {
    TcpStream::connect(wire.address()).await.unwrap()
}

async fn exchange(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(read_text(client, text.len()).await, text);
}

/// Time enough for what should not arrive.
async fn exchange_elsewhere() {
    let (_server, wire) = echo().await;
    let mut client = connected(&wire).await;
    for _ in 0..20 {
        exchange(&mut client, "elsewhere").await;
    }
}

async fn read_text(client: &mut TcpStream, length: usize) -> String {
    let mut text = vec![0; length];
    client.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn assert_reset(client: &mut TcpStream) {
    let read = tokio::time::timeout(WAIT_MAX, client.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
