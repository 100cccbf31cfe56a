//! A board of many instances: checked, reloaded, asked how it is, and the command until it is ready.
//!
//! Not a line, because most of it has no peer to divide by: it has a section of its own, with limits
//! instead of ratios. Reading the same file without checking it is what other libraries do, so they
//! stand beside it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use switchboard::{Change, Switchboard};
use switchboard_console::ConsoleConfig;
use tokio::runtime::Builder as Runtime;

use crate::folder::Folder;
use crate::machine::Stamp;
use crate::stats::Spread;

pub const NAME: &str = "board";
pub const ABOUT: &str = "Check and reload a board of 500 caches that share a base and three policies; \
                         ask one of 200 how it is over HTTP; start the command without configuration.";

/// Runs it, and writes its section.
pub fn section() -> String {
    let stamp = Stamp::now();
    let folder = Folder::new();
    let file = folder.file("switchboard.toml", &configuration(INSTANCES, 100));
    let runtime = Runtime::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("can be built");
    let rows = [
        row("check 500 instances", Some(100.0), times(|| check(&file))),
        row("the same file, read by figment", None, times(|| figment(&file))),
        row("the same file, read by config-rs", None, times(|| config_rs(&file))),
        row("reload, one of 500 changed", Some(50.0), runtime.block_on(reload(&file))),
        row("`/health` of 200 instances", Some(5.0), runtime.block_on(health())),
        row("`up` until `/readyz` answers", Some(300.0), up(&folder)),
    ];
    let mut page = format!("## {NAME}\n\n{ABOUT}\n\n");
    page.push_str("| what | median [quartiles] | at most |\n| --- | ---: | ---: |\n");
    for Row { what, limit, spread } in &rows {
        let Spread { low, median, high } = spread;
        let limit = limit.map_or_else(String::new, |limit| format!("{limit} ms"));
        writeln!(page, "| {what} | {median:.2} ms [{low:.2}..{high:.2}] | {limit} |")
            .expect(WRITES);
    }
    page.push('\n');
    for Row { what, limit, spread } in &rows {
        let Some(limit) = limit else { continue };
        let verdict = if spread.median <= *limit { "met" } else { "missed" };
        writeln!(page, "- {what} takes at most {limit} ms: **{verdict}**").expect(WRITES);
    }
    writeln!(page, "\n{}.\n", stamp.until(&Stamp::now())).expect(WRITES);
    page
}

struct Row {
    what: &'static str,
    limit: Option<f64>,
    spread: Spread,
}

fn row(what: &'static str, limit: Option<f64>, times: Vec<Duration>) -> Row {
    let spread = Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3));
    Row { what, limit, spread }
}

/// How long `what` takes, again and again.
fn times(what: impl Fn()) -> Vec<Duration> {
    let time = |_| {
        let begin = Instant::now();
        what();
        begin.elapsed()
    };
    (0..ROUNDS).map(time).collect()
}

/// What a hand would write, 500 times: a base, policies, a few settings of their own.
fn configuration(instances: usize, entries: usize) -> String {
    let mut text = String::from(
        "[health]\nevery = '10s'\n[policy.fast]\ndeadline = '500ms'\nretry = { attempts = 3 }\n\
         [policy.careful]\ndeadline = '5s'\nbreaker = { failure_rate = 0.5 }\n\
         [policy.bounded]\nbulkhead = { max = 64, wait = '50ms' }\n\
         [cache.base]\nabstract = true\ndriver = 'memory'\nmax_bytes = '1MB'\n",
    );
    for at in 0..instances {
        let policy = ["fast", "careful", "bounded"][at % 3];
        let entries = if at == instances / 2 { entries } else { 100 };
        write!(
            text,
            "[cache.c{at}]\nextends = 'base'\nmax_entries = {entries}\npolicy = '{policy}'\n"
        )
        .expect(WRITES);
    }
    text
}

fn check(file: &Path) {
    Switchboard::builder().file(file).check().expect("the configuration is right");
}

