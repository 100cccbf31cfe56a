//! The servers the tests talk to, and the programs that judge what we write: a table each, one row each.
//!
//! A row says how a server is recognised and started; `server` does it. To add a server, add a row here; its tests read the URL from the row's variable.

mod azurite;
mod certificates;
mod mariadb;
mod moto;
mod postgres;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Every server the tests talk to.
pub(crate) const SERVICES: &[Service] = &[
    Service {
        name: "redis",
        is_required: true,
        proves: "examples/third-party-driver and third-party-disk",
        variables: &[("SWITCHBOARD_TEST_REDIS_URL", Value::Url(|at| format!("redis://{at}/0")))],
        standard_port: Some(6379),
        ping: ping_redis,
        program: "redis-server",
        start: start_redis,
        package: "redis-server",
    },
    Service {
        name: "postgres",
        is_required: true,
        proves: "the driver `postgres` of crates/switchboard-database",
        variables: &[(
            "SWITCHBOARD_TEST_POSTGRES_URL",
            Value::Url(|at| format!("postgres://postgres@{at}/postgres")),
        )],
        standard_port: Some(5432),
        ping: postgres::ping,
        program: "postgres",
        start: postgres::start,
        package: "postgresql",
    },
    Service {
        name: "postgres-tls",
        is_required: true,
        proves: "encryption in the driver `postgres` of crates/switchboard-database",
        variables: &[
            (
                "SWITCHBOARD_TEST_POSTGRES_TLS_URL",
                Value::Url(|at| format!("postgres://postgres@localhost:{}/postgres", at.port())),
            ),
            ("SWITCHBOARD_TEST_POSTGRES_TLS_FILES", Value::Folder(certificates::FOLDER)),
        ],
        standard_port: None,
        ping: postgres::ping,
        program: "postgres",
        start: postgres::start_tls,
        package: "postgresql",
    },
    Service {
        name: "mariadb",
        is_required: true,
        proves: "the driver `mysql` of crates/switchboard-database",
        variables: &[(
            "SWITCHBOARD_TEST_MARIADB_URL",
            Value::Url(|at| format!("mysql://root@{at}/test")),
        )],
        standard_port: Some(3306),
        ping: mariadb::ping,
        program: "mariadbd",
        start: mariadb::start,
        package: "mariadb-server",
    },
    Service {
        name: "mariadb-tls",
        is_required: true,
        proves: "encryption in the driver `mysql` of crates/switchboard-database",
        variables: &[
            (
                "SWITCHBOARD_TEST_MARIADB_TLS_URL",
                Value::Url(|at| format!("mysql://root@localhost:{}/test", at.port())),
            ),
            ("SWITCHBOARD_TEST_MARIADB_TLS_FILES", Value::Folder(certificates::FOLDER)),
        ],
        standard_port: None,
        ping: mariadb::ping,
        program: "mariadbd",
        start: mariadb::start_tls,
        package: "mariadb-server",
    },
    Service {
        name: "s3",
        is_required: true,
        proves: "the drivers `s3` and `http` of crates/switchboard-storage",
        variables: &[("SWITCHBOARD_TEST_S3_URL", Value::Url(|at| format!("http://{at}")))],
        standard_port: Some(5000),
        ping: moto::ping,
        program: "python3",
        start: moto::start,
        package: moto::ENVIRONMENTS,
    },
    Service {
        name: "azure",
        is_required: false,
        proves: "the driver `azure` of crates/switchboard-storage",
        variables: &[("SWITCHBOARD_TEST_AZURE_URL", Value::Url(|at| format!("http://{at}")))],
        standard_port: Some(10_000),
        ping: azurite::ping,
        program: "node",
        start: azurite::start,
        package: "npm",
    },
];

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
    /// What stays unproven without it. Tests that need it have `name` in their names, so that they
    /// can be left out where it is missing.
    pub(crate) proves: &'static str,
    /// The environment variables that say where it is: for us to read, and for the tests. The first
    /// is its URL.
    pub(crate) variables: &'static [(&'static str, Value)],
    /// Where it listens on loopback when nobody says otherwise. One that the tests need set up in a
    /// way of their own listens nowhere until it is started for them.
    pub(crate) standard_port: Option<u16>,
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

/// What a variable says of a server.
#[derive(Debug)]
pub(crate) enum Value {
    /// The URL of a server at this address.
    Url(fn(SocketAddr) -> String),
    /// A folder beneath that of a server which was started for the tests.
    Folder(&'static str),
}

impl Service {
    /// The variable with its URL.
    pub(crate) fn variable(&self) -> &'static str {
        self.variables[0].0
    }

    /// What its tests have in their names: that of the service, as functions are called.
    pub(crate) fn name_in_tests(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Where it is when nobody says otherwise.
    pub(crate) fn standard_address(&self) -> Option<SocketAddr> {
        self.standard_port.map(loopback)
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
    let mut stream = connect(address)?;
    stream.write_all(question)?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer)?;
    if answer == expected {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Err(io::Error::other(format!("answered {answer:?}")))
}

/// Nobody is waited for longer than a server of this machine takes.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PING_TIME_MAX)?;
    stream.set_read_timeout(Some(PING_TIME_MAX))?;
    Ok(stream)
}

const PING_TIME_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Shutdown, TcpListener};
    use std::thread;

    use super::*;
    use crate::server::Server;

    #[test]
    fn names_variables_and_ports_are_unique() {
        check_unique(SERVICES.iter().map(|service| service.name));
        check_unique(SERVICES.iter().filter_map(|service| service.standard_port));
        check_unique(SERVICES.iter().flat_map(|service| service.variables).map(|(name, _)| *name));
    }

    fn check_unique<T: Ord>(all: impl Iterator<Item = T>) {
        let all: Vec<T> = all.collect();
        let (count, unique) = (all.len(), BTreeSet::from_iter(all));
        assert_eq!(count, unique.len());
    }

    #[test]
    fn variables_are_called_after_their_service() {
        for service in SERVICES {
            let prefix = format!("SWITCHBOARD_TEST_{}_", service.name_in_tests().to_uppercase());
            assert_eq!(service.variable(), format!("{prefix}URL"));
            for (name, _) in service.variables {
                assert!(name.starts_with(&prefix), "{name}");
            }
        }
    }

    #[test]
    fn the_first_variable_is_the_url_and_only_a_private_server_has_a_folder() {
        for service in SERVICES {
            let (urls, folders): (Vec<_>, Vec<_>) =
                service.variables.iter().partition(|(_, value)| matches!(value, Value::Url(_)));
            assert_eq!(urls.len(), 1);
            assert!(matches!(service.variables[0].1, Value::Url(_)));
            assert!(folders.is_empty() || service.standard_port.is_none(), "{}", service.name);
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

    /// The server of this row, started for one test.
    pub(crate) fn private(name: &str) -> Server {
        let row = SERVICES.iter().find(|service| service.name == name).unwrap();
        Server::start(row).unwrap()
    }

    /// A server that says this to whoever comes, whatever they say.
    pub(crate) fn server_answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(loopback(0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // What is closed before all was read is reset, and the answer lost with it.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        address
    }
}
