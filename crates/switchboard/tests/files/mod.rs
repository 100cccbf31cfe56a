//! Configurations in files, which tests edit while a board runs.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use switchboard::{Record, Switchboard};
use tokio::sync::mpsc;

use crate::lamps::{Bulbs, Lamps};

/// A configuration in a folder of its own, which goes with it.
pub struct File(PathBuf);

impl File {
    pub fn new(text: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir();
        let folder = folder.join(format!("switchboard-lamps-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = Self(folder.join("lamps.toml"));
        file.write(text);
        file
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn folder(&self) -> &Path {
        self.0.parent().unwrap()
    }

    pub fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    /// Another file in the place of this one, as editors do it: never half of it is seen.
    pub fn replace(&self, text: &str) {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &self.0).unwrap();
    }

    pub async fn board(&self, bulbs: &Bulbs) -> Switchboard {
        bulbs.builder().file(self.path()).build().await.unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_dir_all(self.folder()).ok();
    }
}

/// What a board records from now on.
pub struct Told(mpsc::UnboundedReceiver<Record>);

impl Told {
    pub fn by(board: &Switchboard) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        board.on_record(move |record| drop(tell.send(record.clone())));
        Self(told)
    }

    /// The next record, which comes within `LIMIT`.
    pub async fn next(&mut self) -> Record {
        let next = tokio::time::timeout(LIMIT, self.0.recv()).await;
        next.unwrap().unwrap()
    }

    /// The outcome of what the file watcher does next.
    pub async fn outcome(&mut self) -> String {
        let record = self.next().await;
        assert_eq!(record.by, "file watcher", "{record:?}");
        record.outcome
    }

    /// What was recorded and not asked for yet.
    pub fn left(&mut self) -> Vec<Record> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// A configuration of one lamp.
pub fn door(colour: &str) -> String {
    format!("[lamp]\ndoor = {{ driver = 'bulb', colour = '{colour}' }}\n")
}

pub async fn colour(board: &Switchboard, lamp: &str) -> String {
    board.handle::<Lamps>(lamp).unwrap().colour().await.unwrap()
}

const LIMIT: Duration = Duration::from_mins(1);

/// Polls once; whether that was the end.
pub async fn is_over<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_ready()))
        .await
}
