//! One provider that streams: the lines that a program prints, as it prints them.

use std::process::Stdio;
use std::time::Duration;

use switchboard_core::{
    Descriptor, Effect, Environment, Error, ErrorKind, Lifecycle, Manager, NoSettings, Op,
    Registry, Reply, Result, Settings, Subsystem,
};
use switchboard_provider::{Items, Provider, Stream, Streamer, stream};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what it does")]
async fn main() -> Result<()> {
    let programs = Manager::<Programs>::new(Registry::with_built_ins()?, &Environment::new())?;
    programs.configure("shell", &Settings::new().with("driver", "shell"))?;
    let shell = programs.get("shell").await?;

    println!("to the end:");
    let mut lines = shell.open("for n in 1 2 3; do echo line $n; done".to_owned()).await?;
    while let Some(line) = lines.next().await? {
        println!("  {line}");
    }
    lines.close().await?;

    println!("as far as wanted:");
    let mut endless = shell.open("while :; do echo again; done".to_owned()).await?;
    for _ in 0..2 {
        println!("  {}", endless.next().await?.unwrap_or_default());
    }
    endless.close().await?;

    println!("an error is not an end:");
    let mut failing = shell.open("echo so far so good; exit 3".to_owned()).await?;
    loop {
        match failing.next().await {
            Ok(Some(line)) => println!("  {line}"),
            Ok(None) => break,
            Err(error) => {
                let status = error.context_value("status").unwrap_or("unknown");
                println!("  {}, status {status}", error.message());
                break;
            }
        }
    }
    failing.close().await?;

    println!("in flight at the end: {}", shell.line().in_flight());
    programs.close(Duration::from_secs(5)).await.into_result()
}

/// Whatever runs a script and gives the lines that it prints.
struct Programs;

impl Subsystem for Programs {
    const NAME: &'static str = "programs";
    const OPERATIONS: &'static [Op] = stream::operations(Effect::Unsafe);
    type Driver = dyn Stream<String, String>;
    type Handle = Streamer<Self>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register(
            Descriptor::new("shell").summary("runs scripts with `sh`"),
            |_: NoSettings, _| async { Ok(Shell) },
        )
    }
}

/// Runs each script in a shell of its own.
struct Shell;

impl Lifecycle for Shell {}

impl Provider for Shell {
    fn name(&self) -> &'static str {
        "shell"
    }
}

impl Stream<String, String> for Shell {
    fn open(&self, script: String) -> Reply<'_, Box<dyn Items<String>>> {
        Reply::ready(Running::start(&script).map(|running| {
            let items: Box<dyn Items<String>> = Box::new(running);
            items
        }))
    }
}

/// A script under way. Dropping it ends the program.
struct Running {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// It has ended, and whether that was an error has been said.
    has_ended: bool,
}

impl Running {
    fn start(script: &str) -> Result<Self> {
        let mut program = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unavailable(error).not_applied())?;
        let output = program.stdout.take().ok_or_else(|| {
            Error::new(ErrorKind::Unexpected, "the program has no output to read")
        })?;
        Ok(Self { program, lines: BufReader::new(output).lines(), has_ended: false })
    }

    /// The end of the output is an end only if the program says that all went well.
    async fn end(&mut self) -> Result<()> {
        let status = self.program.wait().await.map_err(unavailable)?;
        self.has_ended = true;
        if status.success() {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Unexpected, "the program failed");
        Err(match status.code() {
            Some(code) => error.with_context("status", code),
            None => error.with_context("status", status),
        })
    }
}

impl Items<String> for Running {
    fn next(&mut self) -> Reply<'_, Option<String>> {
        Reply::run(async {
            if self.has_ended {
                return Ok(None);
            }
            match self.lines.next_line().await.map_err(unavailable)? {
                Some(line) => Ok(Some(line)),
                None => self.end().await.map(|()| None),
            }
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            self.has_ended = true;
            self.program.kill().await.map_err(unavailable)
        })
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the program cannot be read from").with_source(error)
}
