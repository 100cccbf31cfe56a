//! `PostgreSQL`: one without secrets, and one that encrypts.

use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::certificates::Certificates;
use super::connect;
use crate::programs::{User, run};

/// Whether the user postgres is let in without a password.
pub(crate) fn ping(address: SocketAddr) -> io::Result<()> {
    log_in(address, "postgres")
}

/// One that lets everybody in.
pub(crate) fn start(program: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    let user = User::lowered_to(OWNER)?;
    prepare(program, folder, &user)?;
    Ok(serve(program, folder, port, &user))
}

/// One that lets `encrypted` in over TLS only, `certified` with a certificate only, and `known` with
/// the password `open sesame` only. Everybody else comes in as it likes.
pub(crate) fn start_tls(program: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    let user = User::lowered_to(OWNER)?;
    let made = Certificates::make_in(folder)?;
    prepare(program, folder, &user)?;
    fs::write(folder.join(DATA).join("pg_hba.conf"), ADMISSION)?;
    let data = folder.join(DATA);
    run(user.command(program).arg("--single").arg("-D").arg(data).arg("postgres"), ROLES)?;
    let mut command = serve(program, folder, port, &user);
    command.args(["-c", "ssl=on"]);
    let files = [("ca", made.authority), ("cert", made.certificate), ("key", made.key)];
    for (setting, file) in files {
        command.arg("-c").arg(format!("ssl_{setting}_file={}", file.display()));
    }
    Ok(command)
}

fn prepare(program: &Path, folder: &Path, user: &User) -> io::Result<()> {
    user.own(folder)?;
    // Beside the server itself, not beside a link to it.
    let prepare = program.canonicalize()?.with_file_name("initdb");
    let mut command = user.command(&prepare);
    command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
    run(command.arg("--no-sync").arg("--pgdata").arg(folder.join(DATA)), "")
}

fn serve(program: &Path, folder: &Path, port: u16, user: &User) -> Command {
    let mut command = user.command(program);
    command.arg("-D").arg(folder.join(DATA)).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"] {
        command.args(["-c", setting]);
    }
    command
}

/// Logs in over the third version of the protocol, without encryption or password.
fn log_in(address: SocketAddr, user: &str) -> io::Result<()> {
    let mut stream = connect(address)?;
    let parameters = format!("user\0{user}\0database\0postgres\0\0");
    let length = u32::try_from(8 + parameters.len()).map_err(io::Error::other)?;
    let start = [&length.to_be_bytes(), VERSION, parameters.as_bytes()].concat();
    stream.write_all(&start)?;
    loop {
        match &read_message(&mut stream)? {
            (b'R', body) if body[..] == [0; 4] => {}
            (b'R', _) => return Err(io::Error::other(format!("{user} needs a password"))),
            (b'E', body) => return Err(io::Error::other(refusal(body))),
            (b'Z', _) => return stream.write_all(GOODBYE),
            // What it says about itself.
            (b'S' | b'K' | b'N', _) => {}
            (kind, _) => return Err(io::Error::other(format!("answered with {kind:#x}"))),
        }
    }
}

fn read_message(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length).checked_sub(4).filter(|length| *length <= BODY_MAX);
    let length = length.ok_or_else(|| io::Error::other("answered in another protocol"))?;
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

/// The fields of an error that is sent to a client, in a row.
fn refusal(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace('\0', " ").trim().to_owned()
}

const OWNER: &str = "postgres";
const DATA: &str = "data";
const VERSION: &[u8] = &[0, 3, 0, 0];
const GOODBYE: &[u8] = b"X\0\0\0\x04";
const BODY_MAX: u32 = 1 << 16;

/// One statement a line, as the server wants them where it has no clients.
const ROLES: &str = "\
CREATE ROLE certified LOGIN
CREATE ROLE encrypted LOGIN
CREATE ROLE known LOGIN PASSWORD 'open sesame'
";

/// The first line that fits decides.
const ADMISSION: &str = "\
hostssl   all certified 127.0.0.1/32 cert
hostssl   all encrypted 127.0.0.1/32 trust
hostnossl all certified,encrypted 127.0.0.1/32 reject
host      all known     127.0.0.1/32 scram-sha-256
host      all all       127.0.0.1/32 trust
";

#[cfg(test)]
mod tests {
    use super::super::certificates::CERTIFIED;
    use super::super::tests::{private, server_answering};
    use super::*;

    #[test]
    fn a_server_that_wants_a_password_is_not_open_to_the_tests() {
        let address = server_answering(b"R\0\0\0\x08\0\0\0\x03");
        assert!(ping(address).unwrap_err().to_string().contains("password"));
    }

    #[test]
    fn a_server_of_another_protocol_is_not_taken_for_postgres() {
        assert!(ping(server_answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")).is_err());
        assert!(ping(server_answering(b"R\0\0\0\x03")).is_err());
        assert!(ping(server_answering(b"")).is_err());
    }

    #[test]
    fn a_refusal_is_told() {
        let address = server_answering(b"E\0\0\0\x0cSFATAL\0\0");
        assert!(ping(address).unwrap_err().to_string().contains("FATAL"));
    }

    #[test]
    fn a_private_postgres_tls_lets_in_without_encryption_whom_it_should_and_nobody_else() {
        let server = private("postgres-tls");
        ping(server.address()).unwrap();
        for (user, why) in [(CERTIFIED, "rejects"), ("encrypted", "rejects"), ("known", "password")]
        {
            let error = log_in(server.address(), user).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
