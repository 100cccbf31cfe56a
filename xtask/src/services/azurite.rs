//! `Azurite`: a server that speaks like the blobs of Azure. It comes from the registry of Node packages.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::converse;
use crate::programs::{self, kept_folder, run};

/// Whether this is that server: it knows the account that only such servers have, and wants a proof.
pub(crate) fn ping(address: SocketAddr) -> io::Result<()> {
    let question = format!("GET /devstoreaccount1?comp=list HTTP/1.0\r\nHost: {address}\r\n\r\n");
    converse(address, question.as_bytes(), b"HTTP/1.1 403 Server failed to authenticate")
}

/// One with everything in memory. Brings the server first, if it was never brought before.
pub(crate) fn start(node: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    let server = installed()?;
    let mut command = Command::new(node);
    command.current_dir(folder).arg(server).args(["--silent", "--disableTelemetry"]);
    command.args(["--inMemoryPersistence", "--skipApiVersionCheck"]);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    Ok(command)
}

fn installed() -> io::Result<PathBuf> {
    let folder = kept_folder()?.join(FOLDER);
    let program = folder.join(PROGRAM);
    if program.is_file() {
        return Ok(program);
    }
    let missing = || io::Error::other("`npm`, which brings this server, is not installed");
    let npm = programs::find("npm").ok_or_else(missing)?;
    // What is half there is under another name, and whoever is first has it.
    let draft = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&draft)?;
    let mut install = Command::new(npm);
    install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    install.arg(&draft).arg(REQUIREMENT);
    let made = run(&mut install, "").and_then(|()| match fs::rename(&draft, &folder) {
        Err(_) if program.is_file() => Ok(()),
        renamed => renamed,
    });
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    made.map(|()| program)
}

const REQUIREMENT: &str = "azurite@3.35.0";
const FOLDER: &str = "azurite-3_35_0";
const PROGRAM: &str = "node_modules/azurite/dist/src/blob/main.js";

#[cfg(test)]
mod tests {
    use super::super::tests::{private, server_answering};
    use super::*;

    #[test]
    fn a_server_of_another_kind_is_not_taken_for_azurite() {
        assert!(ping(server_answering(b"HTTP/1.1 403 Forbidden\r\n\r\n")).is_err());
        assert!(ping(server_answering(b"")).is_err());
    }

    #[test]
    fn a_private_azure_is_brought_and_answers() {
        ping(private("azure").address()).unwrap();
    }
}
