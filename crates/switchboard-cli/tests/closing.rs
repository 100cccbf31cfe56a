//! A running board that takes its time to close. Alone in its process, which it asks to stop.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::process::{Command, ExitCode};

use bytes::Bytes;
use switchboard::{Builder, Format, Switchboard};
use switchboard_cache::drivers::null::Null;
use switchboard_cache::{CacheDriver, Caches, Key, Ttl};
use switchboard_cli::{Stream, Surroundings};
use switchboard_core::{Lifecycle, NoSettings, Reply};

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let (output, writer) = io::pipe().unwrap();
    let (errors, error_writer) = io::pipe().unwrap();
    let arguments = ["shop", "up", "--listen", "127.0.0.1:0", "--home", home.to_str().unwrap()];
    let surroundings = Surroundings {
        arguments: arguments.map(Into::into).into(),
        version: None,
        variables: BTreeMap::new(),
        input: Box::new(io::empty()),
        is_typed: false,
        output: Stream::plain(writer),
        errors: Stream::plain(error_writer),
    };
    let running = std::thread::spawn(move || switchboard_cli::run(shop(), surroundings));
    wait_for(output, "Ctrl-C");
    let errors = interrupt_until(errors, "stopping");
    interrupt_until(errors, "stopped without waiting");
    let exit = running.join().unwrap();
    assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::FAILURE));
    assert!(!home.join("run.json").exists());
}

fn shop() -> Builder {
    let builder = Switchboard::builder().drivers::<Caches>(|registry| {
        registry.register("stuck", |_: NoSettings, _| async { Ok(Stuck) })
    });
    let text = "cache.stuck = { driver = 'stuck', required = true }";
    builder.text("shop.toml", Format::Toml, text)
}

/// Asks this process to stop, and reads on until that has come to something.
fn interrupt_until(errors: PipeReader, part: &str) -> PipeReader {
    let pid = std::process::id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    wait_for(errors, part)
}

/// Reads, a byte at a time so that the rest stays for the next one, until a line holds `part`.
fn wait_for(stream: PipeReader, part: &str) -> PipeReader {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it ended without {part:?}");
    }
    reader.into_inner()
}

static NULL: Null = Null;

/// Never finishes closing.
struct Stuck;

impl Lifecycle for Stuck {
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(std::future::pending())
    }
}

impl CacheDriver for Stuck {
    fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        NULL.get(key)
    }

    fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
        NULL.put(key, value, ttl)
    }

    fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
        NULL.add(key, value, ttl)
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        NULL.forget(key)
    }

    fn flush(&self) -> Reply<'_, ()> {
        NULL.flush()
    }
}
