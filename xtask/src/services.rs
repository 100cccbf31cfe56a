//! The servers the tests talk to, and the programs that judge what we write: a table each, one row each.
//!
//! A row says how a server is recognised and started; `server` does it. To add a server, add a row here; its tests read the URL from the row's variable.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Every server the tests talk to.
pub(crate) const SERVICES: &[Service] = &[Service {
    name: "redis",
    is_required: true,
    proves: "examples/third-party-driver",
    variable: "SWITCHBOARD_TEST_REDIS_URL",
    port: 6379,
    url: |address| format!("redis://{address}/0"),
    ping: ping_redis,
    program: "redis-server",
    start: start_redis,
    package: "redis-server",
}];

/// Every program that judges what the product writes. Tests are complete without them.
pub(crate) const TOOLS: &[Tool] = &[Tool {
    program: "promtool",
    proves: "the metrics of crates/switchboard-console",
    variable: "SWITCHBOARD_TEST_PROMTOOL",
    package: "prometheus",
}];

/// One program that judges what the product writes.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What it is called. Tests that need it have this in their names, so that they can be left out
    /// where it is missing.
    pub(crate) program: &'static str,
    /// What only our own tests vouch for without it.
    pub(crate) proves: &'static str,
    /// The environment variable with its path: for us to read, and for the tests.
    pub(crate) variable: &'static str,
    /// What brings it, on Debian and its relatives.
    pub(crate) package: &'static str,
}

/// One server the tests talk to.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Whether the tests are incomplete, and so fail, without it.
    pub(crate) is_required: bool,
    /// The drivers that stay unproven without it. Tests that need it have `name` in their names,
    /// so that they can be left out where it is missing.
    pub(crate) proves: &'static str,
    /// The environment variable with the URL: for us to read, and for the tests.
    pub(crate) variable: &'static str,
    /// Where it listens on loopback when nobody says otherwise.
    pub(crate) port: u16,
    /// The URL of a server at this address.
    pub(crate) url: fn(SocketAddr) -> String,
    /// Speaks enough of its protocol to know that it is this server, ready, and open to us.
    pub(crate) ping: fn(SocketAddr) -> io::Result<()>,
    /// What starts it. Looked for where programs are, and where Debian hides servers.
    pub(crate) program: &'static str,
    /// A call of that program that serves on this port of loopback, keeps all it has in this
    /// folder, and stays in the foreground. May prepare the folder first.
    pub(crate) start: fn(program: &Path, folder: &Path, port: u16) -> io::Result<Command>,
    /// What brings the program, on Debian and its relatives.
    pub(crate) package: &'static str,
}

impl Service {
    /// Where it is when nobody says otherwise.
    pub(crate) fn standard_address(&self) -> SocketAddr {
        loopback(self.port)
    }
}

/// This port of this machine.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "rows have one shape, and a server with a data folder has to prepare it"
)]
fn start_redis(program: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder);
    Ok(command)
}

/// A server that wants a password answers too, but does not let the tests in.
fn ping_redis(address: SocketAddr) -> io::Result<()> {
    converse(address, b"PING\r\n", b"+PONG\r\n")
}

/// Sends a line and expects exactly this answer.
fn converse(address: SocketAddr, question: &[u8], expected: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PING_TIME_MAX)?;
    stream.set_read_timeout(Some(PING_TIME_MAX))?;
    stream.write_all(question)?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer)?;
    if answer == expected {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Err(io::Error::other(format!("answered {answer:?}")))
}

const PING_TIME_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn names_variables_and_ports_are_unique() {
        for (position, service) in SERVICES.iter().enumerate() {
            for other in &SERVICES[..position] {
                assert_ne!(service.name, other.name);
                assert_ne!(service.variable, other.variable);
                assert_ne!(service.port, other.port);
            }
        }
    }

    #[test]
    fn variables_are_called_after_their_service() {
        for service in SERVICES {
            let name = service.name.to_ascii_uppercase();
            assert_eq!(service.variable, format!("SWITCHBOARD_TEST_{name}_URL"));
        }
    }

    #[test]
    fn variables_of_tools_are_called_after_them() {
        for tool in TOOLS {
            let name = tool.program.to_ascii_uppercase();
            assert_eq!(tool.variable, format!("SWITCHBOARD_TEST_{name}"));
        }
    }

    #[test]
    fn a_server_of_another_protocol_is_not_taken_for_redis() {
        assert!(ping_redis(server_answering(b"+PONG\r\n")).is_ok());
        assert!(ping_redis(server_answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
    }

    #[test]
    fn a_redis_that_wants_a_password_is_not_open_to_the_tests() {
        let address = server_answering(b"-NOAUTH Authentication required.\r\n");
        assert!(ping_redis(address).is_err());
    }

    /// A server that answers one question, whatever it was.
    fn server_answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(loopback(0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 6];
            stream.read_exact(&mut question).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }
}
