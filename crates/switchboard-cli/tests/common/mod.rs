//! The real binary in a folder and a home of its own.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in, with a home in it.
pub(crate) struct Place(TempDir);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// A running `up`. It is killed when dropped.
pub(crate) struct Up {
    child: Child,
    pub(crate) address: String,
    /// The lines of stdout that are not read yet, and those of stderr.
    pub(crate) output: Lines,
    pub(crate) errors: Lines,
}

/// Lines as they come.
pub(crate) struct Lines(Receiver<String>);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.path().join("home")
    }

    pub(crate) fn note(&self) -> std::path::PathBuf {
        self.home().join("run.json")
    }

    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path().join(file), text).unwrap();
        self
    }

    /// The command in this place, knowing nothing of the one who runs the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("SWITCHBOARD_HOME", self.home()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, b"")
    }

    /// Like [`run`](Self::run), with something on stdin.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        Ran::of(&self.output(arguments, input))
    }

    /// Like [`run`](Self::run), with variables.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        Ran::of(&output_of(command, b""))
    }

    /// All that the command says; it does not get for ever.
    pub(crate) fn output(&self, arguments: &[&str], input: &[u8]) -> Output {
        output_of(self.command(arguments), input)
    }

    pub(crate) fn up(&self, arguments: &[&str]) -> Up {
        Up::started(self.command(&[&["up", "--listen", "127.0.0.1:0"], arguments].concat()))
    }
}

fn output_of(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let [stdout, stderr] =
        [all_of(child.stdout.take().unwrap()), all_of(child.stderr.take().unwrap())];
    // Not every command reads its input.
    drop(child.stdin.take().unwrap().write_all(input));
    let [stdout, stderr] = [stdout, stderr].map(|stream| stream.recv_timeout(PATIENCE));
    if stdout.is_err() || stderr.is_err() {
        drop(child.kill());
        panic!("{command:?} does not end");
    }
    let status = child.wait().unwrap();
    Output { status, stdout: stdout.unwrap(), stderr: stderr.unwrap() }
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8(output.stdout.clone()).unwrap(),
            errors: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// The data, of a command that worked.
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.output
    }

    /// The errors, of a command that ended with `code` and without data.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.output.as_str()), (Some(code), ""), "{self:?}");
        self.errors
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Up {
    pub(crate) fn started(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Lines::of(child.stdout.take().unwrap());
        let errors = Lines::of(child.stderr.take().unwrap());
        let mut up = Self { child, address: String::new(), output, errors };
        let greeting = up.output.next("http://");
        greeting[greeting.find("http://").unwrap()..].trim().clone_into(&mut up.address);
        // Everything is served when all of the greeting is there.
        up.output.next("Ctrl-C");
        up
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// The code it ends with, once it does.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Option<i32> {
        // Its streams end with it, which can be waited for with a limit.
        self.output.end();
        self.errors.end();
        self.child.wait().unwrap().code()
    }

    /// Stops it as Ctrl-C does.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal("INT");
        assert_eq!(self.ended(), Some(0));
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What the board answers at `path`, raw.
    pub(crate) fn ask(&self, path: &str) -> String {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Lines {
    pub(crate) fn of(stream: impl std::io::Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line that holds `part`; those before it are dropped.
    #[track_caller]
    pub(crate) fn next(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {part:?} ({error}), but {seen:#?}"),
            }
        }
    }

    /// Waits for the end; what came before is the answer.
    #[track_caller]
    pub(crate) fn end(&self) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return seen,
                Err(error) => panic!("it goes on ({error}) after {seen:#?}"),
            }
        }
    }
}

/// All bytes of a stream, once it has ended.
fn all_of(mut stream: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        drop(sender.send(bytes));
    });
    receiver
}

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
