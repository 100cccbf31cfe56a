//! Finds, starts or installs one server or tool, and stops what it started.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::programs::{self, is_root};
use crate::services::{Service, Tool, Value, loopback};

/// A server the tests can talk to. One that was started for them ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    /// What the tests are told, by the variables of the row.
    pub(crate) values: Vec<(&'static str, OsString)>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Environment(&'static str),
    Standard(SocketAddr),
    Private(SocketAddr, #[expect(dead_code, reason = "held to end with the server")] Process),
}

impl Server {
    /// The server in the environment, else the one at the standard address, else a private one. One
    /// that the tests need is installed first where that is possible. The error says what to do.
    pub(crate) fn find(service: &Service) -> Result<Self> {
        if let Some(values) = named_in(service, |variable| env::var_os(variable))? {
            return Ok(Self { values, origin: Origin::Environment(service.variable()) });
        }
        if let Some(address) = service.standard_address()
            && (service.ping)(address).is_ok()
        {
            let values = values(service, address, Path::new(""));
            return Ok(Self { values, origin: Origin::Standard(address) });
        }
        Self::start(service)
    }

    /// One of its own, whatever runs already.
    pub(crate) fn start(service: &Service) -> Result<Self> {
        let program = match programs::find(service.program) {
            Some(program) => program,
            None => missing_server(service)?,
        };
        let (address, process) = start(service, &program)?;
        let values = values(service, address, &process.folder);
        Ok(Self { values, origin: Origin::Private(address, process) })
    }

    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        match self.origin {
            Origin::Standard(address) | Origin::Private(address, _) => address,
            Origin::Environment(variable) => panic!("only {variable} says where it is"),
        }
    }
}

/// What the environment says of a server, if it names one: all of its variables, or none.
fn named_in(
    service: &Service,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Vec<(&'static str, OsString)>>> {
    let given = |variable| environment(variable).filter(|value| !value.is_empty());
    if given(service.variable()).is_none() {
        return Ok(None);
    }
    let value = |(variable, _): &(&'static str, Value)| {
        let value = given(variable)
            .ok_or_else(|| format!("{} is set, but {variable} is not", service.variable()))?;
        Ok((*variable, value))
    };
    service.variables.iter().map(value).collect::<Result<_>>().map(Some)
}

fn values(service: &Service, address: SocketAddr, folder: &Path) -> Vec<(&'static str, OsString)> {
    let value = |(variable, value): &(&'static str, Value)| match value {
        Value::Url(url) => (*variable, url(address).into()),
        Value::Folder(name) => (*variable, folder.join(name).into()),
    };
    service.variables.iter().map(value).collect()
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            // Not the URL, which may hold a password.
            Origin::Environment(variable) => write!(f, "from {variable}"),
            Origin::Standard(address) => write!(f, "already running on {address}"),
            Origin::Private(address, _) => write!(f, "started for the tests on {address}"),
        }
    }
}

/// A started program, its folder, and the watchdog that ends both.
///
/// The watchdog waits for the end of its input, which comes when this value is dropped, and also
/// when this command is killed: then the system closes the pipe.
#[derive(Debug)]
struct Process {
    child: Child,
    watchdog: Child,
    folder: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, folder: &Path) -> io::Result<Self> {
        let log = File::create(folder.join(LOG))?;
        let mut child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self { child, watchdog, folder: folder.to_owned() }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Waits until the server answers; the error is why it does not.
    fn wait_until_ready(
        &mut self,
        ping: fn(SocketAddr) -> io::Result<()>,
        address: SocketAddr,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let Err(error) = ping(address) else { return Ok(()) };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at once ({status})"));
            }
            if start.elapsed() > READY_TIME_MAX {
                return Err(format!("it did not answer in {READY_TIME_MAX:?}: {error}"));
            }
            sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > STOP_TIME_MAX {
                // The watchdog is gone. What cannot be killed either is left to the system.
                let _ = self.child.kill();
                break;
            }
            sleep(LOOK_AGAIN);
        }
        let _ = self.watchdog.wait();
    }
}

fn start(service: &Service, program: &Path) -> Result<(SocketAddr, Process)> {
    let mut failure = String::new();
    // A free port may be taken by somebody else before the server has it.
    for _ in 0..STARTS_MAX {
        match try_start(service, program) {
            Ok(started) => return Ok(started),
            Err(error) => failure = error,
        }
    }
    Err(format!("{} could not be started: {failure}", program.display()))
}

