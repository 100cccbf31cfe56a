//! What makes a board read its configuration again by itself: a file that changed, a signal.
//!
//! Where to look for changes of a file is the affair of `places`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result};
use tokio::sync::watch;

use crate::Switchboard;
use crate::board::Core;
use crate::difference::Plan;
use crate::places::Folders;

/// Lets a board read its configuration again by itself, until it is dropped or the board is closed.
#[derive(Debug)]
#[must_use = "the board is left alone as soon as this is dropped"]
pub struct Watching {
    core: Weak<Core>,
    job: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.jobs.end(self.job);
        }
    }
}

impl Switchboard {
    /// Reloads when one of the files that the configuration was read from changes, or one appears
    /// that it would be read from. What changed since they were read is taken as well.
    ///
    /// Files may be links, and so may the folders on the way; folders may be replaced, or come later.
    /// A file is taken when it has been quiet for [`Watching::QUIET`]. As long as the files say what
    /// they said, nothing happens: what was [swapped](Self::swap) by hand stays. A configuration with
    /// mistakes changes nothing, is recorded once, and watching goes on. The watch ends with the board
    /// as well.
    ///
    /// ```
    /// use switchboard::Switchboard;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// # let file = std::env::temp_dir().join(format!("switchboard-watch-{}.toml", std::process::id()));
    /// # let write = |text: &str| std::fs::write(&file, text).expect("the folder can be written to");
    /// write("cache.sessions.driver = 'memory'");
    /// let board = Switchboard::builder().file(&file).build().await?;
    /// let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    /// board.on_record(move |record| drop(tell.send(record.by.clone())));
    /// let watching = board.watch_files()?;
    ///
    /// write("cache.sessions.driver = 'null'");
    /// assert_eq!(told.recv().await.as_deref(), Some("file watcher"));
    /// drop(watching); // the files are left alone from now on
    /// # std::fs::remove_file(&file).ok();
    /// # board.close(board.close_limit()).await.into_result()
    /// # }
    /// ```
    pub fn watch_files(&self) -> Result<Watching> {
        let (tell, mut changes) = watch::channel(());
        let mut folders = Folders::new(move || tell.send_replace(()))?;
        let files = self.configured_files();
        folders.follow(&files)?;
        changes.mark_changed();
        let core = self.weak();
        let (told, restart) = (None, Vec::new());
        let reloads = FileReloads { core, folders, files, changes, told, restart };
        self.run("watch files", reloads.run())
    }

    /// Reloads whenever the process gets a SIGHUP. Where there is no such signal nothing ever happens.
    pub fn reload_on_hangup(&self) -> Result<Watching> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(ErrorKind::Unavailable, "a signal is waited for in a runtime")
                .with_hint("ask for this where the board is built, or use `Blocking`"));
        }
        let mut hangups = Hangups::new()?;
        let core = self.weak();
        self.run("reload on hangup", async move {
            while hangups.next().await.is_some() {
                let Some(board) = board(&core) else { return };
                drop(board.reload("SIGHUP").await);
            }
        })
    }

    fn run(
        &self,
        name: &'static str,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Watching> {
        let job = self.0.jobs.start(self.0.environment.reaper(), name, job)?;
        Ok(Watching { core: self.weak(), job })
    }

    fn weak(&self) -> Weak<Core> {
        Arc::downgrade(&self.0)
    }

    fn configured_files(&self) -> BTreeSet<PathBuf> {
        self.wanted().files.iter().cloned().collect()
    }
}

impl Watching {
    /// How long files have to be left alone before they are read.
    pub const QUIET: Duration = Duration::from_millis(100);

    /// How long files that never are left alone can put a reload off.
    pub const QUIET_AT_LATEST: Duration = Duration::from_secs(2);

    /// How often is looked whether a path still leads to the same folders; that a folder further up
    /// was replaced is told by nobody.
    pub const LOOK_EVERY: Duration = Duration::from_secs(5);
}

/// The reloads that changes of files lead to.
struct FileReloads {
    core: Weak<Core>,
    folders: Folders,
    /// What is followed: the files in force, and those of the last attempt.
    files: BTreeSet<PathBuf>,
    changes: watch::Receiver<()>,
    /// The failure that was recorded last; it is not recorded again until something else happens.
    told: Option<String>,
    /// The sections that wait for the next start, as they were last told.
    restart: Vec<String>,
}

impl FileReloads {
    async fn run(mut self) {
        loop {
            let changed = tokio::time::timeout(Watching::LOOK_EVERY, self.changes.changed()).await;
            let Some(board) = board(&self.core) else { return };
            match changed {
                Ok(Ok(())) => {
                    tokio::time::timeout(Watching::QUIET_AT_LATEST, self.quiet()).await.ok();
                    self.reload(&board).await;
                }
                Ok(Err(_)) => return,
                Err(_) => {}
            }
            let Some(followed) = self.follow(&board).await else { return };
            self = followed;
        }
    }

    /// Ends when nothing has changed for a while.
    async fn quiet(&mut self) {
        while let Ok(Ok(())) = tokio::time::timeout(Watching::QUIET, self.changes.changed()).await {
        }
    }

    async fn reload(&mut self, board: &Switchboard) {
        let reloaded = board.reload_if_changed().await;
        if board.0.jobs.is_over() {
            return;
        }
        let outcome = reloaded.outcome.map(Option::unwrap_or_default);
        if self.is_news(&outcome) {
            board.record(FILES, "reload", "board", &outcome);
        }
        self.told = failure_of(&outcome);
        self.files = board.configured_files();
        // A file that a failed attempt looked for may be all that it lacks.
        self.files.extend(reloaded.files);
    }

    fn is_news(&mut self, outcome: &Result<Plan>) -> bool {
        let Ok(plan) = outcome else { return failure_of(outcome) != self.told };
        let restart = std::mem::replace(&mut self.restart, plan.restart.clone());
        let waits_for_more = plan.restart.iter().any(|section| !restart.contains(section));
        self.told.is_some()
            || !plan.changes.is_empty()
            || !plan.sections.is_empty()
            || waits_for_more
    }

    /// Looking for folders waits for disks, so it has a thread of its own.
    async fn follow(mut self, board: &Switchboard) -> Option<Self> {
        let following = tokio::task::spawn_blocking(move || {
            let followed = self.folders.follow(&self.files);
            (self, followed)
        });
        let (mut reloads, followed) = following.await.ok()?;
        match followed {
            // What happened there before it was looked at was told by nobody.
            Ok(true) => reloads.changes.mark_changed(),
            Ok(false) => {}
            Err(error) => board.record(FILES, "watch", "board", &Err::<Plan, _>(error)),
        }
        Some(reloads)
    }
}

fn failure_of(outcome: &Result<Plan>) -> Option<String> {
    outcome.as_ref().err().map(|error| format!("{error:?}"))
}

/// The signals to read the configuration again.
#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangups = signal(SignalKind::hangup()).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the signal cannot be waited for").with_source(error)
        })?;
        Ok(Self(hangups))
    }

    async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    #[expect(clippy::unnecessary_wraps, reason = "where there are signals it can fail")]
    fn new() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<()> {
        std::future::pending().await
    }
}

fn board(core: &Weak<Core>) -> Option<Switchboard> {
    core.upgrade().map(Switchboard)
}

const FILES: &str = "file watcher";
