//! The notes as a newcomer meets them: started, asked, ended, started again.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The running program, which goes with the test.
struct Notes {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
    address: SocketAddr,
}

/// A folder with a configuration that listens where nobody else does.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/switchboard.toml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("127.0.0.1:7080"), "{text}");
    let text = text.replace("127.0.0.1:7080", "127.0.0.1:0");
    std::fs::write(folder.path().join("switchboard.toml"), text).unwrap();
    folder
}

impl Notes {
    /// Started in that folder, with what it says before it can be asked.
    fn start(folder: &Path) -> (Self, Vec<String>) {
        let mut notes = Command::new(env!("CARGO_BIN_EXE_notes"));
        let notes = notes.arg("switchboard.toml").current_dir(folder).stdout(Stdio::piped());
        let mut child = notes.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut notes = Self { child, lines: Box::new(lines), address: ([0; 4], 0).into() };
        let mut said = Vec::new();
        for line in &mut notes.lines {
            if let Some(rest) = line.strip_prefix("notes: http://") {
                notes.address = rest.strip_suffix("/notes").unwrap().parse().unwrap();
                return (notes, said);
            }
            said.push(line);
        }
        panic!("it ended without saying where it listens: {said:?}");
    }

    /// The status and the body of the answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head = "content-type: application/json\r\nconnection: close";
        let request =
            format!("{method} {path} HTTP/1.0\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn add(&self, text: &str) -> u16 {
        self.ask("POST", "/notes", &format!("{{\"text\":\"{text}\"}}")).0
    }

    /// Ends as Ctrl-C ends it; whether it ended well.
    #[cfg(unix)]
    fn end(mut self) -> bool {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(self.lines.next(), None, "it has nothing to complain of");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn notes_are_added_listed_exported_and_removed() {
    let folder = folder();
    let (notes, _) = Notes::start(folder.path());
    assert_eq!(notes.ask("GET", "/notes", ""), (200, "[]".to_owned()));
    assert_eq!(notes.add("milk"), 201);
    assert_eq!(notes.add("bread"), 201);

    let (status, listed) = notes.ask("GET", "/notes", "");
    assert_eq!(status, 200);
    assert!(listed.starts_with("[{\"id\":1,\"text\":\"milk\",\"written_at\":\"2"), "{listed}");
    let (_, exported) = notes.ask("GET", "/export", "");
    let texts: Vec<_> = exported.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(texts, ["milk", "bread"]);

    assert_eq!(notes.ask("DELETE", "/notes/1", "").0, 204);
    assert_eq!(notes.ask("DELETE", "/notes/1", "").0, 404);
    assert!(!notes.ask("GET", "/notes", "").1.contains("milk"));
}

#[test]
fn what_the_table_refuses_is_told_by_the_status() {
    let folder = folder();
    let (notes, _) = Notes::start(folder.path());
    assert_eq!(notes.add("milk"), 201);
    assert_eq!(notes.add("milk"), 409);
    assert_eq!(notes.add(""), 422);
    assert_eq!(notes.ask("GET", "/export", "").1.lines().count(), 1);
}

#[cfg(unix)]
#[test]
fn it_ends_well_and_has_its_notes_when_it_is_started_again() {
    let folder = folder();
    let (notes, said) = Notes::start(folder.path());
    assert_eq!(said, ["notes: applied 1 create_notes", "notes: applied 2 remember_when"]);
    assert_eq!(notes.add("milk"), 201);
    assert!(notes.end());

    let (notes, said) = Notes::start(folder.path());
    assert!(said.is_empty(), "nothing is left to apply: {said:?}");
    assert!(notes.ask("GET", "/notes", "").1.contains("milk"));
    assert!(notes.end());
}
