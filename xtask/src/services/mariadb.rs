//! `MariaDB`: one without secrets, and one that encrypts.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::certificates::Certificates;
use super::connect;
use crate::programs::{self, User, run};

/// Whether root is let in without a password, and has a database for tests.
pub(crate) fn ping(address: SocketAddr) -> io::Result<()> {
    log_in(address, "root")
}

/// One that lets root in.
pub(crate) fn start(program: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    prepare_and_serve(program, folder, port, OPEN)
}

/// One that also lets `encrypted` in, over TLS only, `certified` with a certificate only, and `known`
/// with the password `open sesame` only.
pub(crate) fn start_tls(program: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    let made = Certificates::make_in(folder)?;
    let mut command = prepare_and_serve(program, folder, port, &format!("{OPEN}{GUARDED}"))?;
    command.arg("--ssl-ca").arg(made.authority);
    command.arg("--ssl-cert").arg(made.certificate).arg("--ssl-key").arg(made.key);
    Ok(command)
}

fn prepare_and_serve(
    program: &Path,
    folder: &Path,
    port: u16,
    statements: &str,
) -> io::Result<Command> {
    let user = User::lowered_to(OWNER)?;
    let first = folder.join("first.sql");
    fs::write(&first, statements)?;
    user.own(folder)?;
    prepare(folder, &user)?;
    let mut command = user.command(program);
    command.arg("--no-defaults").arg("--datadir").arg(folder.join(DATA));
    command.args(["--bind-address=127.0.0.1", "--port", &port.to_string()]);
    command.arg("--socket").arg(folder.join("socket")).arg("--init-file").arg(first);
    command.args(["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]);
    Ok(command)
}

fn prepare(folder: &Path, user: &User) -> io::Result<()> {
    let missing = || io::Error::other("`mariadb-install-db` is not installed");
    let prepare = programs::find("mariadb-install-db").ok_or_else(missing)?;
    let mut command = user.command(&prepare);
    command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
    // A script, which takes a folder in the same word only, and else its own of the system.
    command.arg(format!("--datadir={}", folder.join(DATA).display()));
    run(&mut command, "")
}

/// Logs in without encryption or password.
fn log_in(address: SocketAddr, user: &str) -> io::Result<()> {
    let mut stream = connect(address)?;
    let (_, greeting) = read_packet(&mut stream)?;
    // The tenth version of the greeting starts with the version of the server.
    if greeting.first() != Some(&10) || !contains(&greeting, b"MariaDB") {
        return Err(refusal(&greeting));
    }
    let capabilities = PROTOCOL_41 | WITH_DATABASE | SECURE_CONNECTION | PLUGIN_AUTH;
    let mut answer = capabilities.to_le_bytes().to_vec();
    answer.extend(PACKET_MAX.to_le_bytes());
    answer.push(UTF8MB4);
    answer.extend([0; 23]);
    // The lone zero is the length of the password.
    answer.extend(format!("{user}\0\0test\0mysql_native_password\0").as_bytes());
    write_packet(&mut stream, 1, &answer)?;
    until_let_in(&mut stream)
}

fn until_let_in(stream: &mut TcpStream) -> io::Result<()> {
    for _ in 0..PLUGINS_MAX {
        let (number, answer) = read_packet(stream)?;
        match answer.first() {
            Some(0) => return Ok(()),
            // It would rather have another proof. No password is no bytes in all that have one.
            Some(0xfe) => write_packet(stream, number.wrapping_add(1), b"")?,
            _ => return Err(refusal(&answer)),
        }
    }
    Err(io::Error::other("asked for too many proofs"))
}

fn read_packet(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let [low, middle, high, number] = head;
    let length = u32::from_le_bytes([low, middle, high, 0]);
    if length > PACKET_MAX {
        return Err(io::Error::other("answered in another protocol"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok((number, body))
}

fn write_packet(stream: &mut TcpStream, number: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let [low, middle, high, _] = length.to_le_bytes();
    stream.write_all(&[&[low, middle, high, number], body].concat())
}

fn refusal(answer: &[u8]) -> io::Error {
    io::Error::other(format!("answered {:?}", String::from_utf8_lossy(answer)))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

const OWNER: &str = "mysql";
const DATA: &str = "data";
const PROTOCOL_41: u32 = 1 << 9;
const WITH_DATABASE: u32 = 1 << 3;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const PACKET_MAX: u32 = 1 << 16;
const UTF8MB4: u8 = 45;
const PLUGINS_MAX: u32 = 3;

/// One statement a line, as the server wants them at its start.
const OPEN: &str = "\
CREATE USER IF NOT EXISTS root@127.0.0.1;
GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS test;
";

const GUARDED: &str = "\
CREATE USER certified@127.0.0.1 REQUIRE SUBJECT '/CN=certified';
GRANT ALL ON *.* TO certified@127.0.0.1;
CREATE USER encrypted@127.0.0.1 REQUIRE SSL;
GRANT ALL ON *.* TO encrypted@127.0.0.1;
CREATE USER known@127.0.0.1 IDENTIFIED BY 'open sesame';
GRANT ALL ON *.* TO known@127.0.0.1;
";

#[cfg(test)]
mod tests {
    use super::super::certificates::CERTIFIED;
    use super::super::tests::{private, server_answering};
    use super::*;

    #[test]
    fn a_server_of_another_protocol_is_not_taken_for_mariadb() {
        assert!(ping(server_answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")).is_err());
        assert!(ping(server_answering(b"\x05\0\0\0\x0a8.0\0")).is_err());
        assert!(ping(server_answering(b"")).is_err());
    }

    #[test]
    fn a_refusal_is_told() {
        let address = server_answering(b"\x13\0\0\0\xff\x10\x04Too many visitors");
        assert!(ping(address).unwrap_err().to_string().contains("Too many"));
    }

    #[test]
    fn a_private_mariadb_tls_lets_in_without_encryption_whom_it_should_and_nobody_else() {
        let server = private("mariadb-tls");
        ping(server.address()).unwrap();
        for user in [CERTIFIED, "encrypted", "known"] {
            let error = log_in(server.address(), user).unwrap_err();
            assert!(error.to_string().contains("Access denied"), "{error}");
        }
    }
}
