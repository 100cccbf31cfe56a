//! `moto`: a server that speaks like S3. It comes from the registry of Python packages.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::converse;
use crate::programs::{kept_folder, run};
use crate::server::install_package;

/// Whether this is that server: no other knows the address.
pub(crate) fn ping(address: SocketAddr) -> io::Result<()> {
    let question = format!("GET /moto-api/data.json HTTP/1.0\r\nHost: {address}\r\n\r\n");
    converse(address, question.as_bytes(), b"HTTP/1.1 200 OK\r\n")
}

/// One with everything in memory. Brings the server first, if it was never brought before.
pub(crate) fn start(python: &Path, _: &Path, port: u16) -> io::Result<Command> {
    let server = installed(python)?;
    let mut command = Command::new(server);
    // The place where Python leaves what it has read is not ours to fill.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    Ok(command)
}

/// The Python that has the server, in a folder of its own.
fn installed(python: &Path) -> io::Result<PathBuf> {
    let folder = kept_folder()?.join(FOLDER);
    let program = folder.join("bin/python");
    if program.is_file() {
        return Ok(program);
    }
    // What is half there is under another name, and whoever is first has it.
    let draft = folder.with_extension(std::process::id().to_string());
    make_environment(python, &draft)?;
    let mut pip = Command::new(draft.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]);
    let made = run(&mut pip, "").and_then(|()| match fs::rename(&draft, &folder) {
        Err(_) if program.is_file() => Ok(()),
        renamed => renamed,
    });
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    made.map(|()| program)
}

/// Debian has Python without the part that makes environments.
fn make_environment(python: &Path, folder: &Path) -> io::Result<()> {
    let make = || run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder), "");
    let Err(failed) = make() else { return Ok(()) };
    install_package(ENVIRONMENTS)
        .map_err(|error| io::Error::other(format!("{failed}; {error}")))?;
    make()
}

/// What brings the module `venv` on Debian and its relatives.
pub(crate) const ENVIRONMENTS: &str = "python3-venv";
const REQUIREMENT: &str = "moto[server,s3,s3crc32c]==5.2.5";
const FOLDER: &str = "moto-5_2_5";

#[cfg(test)]
mod tests {
    use super::super::tests::{private, server_answering};
    use super::*;

    #[test]
    fn a_server_of_another_kind_is_not_taken_for_moto() {
        assert!(ping(server_answering(b"HTTP/1.1 404 NOT FOUND\r\n\r\n")).is_err());
        assert!(ping(server_answering(b"")).is_err());
    }

    #[test]
    fn a_private_s3_is_brought_and_answers() {
        ping(private("s3").address()).unwrap();
    }
}