/// What the file says, as far as libraries that check nothing care.
#[derive(Deserialize)]
struct Loose {
    cache: std::collections::HashMap<String, Instance>,
}

#[derive(Deserialize)]
struct Instance {
    max_entries: Option<u64>,
}

impl Loose {
    fn is_all(&self) -> bool {
        let known = self.cache.values().filter(|instance| instance.max_entries.is_some());
        known.count() == INSTANCES
    }
}

fn figment(file: &Path) {
    use figment::providers::{Env, Format as _, Toml};
    let read =
        figment::Figment::new().merge(Toml::file(file)).merge(Env::prefixed("BENCH_").split("__"));
    let loose: Loose = read.extract().expect("the file is right");
    assert!(loose.is_all());
}

fn config_rs(file: &Path) {
    let environment = config::Environment::with_prefix("BENCH").separator("__");
    let read =
        config::Config::builder().add_source(config::File::from(file)).add_source(environment);
    let loose: Loose = read.build().expect("the file is right").try_deserialize().expect("fits");
    assert!(loose.is_all());
}

/// Reloads of a board that serves, each with one instance that changed.
async fn reload(file: &Path) -> Vec<Duration> {
    let board =
        Switchboard::builder().file(file).build().await.expect("the configuration is right");
    for view in board.instances() {
        let cache = board.cache(&view.name).expect("it is there");
        cache.forever("key", "value").await.expect("it works");
    }
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let text = configuration(INSTANCES, 101 + round);
        std::fs::write(file, text).expect("can be written");
        let begin = Instant::now();
        let plan = board.reload("bench").await.expect("the configuration is right");
        times.push(begin.elapsed());
        assert_eq!((plan.changes.len(), plan.count(Change::Swapped)), (1, 1));
    }
    board.close(LIMIT).await;
    times
}

async fn health() -> Vec<Duration> {
    let text = configuration(200, 100);
    let board = Switchboard::builder().text("bench.toml", switchboard::Format::Toml, text);
    let board = board.build().await.expect("the configuration is right");
    for view in board.instances() {
        board.cache(&view.name).expect("it is there").get("key").await.expect("it works");
    }
    board.check_health().await;
    let console = switchboard_console::serve(&board, &ConsoleConfig::default()).await;
    let address = console.expect("there is a port").address();
    let asking = tokio::task::spawn_blocking(move || {
        times(|| {
            let answer = get(&address.to_string(), "/health");
            assert!(answer.contains("c199"), "{answer}");
        })
    });
    let times = asking.await.expect("asking does not panic");
    board.close(LIMIT).await;
    times
}

/// The answer to one request on a connection of its own.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect(WRITES);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    answer
}

fn up(folder: &Folder) -> Vec<Duration> {
    let binary = build_command();
    let home = folder.path().join("home");
    (0..ROUNDS).map(|_| time_until_ready(&binary, &home)).collect()
}

fn build_command() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = target.join("switchboard-command");
    let built = Command::new("cargo")
        .args(["build", "--release", "--package", "switchboard-cli", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .expect("cargo is there");
    assert!(built.success(), "the command cannot be built");
    target.join("release/switchboard")
}

fn time_until_ready(binary: &Path, home: &Path) -> Duration {
    let begin = Instant::now();
    let child = Command::new(binary)
        .args(["up", "--listen", "127.0.0.1:0"])
        .current_dir(home.parent().expect("has one"))
        .env("SWITCHBOARD_HOME", home)
        .stdout(Stdio::piped())
        .spawn();
    let mut running = Ended(child.expect("the command starts"));
    let output = running.0.stdout.take().expect("was asked for");
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let address = lines
        .filter_map(|line| {
            Some(line.split_once("http://")?.1.split_whitespace().next()?.to_owned())
        })
        .next();
    let ready = get(&address.expect("it prints where it listens"), "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    begin.elapsed()
}

/// A process that is ended with the measurement.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const INSTANCES: usize = 500;
const ROUNDS: usize = 21;
const LIMIT: Duration = Duration::from_secs(10);
const WRITES: &str = "a string or a socket takes it";