fn try_start(service: &Service, program: &Path) -> Result<(SocketAddr, Process)> {
    let text = |error: io::Error| error.to_string();
    let address = free_address().map_err(text)?;
    let name = format!("switchboard-{}-{}-{}", service.name, std::process::id(), address.port());
    let folder = env::temp_dir().join(name);
    fs::create_dir(&folder).map_err(text)?;
    let spawned = (service.start)(program, &folder, address.port())
        .and_then(|mut command| Process::spawn(&mut command, &folder));
    let mut process = spawned.map_err(|error| {
        // Nothing runs in it; what stays behind is an empty folder for temporary files.
        let _ = fs::remove_dir_all(&folder);
        error.to_string()
    })?;
    match process.wait_until_ready(service.ping, address) {
        Ok(()) => Ok((address, process)),
        Err(error) => {
            let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
            Err(format!("{error}\n{}", last_lines(&log)))
        }
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(loopback(0))?.local_addr()
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}

/// The program in the environment, else the one that is installed. It is never installed for anybody,
/// because tests are complete without it. The error says what to do.
pub(crate) fn find_tool(tool: &Tool) -> Result<PathBuf> {
    if let Some(path) = env::var_os(tool.variable).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    if let Some(program) = programs::find(tool.program) {
        return Ok(program);
    }
    let Tool { program, package, variable, .. } = tool;
    Err(format!("{}, or put its path into {variable}", not_installed(program, package)))
}

fn missing_server(service: &Service) -> Result<PathBuf> {
    let Service { program, package, .. } = service;
    let brought = if service.is_required {
        install(program, package)
    } else {
        Err(not_installed(program, package))
    };
    brought.map_err(|error| {
        let variable = service.variable();
        let what_to_do = format!("{error}, or put the URL of a server into {variable}");
        match service.standard_address() {
            Some(address) => format!("nothing answers on {address}, and {what_to_do}"),
            None => what_to_do,
        }
    })
}

/// The program, brought by the system's packages.
fn install(program: &str, package: &str) -> Result<PathBuf> {
    if !can_install() {
        return Err(not_installed(program, package));
    }
    println!("installing the package {package}, because `{program}` is missing");
    apt_install(package)?;
    programs::find(program).ok_or_else(|| format!("the package {package} brought no `{program}`"))
}

/// A package of the system that a server needs beside its program.
pub(crate) fn install_package(package: &str) -> Result<()> {
    if !can_install() {
        return Err(format!("install it (on Debian: `apt-get install {package}`)"));
    }
    println!("installing the package {package}");
    apt_install(package)
}

fn apt_install(package: &str) -> Result<()> {
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", package])
}

fn not_installed(program: &str, package: &str) -> String {
    format!("`{program}` is not installed; install it (on Debian: `apt-get install {package}`)")
}

fn can_install() -> bool {
    is_root() && programs::find("apt-get").is_some()
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=60"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("apt-get could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("`apt-get {}` failed: {}", arguments.join(" "), stderr.trim()))
}

/// Ends the process `$1` when its input ends, politely at first, and removes the folder `$2`.
///
/// Ctrl-C reaches everybody in the terminal, so the watchdog must not hear it.
const WATCHDOG: &str = r#"
    trap '' INT TERM HUP
    read -r _
    kill "$1" 2>/dev/null
    polls=0
    # Bounded, because where nobody reaps an orphan its number never goes away.
    while [ "$polls" -lt 60 ] && kill -0 "$1" 2>/dev/null; do
        [ "$polls" -ne 50 ] || kill -9 "$1" 2>/dev/null
        polls=$((polls + 1))
        sleep 0.1
    done
    rm -rf -- "$2"
"#;

const LOG: &str = "server.log";
const LOG_LINES_MAX: usize = 20;
const STARTS_MAX: u32 = 3;
const READY_TIME_MAX: Duration = Duration::from_secs(30);
/// Longer than the watchdog takes to stop being polite.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::SERVICES;

    #[test]
    fn a_dropped_server_has_ended_and_left_nothing() {
        let folder = folder("dropped");
        let process = Process::spawn(Command::new("sleep").arg("600"), &folder).unwrap();
        let pid = process.child.id();
        assert!(is_running(pid));
        drop(process);
        assert!(!is_running(pid));
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error() {
        let folder = folder("ended");
        let mut process =
            Process::spawn(Command::new("sh").args(["-c", "exit 3"]), &folder).unwrap();
        let refuse = |_| Err(io::Error::other("no"));
        let error = process.wait_until_ready(refuse, loopback(1)).unwrap_err();
        assert!(error.contains("ended at once"), "{error}");
    }

    #[test]
    fn a_server_is_named_by_all_of_its_variables_or_by_none() {
        let row = SERVICES.iter().find(|row| row.variables.len() == 2).unwrap();
        let both = named_in(row, |variable| Some(variable.into())).unwrap().unwrap();
        assert_eq!(
            both,
            row.variables.iter().map(|(name, _)| (*name, name.into())).collect::<Vec<_>>()
        );
        assert_eq!(named_in(row, |_| Some(OsString::new())), Ok(None));
        let only_url = |variable: &str| (variable == row.variable()).then(|| "url".into());
        let told = named_in(row, only_url).unwrap_err();
        assert!(told.contains(row.variables[1].0), "{told}");
    }

    #[test]
    fn only_the_end_of_a_long_log_is_shown() {
        let log: String = (0..100).fold(String::new(), |log, line| format!("{log}{line}\n"));
        let shown = last_lines(&log);
        assert!(shown.starts_with("80\n") && shown.ends_with("\n99"), "{shown}");
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn a_tool_that_is_missing_is_asked_for_and_not_installed() {
        let tool = Tool {
            program: "switchboard-no-such-tool",
            proves: "nothing",
            variable: "SWITCHBOARD_TEST_NO_SUCH_TOOL",
            package: "switchboard-no-such-package",
        };
        let told = find_tool(&tool).unwrap_err();
        assert!(told.contains("is not installed"), "{told}");
        assert!(told.contains("SWITCHBOARD_TEST_NO_SUCH_TOOL"), "{told}");
    }

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("switchboard-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn is_running(pid: u32) -> bool {
        let script = format!("kill -0 {pid} 2>/dev/null");
        Command::new("sh").args(["-c", &script]).status().unwrap().success()
    }
}
