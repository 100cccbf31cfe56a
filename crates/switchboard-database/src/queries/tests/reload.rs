//! Files that are changed while an instance uses them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard_core::{BuildContext, Environment, Name};
use tempfile::TempDir;
use tokio::time::advance;
use tracing::span;

use super::*;
use crate::QueriesConfig;
use crate::queries::Kept;

/// An instance that uses one file.
struct Bench {
    folder: TempDir,
    kept: Kept,
}

impl Bench {
    fn new(text: &str, reload: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.sql"), text).unwrap();
        let kept = opened(Some(folder.path().into()), reload);
        Self { folder, kept }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("a.sql"), text).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.kept.now().unwrap().names().map(str::to_owned).collect()
    }
}

fn opened(path: Option<PathBuf>, reload: bool) -> Kept {
    let build = BuildContext::new(&Environment::new(), Name::parse("main").unwrap());
    Kept::open(&QueriesConfig { path, reload }, &POSTGRES, &build)
}

const FIRST: &str = "-- name: first :value\nselect 1";
const SECOND: &str = "-- name: the_second :value\nselect 2";
const WRONG: &str = "-- name: wrong :whatever\nselect 3";

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_again_after_a_second() {
    let bench = Bench::new(FIRST, true);
    bench.write(SECOND);
    assert_eq!(bench.names(), ["first"]);
    advance(Duration::from_millis(999)).await;
    assert_eq!(bench.names(), ["first"]);
    advance(Duration::from_millis(1)).await;
    assert_eq!(bench.names(), ["the_second"]);
}

#[tokio::test(start_paused = true)]
async fn files_that_come_and_go_are_seen() {
    let bench = Bench::new(FIRST, true);
    fs::create_dir(bench.folder.path().join("more")).unwrap();
    let other = bench.folder.path().join("more/b.sql");
    fs::write(&other, SECOND).unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!(bench.names(), ["first", "the_second"]);
    fs::remove_file(other).unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!(bench.names(), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_with_mistakes_leaves_what_was_there_and_is_told_once() {
    let told = Told::default();
    let _listening = tracing::subscriber::set_default(told.clone());
    let bench = Bench::new(FIRST, true);
    bench.write(WRONG);
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        assert_eq!(bench.names(), ["first"]);
    }
    assert_eq!(told.count(), 1);

    bench.write(SECOND);
    advance(Duration::from_secs(1)).await;
    assert_eq!(bench.names(), ["the_second"]);
    assert_eq!(told.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_reload_nothing_is_read_again() {
    let bench = Bench::new(FIRST, false);
    bench.write(SECOND);
    advance(Duration::from_mins(1)).await;
    assert_eq!(bench.names(), ["first"]);
}

#[test]
fn mistakes_at_the_start_are_told_all_together() {
    let text = format!("{WRONG}\n-- name: unused :value\n-- param: id\nselect 1");
    for reload in [false, true] {
        let bench = Bench::new(&text, reload);
        let error = bench.kept.started().unwrap_err();
        assert_eq!(error.context_value("setting"), Some("queries.path"));
        assert!(error.context_value("path").is_some());
        let told = mistakes_of(&error);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(bench.kept.now().is_err());
    }
}

#[test]
fn an_instance_without_files_has_no_queries() {
    let kept = opened(None, true);
    kept.started().unwrap();
    assert!(kept.now().unwrap().is_empty());
}

/// Counts what is told in the log.
#[derive(Clone, Default)]
struct Told(Arc<AtomicUsize>);

impl Told {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl tracing::Subscriber for Told {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "switchboard::database"
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
